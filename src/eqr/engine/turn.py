"""One turn of the engine: free places are filled, all rows move by a segment, those that end hand in their evidence.

Knows neither who asks nor what for: ``gather`` has one asker, ``SolveServer`` many.
"""

from itertools import islice
from typing import Protocol, runtime_checkable

from eqr.engine.queue import Job, RowEnd
from eqr.engine.rows import Slots


@runtime_checkable
class Queue(Protocol):
    """Where rows come from and where their evidence goes."""

    def start(self) -> Job | None:
        """The next row to start, if there is one."""

    def end(self, job: Job, end: RowEnd) -> None:
        """Take a row's evidence."""


def carry(slots: Slots, queue: Queue) -> bool:
    """One turn; False if there was no row to move."""
    slots.enter(list(islice(iter(queue.start, None), slots.free)))
    if not slots.rows:
        return False
    slots.advance()
    for job, end in slots.leave():
        queue.end(job, end)
    return True
