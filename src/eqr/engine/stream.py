"""Puzzles in, solutions out: one caller, any number of puzzles, constant memory. Knows no file and no label."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, TypeAlias, overload

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from eqr.data.parsing import Refused, Text, read_puzzle
from eqr.engine.config import SolveConfig
from eqr.engine.policy.selection import SelectionRule, choose
from eqr.engine.queue import OnSnapshot, PuzzleQueue
from eqr.engine.rows import Latents, Rows, turn
from eqr.engine.segment import Compile
from eqr.engine.views import Views
from eqr.errors import InputError
from eqr.evidence import Evidence, History, Solution
from eqr.model import Reasoner
from eqr.runtime import row_workers
from eqr.tasks import Task

Puzzle: TypeAlias = str | Text | Refused | Int[Tensor, " L"] | ArrayLike
"""A puzzle as text, as text with its position in the input, or as (L,) ids, 0 = blank; or what stands in its place."""


def evidence_stream(
    model: Reasoner,
    puzzles: Iterable[Int[Tensor, " L"]],
    config: SolveConfig,
    *,
    compile: Compile = False,
    record: bool = False,
    latents: Latents = "none",
    on_snapshot: OnSnapshot | None = None,
) -> Iterator[Evidence]:
    """Yields the evidence of each puzzle (ids, 0 = blank), in input order, once it and all earlier ones are decided.

    ``compile`` is that of ``solve_stream``. ``record`` keeps each row's history; ``latents`` keeps latent states: of
    the row's end, or of all segments in its history. Options that ``config`` leaves open are the model's own. Raises
    InputError if they do not suit the task (``SolveConfig.check``).
    """
    config = config.completed(model.settings)
    config.check(model.task)
    views = Views(model.task, config.views, config.seed)
    queue = PuzzleQueue(views.of(puzzles), config, model.calibration, on_snapshot)

    def run() -> Iterator[Evidence]:
        with row_workers(model.answer_head.device) as workers:
            rows = Rows(model, config, workers, compile, record, latents)
            while turn(rows, queue):
                yield from queue.answered()

    yield from views.merged(run())


def select(evidence: Evidence, rule: SelectionRule, task: Task) -> Solution:
    """Returns the solution by the restart that ``rule`` chooses; halted rows go before others."""
    restart = choose(evidence, rule)
    return Solution(evidence=evidence, restart=restart, text=task.format(evidence.answers[restart]))


MOST_REFUSED = 1_000
"""Pieces that are no puzzles which may wait for the answers before them; then all rows under way end first."""


class _Asked:
    """Turns puzzles into ids, each with the model for its board size; keeps what is no puzzle until its turn."""

    def __init__(self, model: Reasoner, puzzles: Iterable[Puzzle]) -> None:
        self.task, self.model, self.puzzles = model.task, model, puzzles
        self.read = 0
        """Puzzles read so far."""
        self.refused: deque[tuple[int, Refused]] = deque()
        """Pieces that are no puzzles, each with the number of puzzles before it."""
        self.failed: InputError | None = None
        """The error that ended the input."""

    def __iter__(self) -> Iterator[tuple[Reasoner, Int[Tensor, " L"]] | None]:
        """Yields model and ids of each puzzle, and None when all puzzles so far must be answered first."""
        try:
            for number, puzzle in enumerate(self.puzzles, 1):
                asked = puzzle if isinstance(puzzle, Refused) else self._asked(number, puzzle)
                if not isinstance(asked, Refused):
                    self.read += 1
                    # The next puzzle starts from this one's model: consecutive puzzles mostly have one size.
                    self.model = asked[0]
                    yield asked
                    continue
                self.refused.append((self.read, asked))
                if len(self.refused) >= MOST_REFUSED:
                    yield None
        except InputError as error:
            self.failed = error

    def _asked(self, number: int, puzzle: str | Text | ArrayLike) -> tuple[Reasoner, Int[Tensor, " L"]] | Refused:
        if isinstance(puzzle, str | Text):
            text = puzzle if isinstance(puzzle, Text) else Text(f"puzzle {number}", puzzle)
            return read_puzzle(self.task, text, self.model.for_task)
        try:
            ids = puzzle if isinstance(puzzle, Tensor) else _tensor(puzzle)
            model = self.model.for_task(self.task.sized(ids.numel()))
            model.task.check_ids(ids)
            return model, ids.long()
        except InputError as error:
            return Refused(f"puzzle {number}", str(error))

    def refused_after(self, answered: int) -> Iterator[Refused]:
        """Yields, once, the pieces that come before any puzzle but the first ``answered``."""
        while self.refused and self.refused[0][0] <= answered:
            yield self.refused.popleft()[1]


def _tensor(ids: ArrayLike) -> Tensor:
    try:
        return torch.from_numpy(np.array(ids))
    except (TypeError, ValueError):
        raise InputError(f"it is {type(ids).__name__}: give a text, or ids as a tensor or an array") from None


def outcomes(
    model: Reasoner,
    puzzles: Iterable[Puzzle],
    config: SolveConfig | None = None,
    *,
    compile: Compile = False,
    record: bool = False,
    latents: Latents = "none",
) -> Iterator[Solution | Refused]:
    """Yields the solution of each puzzle, or ``Refused`` for a piece that is no puzzle of this model, in input order.

    The arguments are those of ``solve_stream``. Raises the InputError with which ``puzzles`` ended, at the end.
    """
    config, asked, answered = config or SolveConfig(), _Asked(model, puzzles), 0
    for key, group in groupby(asked, key=lambda pair: pair[0] if pair else object()):  # no two Nones in one group
        if isinstance(key, Reasoner):
            sized, ids = key, (pair[1] for pair in group if pair)
            for evidence in evidence_stream(sized, ids, config, compile=compile, record=record, latents=latents):
                yield from asked.refused_after(answered)
                answered += 1
                yield select(evidence, config.selection, sized.task)
        yield from asked.refused_after(answered)
    yield from asked.refused_after(answered)
    if asked.failed:
        raise asked.failed


def solve_stream(
    model: Reasoner,
    puzzles: Iterable[Puzzle],
    config: SolveConfig | None = None,
    *,
    compile: Compile = False,
    record: bool = False,
    latents: Latents = "none",
) -> Iterator[Solution]:
    """Yields the solution of each puzzle, in input order, once it and all earlier ones are decided.

    Args:
        model: A trained reasoner; texts may be boards of any size that the model can answer.
        puzzles: Any iterable of texts or of ids (L,), 0 = blank; read as slots become free.
        config: How much compute a puzzle gets; options that are not given are the model's own settings.
        compile: True runs the block's kernel in C++, which is built once on a machine, or torch.compile if it has none:
            slow to start, then faster. "kernel" runs the kernel or plain torch. Answers agree to rounding.
        record: Keep each row's history (``Solution.history``).
        latents: Keep latent states: "end" in ``Evidence.states``, or with ``record`` "all" in ``History.z``.

    Raises InputError for a text that is not a puzzle, after the earlier puzzles are answered.
    """
    for outcome in outcomes(model, puzzles, config, compile=compile, record=record, latents=latents):
        if isinstance(outcome, Refused):
            raise outcome.error()
        yield outcome


@overload
def solve(  # type: ignore[overload-overlap]  # a str is a sequence of str too
    model: Reasoner, puzzles: str, config: SolveConfig | None = None
) -> Solution: ...
@overload
def solve(
    model: Reasoner, puzzles: Sequence[str] | Int[Tensor, "B L"] | NDArray[Any], config: SolveConfig | None = None
) -> list[Solution]: ...
def solve(
    model: Reasoner, puzzles: str | Sequence[str] | Int[Tensor, "B L"] | NDArray[Any], config: SolveConfig | None = None
) -> Solution | list[Solution]:
    """Answers one puzzle given as text, or several given as a list of texts or as ids (B, L), 0 = blank.

    Without ``config``, with the settings with which the model answers best. An answer that breaks a rule is marked
    ``valid=False``. Raises InputError for a text or ids that are no puzzle.
    """
    if isinstance(puzzles, str):
        return next(solve_stream(model, [puzzles], config))
    return list(solve_stream(model, puzzles, config))


def trajectory(
    model: Reasoner,
    puzzles: str | Sequence[str] | Int[Tensor, "B L"],
    depth: int = 64,
    breadth: int = 1,
    *,
    latents: bool = False,
    config: SolveConfig | None = None,
) -> History:
    """Records every segment of R = B*K rows, ordered by puzzle: answers (R, T, L), residual (R, T), ...

    No row halts. With ``latents``, also records the states z (R, T, S, C, D). ``config`` gives the other options: seed,
    noise, solver. Raises InputError for a text that is not a puzzle, and if the boards differ in size.
    """
    config = replace(config or SolveConfig(), depth=depth, breadth=breadth, views=1, halt="fixed", suppose=0)
    puzzles = [puzzles] if isinstance(puzzles, str) else puzzles
    solutions = list(solve_stream(model, puzzles, config, record=True, latents="all" if latents else "none"))
    rows = [history for solution in solutions for history in solution.evidence.histories]
    if len({row.answers.shape for row in rows}) != 1:
        raise InputError("trajectories need one board size: give at least one puzzle, and all of the same size")
    return History.stacked(rows)
