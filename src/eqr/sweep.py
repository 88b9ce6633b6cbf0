"""Depth x breadth from one run: what every smaller budget would have answered, read off the histories of the largest.

A row's first d segments are the same whatever its limit of depth, and its stream does not depend on the number of
restarts, so nothing is computed twice (the accounting of EqR Fig. 3 and 7).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from eqr.data import Puzzles
from eqr.engine import SolveConfig, gather, select
from eqr.evaluate import evaluate
from eqr.halting import HALTING, Signs, Thresholds
from eqr.model import Reasoner
from eqr.report import Report
from eqr.runtime import can_compile
from eqr.types import Evidence, History


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One budget of a sweep; means over the puzzles."""

    depth: int
    breadth: int
    updates_per_puzzle: float
    exact_accuracy: float
    any_correct: float
    residual: float
    """Mean residual of the selected restart."""
    puzzles: int


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What a halting rule would have done to the rows of a sweep."""

    halt: str
    rows: int
    halted: int
    """Rows it would have ended before full depth."""
    kept: int
    """Of these, rows whose answer at that segment is the one they give at full depth."""
    segments: float
    """Mean segments to halting of those rows."""


def halts_at(row: History, halt: str, window: int, thresholds: Thresholds) -> int | None:
    """The number of segments, short of all, after which the rule would have ended the row."""
    unknown = row.residual.new_full((window - 1,), torch.inf)
    # The rule takes each segment for a row of its own.
    residuals = torch.cat([unknown, row.residual]).unfold(0, window, 1)
    ends = HALTING[halt](Signs(residuals=residuals, halt_logit=row.halt_logit, thresholds=thresholds))[:-1]
    return int(ends.float().argmax()) + 1 if bool(ends.any()) else None


def cut(
    found: Evidence, depth: int, breadth: int, model: Reasoner, puzzle: torch.Tensor, config: SolveConfig
) -> Evidence:
    """The evidence a run of ``depth`` segments and ``breadth`` restarts would have given; ``found`` has histories."""
    rows = found.histories[:breadth]
    recent = slice(max(0, depth - config.window), depth)
    residuals = torch.stack([row.residual[recent] for row in rows])
    # The first segment of a row has no change of logits.
    changes = torch.stack([row.logit_change[max(1, recent.start) : depth] for row in rows])
    answers = torch.stack([row.answers[depth - 1] for row in rows])
    settled = (residuals < config.thresholds(model.calibration).tol).all(1) & (residuals.shape[1] == config.window)
    return Evidence(
        answers=answers,
        residual=residuals.mean(1),
        logit_change=changes.mean(1).nan_to_num(nan=torch.inf),
        halt_logit=torch.stack([row.halt_logit[depth - 1] for row in rows]),
        depth=torch.full((len(rows),), depth),
        converged=settled,
        halted=torch.zeros_like(settled),
        valid=model.task.is_solved(puzzle.expand_as(answers), answers),
        seconds=found.seconds,
        histories=(),
    )


def sweep(
    model: Reasoner,
    puzzles: Puzzles,
    depths: Sequence[int],
    breadths: Sequence[int],
    config: SolveConfig,
    compile: bool,
    progress: Callable[[], None],
) -> tuple[list[Cell], list[Kept]]:
    """Measure every (depth, breadth), and what halting would have changed, by one run of the largest at fixed depth.

    ``progress`` is called per puzzle.
    """
    compile = compile and can_compile(model.answer_head.device)
    largest = replace(config, depth=max(depths), breadth=max(breadths), halt="fixed")
    batch, budgets = puzzles.batch(), [(depth, breadth) for depth in depths for breadth in breadths]
    sums = {budget: torch.zeros(3, dtype=torch.double) for budget in budgets}
    depths_halted: dict[str, list[tuple[int, bool]]] = {"residual": [], "learned": []}
    rows, thresholds = 0, config.thresholds(model.calibration)
    gathered = gather(model, batch.inputs, largest, compile, record=True)
    for found, puzzle, label in zip(gathered, batch.inputs, batch.labels, strict=True):
        for depth, breadth in budgets:
            smaller = cut(found, depth, breadth, model, puzzle, config)
            right = (smaller.answers == label).all(-1)
            chosen = select(smaller, config.select).restart
            sums[depth, breadth] += torch.stack([right[chosen], right.any(), smaller.residual[chosen]])
        for history in found.histories:
            for halt, seen in depths_halted.items():
                at = halts_at(history, halt, config.window, thresholds)
                if at:
                    seen.append((at, bool((history.answers[at - 1] == history.answers[-1]).all())))
        rows += len(found.histories)
        progress()
    cells = [
        Cell(
            depth=depth,
            breadth=breadth,
            updates_per_puzzle=float(depth * breadth * model.config.updates_per_segment),
            exact_accuracy=float(exact) / len(puzzles),
            any_correct=float(some) / len(puzzles),
            residual=float(residual) / len(puzzles),
            puzzles=len(puzzles),
        )
        for (depth, breadth), (exact, some, residual) in sums.items()
    ]
    kept = [
        Kept(
            halt=halt,
            rows=rows,
            halted=len(seen),
            kept=sum(same for _, same in seen),
            segments=sum(at for at, _ in seen) / max(1, len(seen)),
        )
        for halt, seen in depths_halted.items()
    ]
    return cells, kept


def adaptive(
    model: Reasoner,
    puzzles: Puzzles,
    depth: int,
    breadth: int,
    config: SolveConfig,
    compile: bool,
    names: tuple[str, str],
) -> Iterator[Report]:
    """Both halting rules, with one and with auto breadth, at the largest budget: what the engine saves and loses."""
    for halt in ("residual", "learned"):
        for restarts in (1, f"auto:{breadth}"):
            chosen = replace(config, depth=depth, breadth=restarts, halt=halt)
            yield evaluate(model, puzzles, chosen, *names, compile)
