"""The log of a run: one JSON object a line. Its end may be damaged, if the machine stopped while the run wrote it."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from eqr.data.reading import opened
from eqr.storage.files import write_atomically

LOG = "log.jsonl"
MOST_LINE = 2**20
"""Bytes of the longest line; a damaged file may have no line ends."""
Record = dict[str, Any]


def lines_of(log: Path) -> Iterator[tuple[bytes, Record | None]]:
    """Yields each line of a log with its record, or with None if the line is damaged; nothing if there is no log."""
    if not log.exists():
        return
    with opened(log, "move it away") as file:
        for line in iter(lambda: file.readline(MOST_LINE), b""):
            yield line, _record_in(line)


def _record_in(line: bytes) -> Record | None:
    try:
        record = json.loads(line) if line.endswith(b"\n") else None
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def forget_after(log: Path, step: int) -> None:
    """Deletes the records that a killed run logged after its last checkpoint: the resumed run repeats these steps.

    Also deletes damaged lines, and says so: a log must not keep a run from going on.
    """
    kept, damaged = [], 0
    for line, record in lines_of(log):
        if record is None or type(record.get("step")) is not int:
            damaged += 1
        elif record["step"] <= step:
            kept.append(line)
    if damaged:
        told = "1 damaged line, which is deleted" if damaged == 1 else f"{damaged:,} damaged lines, which are deleted"
        print(f"notice: {log} has {told}", file=sys.stderr)
    write_atomically(log, lambda part: part.write_bytes(b"".join(kept)))
