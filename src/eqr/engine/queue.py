"""Decides which row of an asker starts next and when a puzzle has its answer.

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

    def joined(self, count: int) -> Evidence:
        """Evidence of the first ``count`` restarts, which have ended."""
        return Evidence.joined([self.ends[restart] for restart in range(count)])


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
        return self._started(*self._ready.popleft()) if self.wants() else None

    def wants(self) -> bool:
        """Whether a needed row has not started; if all of earlier puzzles have, takes the next puzzle to know."""
        while not self._ready:
            puzzle = next(self.puzzles, None)
            if puzzle is None:
                return False
            self.taken += 1
            entry = _UnderWay(puzzle=puzzle.cpu(), waves=waves(self.config.restarts, self.config.adaptive))
            self.under_way.append(entry)
            self._need_more(entry)
        return True

    def preempted(self) -> list[Job]:
        """None: one asker has all slots."""
        return []

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
        rows = (job for job in self.moving if not self.needs(job))
        return sorted(rows, key=lambda job: -job.restart)

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
        in_order = next(at for at in range(self.config.restarts + 1) if at not in entry.ends)  # no gap before
        if in_order == entry.judged:
            return
        enough = self._enough(entry, in_order) if self.config.adaptive else None
        entry.judged = in_order
        if enough or in_order == self.config.restarts:
            self._decide(entry, entry.joined(enough or in_order))
            return
        while in_order >= entry.needed:
            self._need_more(entry)

    def _enough(self, entry: _UnderWay, in_order: int) -> int | None:
        """The fewest of the first ``in_order`` restarts that are enough, or None: only a halted row makes them so."""
        if not any(entry.ends[restart].halted for restart in range(entry.judged, in_order)):
            return None
        return restarts_needed(entry.joined(in_order), self.calibration, entry.judged)

    def answered(self) -> Iterator[Evidence]:
        """Yields the evidence of decided puzzles, in input order."""
        while self.under_way and (evidence := self.under_way[0].evidence):
            self.under_way.popleft()
            yield evidence

    def needs(self, job: Job) -> bool:
        """Whether a row under way is needed."""
        return job.restart < self.moving[job].needed

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
        """Make the next wave of restarts needed; starts none that runs or has ended already."""
        size = next(entry.waves)
        for restart in range(entry.needed, entry.needed + size):
            if restart not in entry.running and restart not in entry.ends:
                self._ready.append((restart, entry))
        entry.needed += size
