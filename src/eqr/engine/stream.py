"""Puzzles in, solutions out: one caller, any number of puzzles, constant memory. Knows no file and no label."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TypeAlias, overload

from jaxtyping import Int
from torch import Tensor

from eqr.data.parsing import Text, read_puzzle
from eqr.engine.config import SolveConfig
from eqr.engine.policy.selection import SelectionRule, choose
from eqr.engine.queue import OnSnapshot, PuzzleQueue
from eqr.engine.rows import Latents, Rows, turn
from eqr.engine.views import Views
from eqr.errors import InputError
from eqr.evidence import Evidence, History, Solution
from eqr.model import Reasoner
from eqr.runtime import row_workers
from eqr.tasks import Task

Puzzle: TypeAlias = str | Text | Int[Tensor, " L"]
"""A puzzle as text, as text with its position in the input, or as ids, 0 = blank."""


def evidence_stream(
    model: Reasoner,
    puzzles: Iterable[Int[Tensor, " L"]],
    config: SolveConfig,
    *,
    compile: bool = False,
    record: bool = False,
    latents: Latents = "none",
    on_snapshot: OnSnapshot | None = None,
) -> Iterator[Evidence]:
    """Yields the evidence of each puzzle (ids, 0 = blank), in input order, once it and all earlier ones are decided.

    ``compile`` runs torch.compile on the segment where possible: slow to start, then faster. ``record`` keeps each
    row's history; ``latents`` keeps latent states: of the row's end, or of all segments in its history. Options that
    ``config`` leaves open are the model's own. Raises InputError if they do not suit the task (``SolveConfig.check``).
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


class _Asked:
    """Yields puzzles as ids, each with the model for its board size. A text that is not a puzzle of this model ends the
    iteration; ``refused`` keeps the error until the earlier puzzles are answered.
    """

    def __init__(self, model: Reasoner, puzzles: Iterable[Puzzle]) -> None:
        self.task, self.model, self.puzzles = model.task, model, puzzles
        self.refused: InputError | None = None

    def __iter__(self) -> Iterator[tuple[Reasoner, Int[Tensor, " L"]]]:
        try:
            for number, puzzle in enumerate(self.puzzles, 1):
                # Start from the last puzzle's model: consecutive puzzles mostly have one size.
                if isinstance(puzzle, Tensor):
                    self.model, ids = self.model.for_task(self.task.sized(len(puzzle))), puzzle
                    width = self.model.task.layout.width
                    if len(ids) != width:
                        raise InputError(f"puzzle {number} has {len(ids)} ids, {self.task.name} has {width}")
                else:
                    text = puzzle if isinstance(puzzle, Text) else Text(f"puzzle {number}", puzzle)
                    self.model, ids = read_puzzle(self.task, text, self.model.for_task)
                yield self.model, ids
        except InputError as error:
            self.refused = error


def solve_stream(
    model: Reasoner,
    puzzles: Iterable[Puzzle],
    config: SolveConfig | None = None,
    *,
    compile: bool = False,
    record: bool = False,
    latents: Latents = "none",
) -> Iterator[Solution]:
    """Yields the solution of each puzzle, in input order, once it and all earlier ones are decided.

    Args:
        model: A trained reasoner; texts may be boards of any size that the model can answer.
        puzzles: Any iterable of texts or of ids (L,), 0 = blank; read as slots become free.
        config: How much compute a puzzle gets; options that are not given are the model's own settings.
        compile: Run torch.compile on the segment where possible: slow to start, then faster.
        record: Keep each row's history (``Solution.history``).
        latents: Keep latent states: "end" in ``Evidence.states``, or with ``record`` "all" in ``History.z``.

    Raises InputError for a text that is not a puzzle, after the earlier puzzles are answered.
    """
    config = config or SolveConfig()
    asked = _Asked(model, puzzles)
    for sized, group in groupby(asked, key=lambda pair: pair[0]):
        ids = (puzzle for _, puzzle in group)
        for evidence in evidence_stream(sized, ids, config, compile=compile, record=record, latents=latents):
            yield select(evidence, config.selection, sized.task)
    if asked.refused:
        raise asked.refused


@overload
def solve(  # type: ignore[overload-overlap]  # a str is a sequence of str too
    model: Reasoner, puzzles: str, config: SolveConfig | None = None
) -> Solution: ...
@overload
def solve(
    model: Reasoner, puzzles: Sequence[str] | Int[Tensor, "B L"], config: SolveConfig | None = None
) -> list[Solution]: ...
def solve(
    model: Reasoner, puzzles: str | Sequence[str] | Int[Tensor, "B L"], config: SolveConfig | None = None
) -> Solution | list[Solution]:
    """Answers one puzzle given as text, or several given as a list of texts or as ids (B, L), 0 = blank.

    Without ``config``, with the settings with which the model answers best. An answer that breaks a rule is marked
    ``valid=False``. Raises InputError for a text that is not a puzzle.
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
    config = replace(config or SolveConfig(), depth=depth, breadth=breadth, halt="fixed", suppose=0)
    puzzles = [puzzles] if isinstance(puzzles, str) else puzzles
    solutions = list(solve_stream(model, puzzles, config, record=True, latents="all" if latents else "none"))
    rows = [history for solution in solutions for history in solution.evidence.histories]
    if len({row.answers.shape for row in rows}) != 1:
        raise InputError("trajectories need one board size: give at least one puzzle, and all of the same size")
    return History.stacked(rows)
