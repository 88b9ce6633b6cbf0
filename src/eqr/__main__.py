"""``python -m eqr`` is ``eqr``; both start here, so that Ctrl-C shows no traceback however early it comes."""

import os
import signal

signal.signal(signal.SIGINT, lambda number, frame: os._exit(130))

from eqr.cli import start  # noqa: E402 - imported under the handler above

if __name__ == "__main__":
    start()
