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
from eqr.engine.policy.breadth import restarts_needed, waves
from eqr.engine.rows import Job
from eqr.evidence import Evidence, Snapshot
from eqr.types import Calibration

OnSnapshot = Callable[[int, Snapshot], None]
"""Called with the restart's number and its snapshot after each segment."""


PATIENCE = 16
"""Turns with idle slots after which a puzzle without an answer may run one restart more ahead of its need."""


@dataclass(kw_only=True)
class _UnderWay:
    puzzle: Int[Tensor, " L"]
    waves: Iterator[int]
    needed: int = 0
    """The first restarts, without whose ends the puzzle cannot be decided."""
    running: dict[int, Job] = field(default_factory=dict)
    """Rows that have started and not ended, by restart."""
    ends: dict[int, Evidence] = field(default_factory=dict)
    judged: int = 0
    """The first restarts that have ended and are not enough."""
    turns: int = 0
    """Turns with idle slots."""
    evidence: Evidence | None = None


class PuzzleQueue:
    """The puzzles of one asker that are under way, and the rows they need.

    Under auto breadth a puzzle needs one restart at first, and further ones when these are not enough. Slots that no
    needed row takes are for restarts ahead of their need. Whatever ran, the first restarts that are enough decide.
    """

    def __init__(
        self,
        puzzles: Iterable[Int[Tensor, " L"]],
        config: SolveConfig,
        calibration: Calibration | None = None,
        on_snapshot: OnSnapshot | None = None,
    ) -> None:
        """``config`` must be complete (``SolveConfig.completed``)."""
        self.puzzles, self.config, self.calibration = iter(puzzles), config, calibration
        self.on_snapshot = on_snapshot
        self.taken = 0
        """Puzzles taken from the iterator."""
        self.moving: dict[Job, _UnderWay] = {}
        """Rows that have started and not ended, and their puzzles."""
        self.under_way: deque[_UnderWay] = deque()
        self._ready: deque[tuple[int, _UnderWay]] = deque()
        """Restarts that are needed and have not started."""
        self._dropped: list[Job] = []

    def start(self) -> Job | None:
        """The next needed row: restarts of earlier puzzles before a new puzzle; None when no row is needed."""
        while not self._ready:
            puzzle = next(self.puzzles, None)
            if puzzle is None:
                return None
            self.taken += 1
            entry = _UnderWay(puzzle=puzzle.cpu(), waves=waves(self.config.restarts, self.config.adaptive))
            self.under_way.append(entry)
            self._need_more(entry)
        return self._started(*self._ready.popleft())

    def start_ahead(self, cheap: int) -> Iterator[Job]:
        """Yields restarts that may turn out to be needed, for idle slots: ``cheap`` rows, and more for old puzzles."""
        if not self.config.adaptive or self.on_snapshot:  # who watches sees only rows that count
            return
        for entry in self.under_way:
            if entry.evidence:
                continue
            entry.turns += 1
            done_or_running = entry.ends.keys() | entry.running.keys()
            ahead = sum(restart >= entry.needed for restart in entry.running)
            for restart in range(entry.needed, self.config.restarts):
                if cheap <= 0 and ahead >= entry.turns // PATIENCE:
                    break
                if restart not in done_or_running:
                    ahead, cheap = ahead + 1, cheap - 1
                    yield self._started(restart, entry)

    def ahead(self) -> list[Job]:
        """Rows under way that are not needed yet, the least likely to be needed first."""
        rows = [(job.restart, job) for job, entry in self.moving.items() if job.restart >= entry.needed]
        return [job for _, job in sorted(rows, key=lambda pair: -pair[0])]

    def give_back(self, job: Job) -> None:
        """Take back a row that was stopped for a needed one; it starts anew if it comes to be needed."""
        entry = self.moving.pop(job)
        del entry.running[job.restart]

    def dropped(self) -> list[Job]:
        """Rows under way whose puzzles have been decided without them; forgets them."""
        dropped, self._dropped = self._dropped, []
        return dropped

    def see(self, job: Job, snapshot: Snapshot) -> None:
        """Pass a snapshot on to the asker."""
        if self.on_snapshot:
            self.on_snapshot(job.restart, snapshot)

    def end(self, job: Job, evidence: Evidence) -> None:
        """Take a row's evidence; decides its puzzle as soon as the first restarts are enough, or all have ended."""
        entry = self.moving.pop(job, None)
        if entry is None:  # another row that ended in this turn has decided the puzzle
            return
        del entry.running[job.restart]
        entry.ends[job.restart] = evidence
        first = next(at for at in range(self.config.restarts + 1) if at not in entry.ends)
        joined = Evidence.joined([entry.ends[restart] for restart in range(first)]) if first > entry.judged else None
        if joined is None:
            return
        enough = restarts_needed(joined, self.calibration, entry.judged) if self.config.adaptive else None
        entry.judged = first
        if enough or first == self.config.restarts:
            self._decide(entry, Evidence.joined([entry.ends[restart] for restart in range(enough or first)]))
            return
        while first >= entry.needed:
            self._need_more(entry)

    def answered(self) -> Iterator[Evidence]:
        """Yields the evidence of decided puzzles, in input order."""
        while self.under_way and (evidence := self.under_way[0].evidence):
            self.under_way.popleft()
            yield evidence

    @property
    def required(self) -> int:
        """Rows under way that are needed."""
        return sum(job.restart < entry.needed for job, entry in self.moving.items())

    @property
    def waiting(self) -> int:
        """Rows that are needed and have not started, of the puzzles taken so far."""
        return len(self._ready)

    def _started(self, restart: int, entry: _UnderWay) -> Job:
        job = Job(puzzle=entry.puzzle, restart=restart, config=self.config, watched=self.on_snapshot is not None)
        entry.running[restart] = job
        self.moving[job] = entry
        return job

    def _decide(self, entry: _UnderWay, evidence: Evidence) -> None:
        entry.evidence = evidence
        for job in entry.running.values():
            del self.moving[job]
            self._dropped.append(job)
        self._ready = deque(pair for pair in self._ready if pair[1] is not entry)
        entry.running.clear()
        entry.ends.clear()

    def _need_more(self, entry: _UnderWay) -> None:
        """Make the next wave of restarts needed; those that run or have ended already are not started again."""
        size = next(entry.waves)
        for restart in range(entry.needed, entry.needed + size):
            if restart not in entry.running and restart not in entry.ends:
                self._ready.append((restart, entry))
        entry.needed += size


class FairQueue:
    """The askers who share the slots of one board.

    The asker with the fewest needed rows under way comes first. When a quarter of the slots or fewer are free, an asker
    may start a row only if it runs fewer rows than are free: an asker with many long rows cannot make others wait until
    one of them ends.
    """

    def __init__(self, slots: int) -> None:
        self.slots, self.kept = slots, slots // 4
        self.askers: list[PuzzleQueue] = []
        self.asker_of: dict[Job, PuzzleQueue] = {}
        self.ended = 0
        """Rows that have ended."""

    def start(self) -> Job | None:
        """The next row to start; askers with equally many rows under way take turns."""
        required = {asker: asker.required for asker in self.askers}
        free = self.slots - sum(required.values())
        for asker in sorted(self.askers, key=required.__getitem__):
            if free <= self.kept and required[asker] >= free:  # the askers after this one run as many rows or more
                return None
            job = asker.start()
            if job:
                self.asker_of[job] = asker
                # To the end of the line: sorting is stable, so askers with equally many rows take turns.
                self.askers.remove(asker)
                self.askers.append(asker)
                return job
        return None

    def start_ahead(self, cheap: int) -> Iterator[Job]:
        """Yields restarts of any asker that may turn out to be needed, for idle slots."""
        for asker in self.askers:
            for job in asker.start_ahead(cheap):
                cheap -= 1
                self.asker_of[job] = asker
                yield job

    def ahead(self) -> list[Job]:
        """Rows under way that are not needed yet."""
        return [job for asker in self.askers for job in asker.ahead()]

    def give_back(self, job: Job) -> None:
        """Take back a row that was stopped for a needed one."""
        self.asker_of.pop(job).give_back(job)

    def dropped(self) -> list[Job]:
        """Rows under way whose puzzles have been decided without them; forgets them."""
        dropped = [job for asker in self.askers for job in asker.dropped()]
        for job in dropped:
            self.asker_of.pop(job, None)
        return dropped

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
