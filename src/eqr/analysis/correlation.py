"""Does a small residual mean a right answer? Asks so for budgets (EqR Fig. 1) and for single rows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from eqr.analysis.base import Finding, Row
from eqr.analysis.traces import Traces
from eqr.measure.statistics import auroc, spearman


@dataclass(frozen=True, kw_only=True)
class Budget:
    """One depth and breadth; means over puzzles, and over disjoint groups of ``breadth`` restarts."""

    depth: int
    breadth: int
    residual: float
    """Smallest residual of the restarts; the restart that has it answers."""
    exact_accuracy: float


@dataclass(frozen=True, kw_only=True)
class Budgets(Finding):
    """Mean residual and exact accuracy of many budgets: depth and breadth in powers of two, and in full."""

    budgets: tuple[Budget, ...]
    over_depths: float
    """Spearman's correlation of residual and accuracy over the depths, one restart."""
    over_all: float
    """Spearman's correlation of residual and accuracy over all budgets."""

    def headline(self) -> Row:
        """Both correlations, and the accuracies of the smallest and the full budget."""
        return {
            "spearman_over_depths": self.over_depths,
            "spearman_over_budgets": self.over_all,
            "exact_accuracy_least_budget": self.budgets[0].exact_accuracy,
            "exact_accuracy_full_budget": self.budgets[-1].exact_accuracy,
        }

    def tables(self) -> dict[str, list[Row]]:
        """One line for each budget."""
        return {"": [dict(vars(budget)) for budget in self.budgets]}


def powers(most: int) -> list[int]:
    """1, 2, 4, ... and ``most``."""
    return sorted({*(2**power for power in range(most.bit_length())), most})


def best_settled(traces: Traces, breadth: int) -> tuple[Float[Tensor, "B G T"], Bool[Tensor, "B G T"]]:
    """The smallest residual of each of G disjoint groups of ``breadth`` restarts, and whether that restart is right."""
    puzzles, restarts, segments = traces.residual.shape
    whole, shape = restarts // breadth * breadth, (puzzles, -1, breadth, segments)
    judged, exact = (of[:, :whole].reshape(shape) for of in (traces.judged_residual(), traces.exact))
    least, chosen = judged.min(2)
    return least, exact.gather(2, chosen.unsqueeze(2)).squeeze(2)


def correlation_of_budgets(traces: Traces) -> Budgets:
    """Computes the outcome of every smaller budget, and whether accuracy rises as the residual falls."""
    _, restarts, segments = traces.residual.shape
    budgets = []
    for breadth in powers(restarts):
        least, exact = best_settled(traces, breadth)
        for depth in powers(segments):
            residual, accuracy = (float(of[..., depth - 1].double().mean()) for of in (least, exact))
            budgets.append(Budget(depth=depth, breadth=breadth, residual=residual, exact_accuracy=accuracy))
    alone = [budget for budget in budgets if budget.breadth == 1]
    return Budgets(budgets=tuple(budgets), over_depths=_spearman(alone), over_all=_spearman(budgets))


def _spearman(budgets: list[Budget]) -> float:
    return spearman([budget.residual for budget in budgets], [budget.exact_accuracy for budget in budgets])


SIGNS = ("residual", "logit_change", "halt_logit")


@dataclass(frozen=True, kw_only=True)
class Judges(Finding):
    """How well each sign of a row (SIGNS) tells whether its answer is right, at T depths, over the rows of all puzzles.

    Residual and logit change are means over the last ``window`` segments, as selection sees them.
    """

    auroc: dict[str, Float[Tensor, " T"]]
    """For each sign, the probability that a right row looks better than a wrong one; a tie counts half. NaN if all rows
    are right, or all wrong."""
    spearman_exact: Float[Tensor, " T"]
    """Spearman's correlation of the residual and whether the row is right."""
    spearman_token: Float[Tensor, " T"]
    """Spearman's correlation of the residual and the share of right cells."""
    right: Float[Tensor, " T"]
    """Share of the rows that are right."""
    rows: int

    def headline(self) -> Row:
        """The figures at full depth."""
        return {
            "rows": self.rows,
            "right": float(self.right[-1]),
            **{f"auroc_{sign}": float(self.auroc[sign][-1]) for sign in SIGNS},
            "spearman_residual_cells_right": float(self.spearman_token[-1]),
        }

    def tables(self) -> dict[str, list[Row]]:
        """One line for each depth."""
        columns = {
            "right": self.right,
            **{f"auroc_{sign}": self.auroc[sign] for sign in SIGNS},
            "spearman_exact": self.spearman_exact,
            "spearman_token": self.spearman_token,
        }
        lines = zip(*(column.tolist() for column in columns.values()), strict=True)
        return {"": [{"depth": t, **dict(zip(columns, line, strict=True))} for t, line in enumerate(lines, 1)]}


def correlation_of_rows(traces: Traces) -> Judges:
    """Measures residual, logit change and halting head as judges of single rows, at each depth."""
    # Signed so that a larger value means a better row.
    better = {
        "residual": -traces.judged_residual(),
        "logit_change": -traces.judged_logit_change(),
        "halt_logit": traces.halt_logit,
    }
    return Judges(
        auroc={sign: _by_depth(auroc, values, traces.exact) for sign, values in better.items()},
        spearman_exact=-_by_depth(spearman, better["residual"], traces.exact),
        spearman_token=-_by_depth(spearman, better["residual"], traces.token),
        right=traces.exact.double().mean((0, 1)),
        rows=traces.exact[..., 0].numel(),
    )


def _by_depth(
    figure: Callable[[list[float], list[Any]], float], values: Float[Tensor, "B K T"], outcome: Shaped[Tensor, "B K T"]
) -> Float[Tensor, " T"]:
    """Computes ``figure`` of the values and outcomes of all rows, at each depth."""
    pairs = zip(values.flatten(0, 1).T.tolist(), outcome.flatten(0, 1).T.tolist(), strict=True)
    return torch.tensor([figure(*pair) for pair in pairs], dtype=torch.double)
