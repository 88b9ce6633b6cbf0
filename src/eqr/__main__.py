"""``python -m eqr`` is ``eqr``."""

from eqr.cli import main

main()
