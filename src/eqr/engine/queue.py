"""Decides which row starts next and when a puzzle has its answer: for one asker, or for many who share the slots.

Puzzles are taken one at a time from an iterator and leave in its order, so only the puzzles under way are in memory,
however many there are in all. Knows evidence, not the network.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from jaxtyping import Int
from torch import Tensor

from eqr.engine.config import SolveConfig
from eqr.engine.policy.breadth import enough_restarts, waves
from eqr.engine.rows import Job
from eqr.evidence import Evidence, Snapshot
from eqr.types import Calibration

OnSnapshot = Callable[[int, Snapshot], None]
"""Called with the restart's number and its snapshot after each segment."""


@dataclass(kw_only=True)
class _UnderWay:
    puzzle: Int[Tensor, " L"]
    waves: Iterator[int]
    started: int = 0
    ends: dict[int, Evidence] = field(default_factory=dict)
    evidence: Evidence | None = None


class PuzzleQueue:
    """The puzzles of one asker that are under way, and the rows they still need."""

    def __init__(
        self,
        puzzles: Iterable[Int[Tensor, " L"]],
        config: SolveConfig,
        calibration: Calibration | None = None,
        on_snapshot: OnSnapshot | None = None,
    ) -> None:
        self.puzzles, self.config, self.calibration = iter(puzzles), config, calibration
        self.on_snapshot = on_snapshot
        self.started = 0
        """Rows that have started."""
        self.moving: dict[Job, _UnderWay] = {}
        """Rows that have started and not ended, and their puzzles."""
        self.under_way: deque[_UnderWay] = deque()
        self.ready: deque[tuple[Job, _UnderWay]] = deque()

    def start(self) -> Job | None:
        """The next row to start: restarts of earlier puzzles before a new puzzle; None when no row is left to start."""
        if not self.ready:
            puzzle = next(self.puzzles, None)
            if puzzle is None:
                return None
            entry = _UnderWay(puzzle=puzzle.cpu(), waves=waves(self.config.restarts, self.config.adaptive))
            self.under_way.append(entry)
            self._start_wave(entry)
        job, entry = self.ready.popleft()
        self.moving[job] = entry
        self.started += 1
        return job

    def see(self, job: Job, snapshot: Snapshot) -> None:
        """Pass a snapshot on to the asker."""
        if self.on_snapshot:
            self.on_snapshot(job.restart, snapshot)

    def end(self, job: Job, evidence: Evidence) -> None:
        """Take a row's evidence; once all rows of its puzzle have ended, decide the puzzle or start another wave.

        Waiting for the whole wave, whichever row ends first, keeps answers independent of scheduling.
        """
        entry = self.moving.pop(job)
        entry.ends[job.restart] = evidence
        if len(entry.ends) < entry.started:
            return
        joined = Evidence.joined([entry.ends[restart] for restart in range(entry.started)])
        enough = self.config.adaptive and enough_restarts(joined, self.calibration)
        if enough or not self._start_wave(entry):
            entry.evidence = joined
            entry.ends.clear()

    def answered(self) -> Iterator[Evidence]:
        """Yields the evidence of decided puzzles, in input order."""
        while self.under_way and (evidence := self.under_way[0].evidence):
            self.under_way.popleft()
            yield evidence

    def _start_wave(self, entry: _UnderWay) -> bool:
        size = next(entry.waves, 0)
        for restart in range(entry.started, entry.started + size):
            watched = self.on_snapshot is not None
            job = Job(puzzle=entry.puzzle, restart=restart, config=self.config, watched=watched)
            self.ready.append((job, entry))
        entry.started += size
        return size > 0


class FairQueue:
    """The askers who share the slots of one board.

    The asker with the fewest rows under way comes first. When a quarter of the slots or fewer are free, an asker may
    start a row only if it runs fewer rows than are free: an asker with many long rows cannot make others wait until one
    of them ends.
    """

    def __init__(self, slots: int) -> None:
        self.slots, self.kept = slots, slots // 4
        self.askers: list[PuzzleQueue] = []
        self.asker_of: dict[Job, PuzzleQueue] = {}
        self.ended = 0
        """Rows that have ended."""

    def start(self) -> Job | None:
        """The next row to start; askers with equally many rows under way take turns."""
        free = self.slots - sum(len(asker.moving) for asker in self.askers)
        for asker in sorted(self.askers, key=lambda asker: len(asker.moving)):
            if free <= self.kept and len(asker.moving) >= free:  # the askers after this one run as many rows or more
                return None
            job = asker.start()
            if job:
                self.asker_of[job] = asker
                # To the end of the line: sorting is stable, so askers with equally many rows take turns.
                self.askers.remove(asker)
                self.askers.append(asker)
                return job
        return None

    def see(self, job: Job, snapshot: Snapshot) -> None:
        """Pass a snapshot on to its asker."""
        self.asker_of[job].see(job, snapshot)

    def end(self, job: Job, evidence: Evidence) -> None:
        """Give a row's evidence to its asker."""
        self.asker_of.pop(job).end(job, evidence)
        self.ended += 1

    def remove(self, asker: PuzzleQueue) -> None:
        """Forget an asker and its rows under way."""
        self.askers.remove(asker)
        for job in asker.moving:
            self.asker_of.pop(job, None)
