"""Depth x breadth from one run: what every smaller budget would have answered, read off the histories of the largest.

A row's first d segments are the same whatever its limit of depth or its halting rule, and its stream does not depend on
the number of restarts, so nothing is computed twice (the accounting of EqR Fig. 3 and 7).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from eqr.data.files import Puzzles
from eqr.engine import SolveConfig, gather, select
from eqr.engine.policy.breadth import enough_restarts, waves
from eqr.engine.policy.halting import HALTING, HaltInputs
from eqr.engine.queue import RowEnd, evidence_of
from eqr.evidence import Evidence, History
from eqr.model import Reasoner

ADAPTIVE = ("residual", "learned", "either")
"""Halting rules whose savings are read off a sweep."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One budget of a sweep; means over the puzzles."""

    halt: str
    depth: int
    breadth: int | str
    puzzles: int
    updates_per_puzzle: float
    exact_accuracy: float
    any_correct: float
    residual: float
    """Mean residual of the selected restart."""


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


def halts_at(row: History, model: Reasoner, config: SolveConfig) -> int | None:
    """The number of segments after which ``config.halt`` would have ended the row, if it would."""
    unknown = row.residual.new_full((config.window - 1,), torch.inf)
    # The rule takes each segment for a row of its own.
    residuals = torch.cat([unknown, row.residual]).unfold(0, config.window, 1)
    thresholds = config.thresholds(model.calibration)
    ends = HALTING[config.halt](HaltInputs(residuals=residuals, halt_logit=row.halt_logit, thresholds=thresholds))
    return int(ends.float().argmax()) + 1 if bool(ends.any()) else None


def ended(row: History, at: int | None, tol: float, config: SolveConfig) -> RowEnd:
    """Where the row would have ended: at full depth, or ``at`` the segment at which its rule halts it."""
    depth = min(at or config.depth, config.depth)
    recent = slice(max(0, depth - config.window), depth)
    residual = row.residual[recent]
    return RowEnd(
        answer=row.answers[depth - 1],
        residual=float(residual.mean()),
        # The first segment of a row has no change of logits.
        logit_change=float(row.logit_change[max(1, recent.start) : depth].mean().nan_to_num(nan=torch.inf)),
        halt_logit=float(row.halt_logit[depth - 1]),
        depth=depth,
        converged=len(residual) == config.window and bool((residual < tol).all()),
        halted=at == depth,
        seconds=0.0,
        history=None,
    )


def cut(
    histories: Sequence[History],
    halts: Sequence[int | None],
    model: Reasoner,
    puzzle: torch.Tensor,
    config: SolveConfig,
) -> Evidence:
    """The evidence a run with ``config`` would have given, from the histories of a larger one at fixed depth.

    ``halts`` is what ``halts_at`` says of each of them.
    """
    tol = config.thresholds(model.calibration).tol
    ends = [ended(row, at, tol, config) for row, at in zip(histories, halts, strict=True)][: config.restarts]
    started = 0
    for size in waves(config.restarts, config.adaptive):
        started += size
        found = evidence_of(ends[:started], puzzle, model.task)
        if config.adaptive and enough_restarts(found, model.calibration):
            break
    return found


def settings(depths: Sequence[int], breadths: Sequence[int], config: SolveConfig) -> Iterator[SolveConfig]:
    """Every fixed budget, then the engine's adaptive ones: each halting rule at full depth, breadth 1 and auto:K."""
    for depth in depths:
        for breadth in breadths:
            yield replace(config, depth=depth, breadth=breadth, halt="fixed")
    for halt in ADAPTIVE:
        for depth in depths:
            yield replace(config, depth=depth, breadth=1, halt=halt)
            for breadth in breadths:
                if breadth > 1:
                    yield replace(config, depth=depth, breadth=f"auto:{breadth}", halt=halt)


def sweep(
    model: Reasoner,
    puzzles: Puzzles,
    depths: Sequence[int],
    breadths: Sequence[int],
    config: SolveConfig,
    compile: bool,
    progress: Callable[[], None],
) -> tuple[list[Cell], list[Kept]]:
    """Measure every setting, and what halting would have changed, by one run of the largest at fixed depth.

    ``progress`` is called per puzzle.
    """
    model = model.for_task(puzzles.task)
    largest = replace(config, depth=max(depths), breadth=max(breadths), halt="fixed")
    batch, budgets = puzzles.batch(), list(settings(depths, breadths, config))
    sums = torch.zeros(len(budgets), 4, dtype=torch.double)
    halted: dict[str, list[tuple[int, bool]]] = {halt: [] for halt in ADAPTIVE}
    gathered = gather(model, batch.inputs, largest, compile, record=True)
    for found, puzzle, label in zip(gathered, batch.inputs, batch.labels, strict=True):
        rules: dict[str, list[int | None]] = {"fixed": [None] * len(found.histories)}
        for halt, seen in halted.items():
            rules[halt] = [halts_at(row, model, replace(largest, halt=halt)) for row in found.histories]
            for row, at in zip(found.histories, rules[halt], strict=True):
                if at and at < len(row.answers):
                    seen.append((at, torch.equal(row.answers[at - 1], row.answers[-1])))
        for total, budget in zip(sums, budgets, strict=True):
            smaller = cut(found.histories, rules[budget.halt], model, puzzle, budget)
            right, chosen = (smaller.answers == label).all(-1), select(smaller, budget.select).restart
            total += torch.stack([smaller.depth.sum(), right[chosen], right.any(), smaller.residual[chosen]])
        progress()
    means = (sums / len(puzzles)).tolist()
    cells = [
        Cell(
            halt=budget.halt,
            depth=budget.depth,
            breadth=budget.breadth,
            puzzles=len(puzzles),
            updates_per_puzzle=segments * model.config.updates_per_segment,
            exact_accuracy=exact,
            any_correct=some,
            residual=residual,
        )
        for budget, (segments, exact, some, residual) in zip(budgets, means, strict=True)
    ]
    return cells, [_kept(halt, seen, len(puzzles) * largest.restarts) for halt, seen in halted.items()]


def _kept(halt: str, seen: list[tuple[int, bool]], rows: int) -> Kept:
    segments = sum(at for at, _ in seen) / max(1, len(seen))
    return Kept(halt=halt, rows=rows, halted=len(seen), kept=sum(same for _, same in seen), segments=segments)
