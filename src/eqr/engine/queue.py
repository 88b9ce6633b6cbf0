"""Which row of one asker starts next, and when a puzzle has its answer. Knows evidence, not the network.

A job is one restart of one puzzle. Puzzles are taken one at a time from an iterator and leave in its order, so what is
held is the puzzles under way, however many there are in all. Who else is asking is in ``line``.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from eqr.engine.config import SolveConfig
from eqr.engine.policy.breadth import enough_restarts, waves
from eqr.evidence import Evidence, History
from eqr.model import Reasoner
from eqr.tasks import Task


@dataclass(frozen=True, kw_only=True)
class RowEnd:
    """Where one row ended; the fields are those of Evidence."""

    answer: Int[Tensor, " L"]
    residual: float
    logit_change: float
    halt_logit: float
    depth: int
    converged: bool
    halted: bool
    seconds: float
    history: History | None


class Snapshot(NamedTuple):
    """One row after one segment; the fields are those of History."""

    answer: Int[Tensor, " L"]
    confidence: Float[Tensor, " L"]
    residual: Float[Tensor, ""]
    logit_change: Float[Tensor, ""]
    halt_logit: Float[Tensor, ""]


def history_of(moments: Sequence[Snapshot]) -> History:
    """A row's moments, in order."""
    answers, confidence, residual, logit_change, halt_logit = (
        torch.stack(column) for column in zip(*moments, strict=True)
    )
    return History(
        answers=answers, confidence=confidence, residual=residual, logit_change=logit_change, halt_logit=halt_logit
    )


Watch = Callable[[int, Snapshot], None]
"""What is told of each segment of each restart, as it is moved."""


def evidence_of(ends: Sequence[RowEnd], puzzle: Int[Tensor, " L"], task: Task) -> Evidence:
    """What the restarts of one puzzle, in their order, have to say."""
    answers = torch.stack([end.answer for end in ends])
    return Evidence(
        answers=answers,
        residual=torch.tensor([end.residual for end in ends]),
        logit_change=torch.tensor([end.logit_change for end in ends]),
        halt_logit=torch.tensor([end.halt_logit for end in ends]),
        depth=torch.tensor([end.depth for end in ends]),
        converged=torch.tensor([end.converged for end in ends]),
        halted=torch.tensor([end.halted for end in ends]),
        valid=task.is_solved(puzzle.expand_as(answers), answers),
        seconds=sum(end.seconds for end in ends),
        histories=tuple(end.history for end in ends if end.history is not None),
    )


@dataclass(kw_only=True)
class _UnderWay:
    puzzle: Int[Tensor, " L"]
    waves: Iterator[int]
    started: int = 0
    ends: dict[int, RowEnd] = field(default_factory=dict)
    evidence: Evidence | None = None


@dataclass(frozen=True, kw_only=True)
class Job:
    """One restart of one puzzle."""

    jobs: "PuzzleQueue"
    of: _UnderWay
    restart: int

    @property
    def puzzle(self) -> Int[Tensor, " L"]:
        """Symbol ids, 0 = blank."""
        return self.of.puzzle

    @property
    def config(self) -> SolveConfig:
        """What its asker asked for: its depth, halting rule and seed."""
        return self.jobs.config


class PuzzleQueue:
    """The puzzles of one asker under way and the rows they still need."""

    def __init__(
        self, puzzles: Iterable[Int[Tensor, " L"]], model: Reasoner, config: SolveConfig, watch: Watch | None = None
    ) -> None:
        self.puzzles, self.config, self.watch = iter(puzzles), config, watch
        self.task, self.calibration = model.task, model.calibration
        self.rows = 0
        """Rows that have started and not ended."""
        self.started = 0
        """Rows that have started."""
        self.under_way: deque[_UnderWay] = deque()
        self.ready: deque[Job] = deque()

    def start(self) -> Job | None:
        """The next row to start: restarts of earlier puzzles before a new puzzle; None when all have started."""
        if not self.ready:
            puzzle = next(self.puzzles, None)
            if puzzle is None:
                return None
            entry = _UnderWay(puzzle=puzzle.cpu(), waves=waves(self.config.restarts, self.config.adaptive))
            self.under_way.append(entry)
            self._start_wave(entry)
        self.rows, self.started = self.rows + 1, self.started + 1
        return self.ready.popleft()

    def end(self, job: Job, end: RowEnd) -> None:
        """Take a row's evidence. The puzzle is decided, or gets another wave, once all its rows have ended.

        Deciding between waves only, never by which row happened to end first, keeps answers independent of scheduling.
        """
        entry = job.of
        self.rows -= 1
        entry.ends[job.restart] = end
        if len(entry.ends) < entry.started:
            return
        ends = [entry.ends[restart] for restart in range(entry.started)]
        evidence = evidence_of(ends, entry.puzzle, self.task)
        enough = self.config.adaptive and enough_restarts(evidence, self.calibration)
        if enough or not self._start_wave(entry):
            entry.evidence = evidence
            entry.ends.clear()

    def answered(self) -> Iterator[Evidence]:
        """The evidence of puzzles that are decided, in input order."""
        while self.under_way and (evidence := self.under_way[0].evidence):
            self.under_way.popleft()
            yield evidence

    def _start_wave(self, entry: _UnderWay) -> bool:
        size = next(entry.waves, 0)
        self.ready.extend(Job(jobs=self, of=entry, restart=entry.started + number) for number in range(size))
        entry.started += size
        return size > 0
