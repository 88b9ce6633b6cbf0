"""Measures depth x breadth by one run: reads every smaller budget's answers off the histories of the largest budget.

A row's first d segments do not depend on its depth limit or its halting rule, and its random stream does not depend on
the number of restarts, so nothing is computed twice (the accounting of EqR Fig. 3 and 7).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Int
from torch import Tensor

from eqr.data.files import Puzzles
from eqr.engine import SolveConfig, evidence_stream
from eqr.engine.policy.breadth import restarts_needed
from eqr.engine.policy.halting import HALTING, HaltingRule, HaltInputs, halting_rule
from eqr.engine.policy.selection import choose
from eqr.evidence import Evidence, History, ended, windows
from eqr.model import Reasoner


def adaptive() -> list[HaltingRule]:
    """Returns the halting rules whose savings a sweep measures: all that end rows early, rules of plugins included."""
    return [rule for rule in map(halting_rule, HALTING) if rule.ends_early]


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
    """Effect that a halting rule would have had on the rows of a sweep."""

    halt: str
    rows: int
    halted: int
    """Rows that the rule would have ended before full depth."""
    kept: int
    """Halted rows whose answer when halted is their answer at full depth."""
    segments: float
    """Mean number of segments until halting, over the halted rows."""


def halts_at(history: History, model: Reasoner, config: SolveConfig) -> int | None:
    """Returns the number of segments after which ``config.halt`` would have ended the row; None if it would not."""
    # The rule judges many rows at once; here each segment stands for a row.
    ends = config.halting(
        HaltInputs(
            residuals=windows(history.residual, config.window)[1:],
            logit_changes=windows(history.logit_change, config.window)[1:],
            halt_logit=history.halt_logit,
            depth=torch.arange(1, len(history.residual) + 1),
            thresholds=config.thresholds(model.calibration),
        )
    )
    return int(ends.float().argmax()) + 1 if bool(ends.any()) else None


def cut(
    histories: Sequence[History],
    halts: Sequence[int | None],
    model: Reasoner,
    puzzle: Int[Tensor, " L"],
    config: SolveConfig,
) -> Evidence:
    """Returns the evidence that a run with ``config`` would have given, from histories of a larger, fixed-depth run.

    ``halts`` holds the result of ``halts_at`` for each history.
    """
    rows = History.stacked(histories[: config.restarts])
    depth = torch.tensor([min(at or config.segments, config.segments) for at in halts[: config.restarts]])
    restarts = torch.arange(len(depth))
    residuals = windows(rows.residual, config.window)[restarts, depth]
    answers = rows.answers[restarts, depth - 1]
    whole = ended(
        puzzle=puzzle,
        answers=answers,
        residuals=residuals,
        logit_changes=windows(rows.logit_change, config.window)[restarts, depth],
        halt_logit=rows.halt_logit[restarts, depth - 1],
        depth=depth,
        converged=(residuals < config.thresholds(model.calibration).tol).all(-1),
        halted=torch.tensor([at == d for at, d in zip(halts, depth.tolist(), strict=False)]),
        valid=model.task.is_solved(puzzle.expand_as(answers), answers),
    )
    needed = restarts_needed(whole, model.calibration) if config.adaptive else None
    return whole.only(restarts[:needed])


def settings(depths: Sequence[int], breadths: Sequence[int], config: SolveConfig) -> Iterator[SolveConfig]:
    """Yields every fixed budget, then the adaptive ones: each halting rule at each depth, with breadth 1 and auto:K."""
    for depth in depths:
        for breadth in breadths:
            yield replace(config, depth=depth, breadth=breadth, halt="fixed")
    for rule in adaptive():
        for depth in depths:
            yield replace(config, depth=depth, breadth=1, halt=rule)
            for breadth in breadths:
                if breadth > 1:
                    yield replace(config, depth=depth, breadth=f"auto:{breadth}", halt=rule)


def sweep(
    model: Reasoner,
    puzzles: Puzzles,
    depths: Sequence[int],
    breadths: Sequence[int],
    config: SolveConfig,
    compile: bool,
    progress: Callable[[], None],
) -> tuple[list[Cell], list[Kept]]:
    """Measures every setting, and the effect of each halting rule, by one run of the largest budget at fixed depth.

    ``progress`` is called once per puzzle.
    """
    model = model.for_task(puzzles.task)
    config = replace(config, views=1)  # what is cut from a run is one view
    largest = replace(config, depth=max(depths), breadth=max(breadths), halt="fixed")
    batch, budgets = puzzles.batch(), list(settings(depths, breadths, config))
    sums = torch.zeros(len(budgets), 4, dtype=torch.double)
    rules = [replace(largest, halt=rule) for rule in adaptive()]
    halted: dict[str, list[tuple[int, bool]]] = {budget.halting.name: [] for budget in rules}
    stream = evidence_stream(model, batch.inputs, largest, compile=compile, record=True)
    for evidence, puzzle, label in zip(stream, batch.inputs, batch.labels, strict=True):
        rows = evidence.histories
        halts: dict[str, list[int | None]] = {largest.halting.name: [None] * len(rows)}
        for budget in rules:
            halts[budget.halting.name] = [halts_at(row, model, budget) for row in rows]
            for row, at in zip(rows, halts[budget.halting.name], strict=True):
                if at and at < len(row.answers):
                    halted[budget.halting.name].append((at, torch.equal(row.answers[at - 1], row.answers[-1])))
        for total, budget in zip(sums, budgets, strict=True):
            smaller = cut(rows, halts[budget.halting.name], model, puzzle, budget)
            right, chosen = (smaller.answers == label).all(-1), choose(smaller, budget.selection)
            total += torch.stack([smaller.depth.sum(), right[chosen], right.any(), smaller.residual[chosen]])
        progress()
    means = (sums / len(puzzles)).tolist()
    cells = [
        Cell(
            halt=budget.halting.name,
            depth=budget.segments,
            breadth=budget.breadth or 1,
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
