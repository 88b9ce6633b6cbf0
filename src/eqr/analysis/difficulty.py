"""Do harder puzzles take more steps? Segments to the right answer and to rest, against difficulty."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from eqr.analysis.base import Finding, Row
from eqr.analysis.traces import Traces
from eqr.measure.statistics import spearman

GROUPS = 5
"""Number of groups of puzzles by difficulty, of about equal size."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Puzzles of similar difficulty."""

    least: float
    most: float
    puzzles: int
    right: float
    """Share of the rows that end right."""
    steps: float
    """Median number of segments to the right answer, over the rows that end right; NaN if no row does."""


@dataclass(frozen=True, kw_only=True)
class Steps(Finding):
    """Segments that each row took to its right answer and to rest; 0 where a row did not get there."""

    right_at: Int[Tensor, "B K"]
    """First segment from which the answer stays right to the end."""
    settled_at: Int[Tensor, "B K"]
    """First segment at which the residual was below ``tol`` for a whole window."""
    difficulty: Float[Tensor, " B"]
    measure: str
    groups: tuple[Group, ...]
    spearman_right: float
    """Spearman's correlation of difficulty and ``right_at``, over the rows that end right."""
    spearman_settled: float
    """Spearman's correlation of difficulty and ``settled_at``, over the rows that settle."""

    def headline(self) -> Row:
        """The correlations, the median number of segments, and shares of the rows."""
        steps = self.right_at[self.right_at > 0].double()
        return {
            "difficulty": self.measure,
            "spearman_difficulty_right_at": self.spearman_right,
            "spearman_difficulty_settled_at": self.spearman_settled,
            "median_right_at": float(steps.median()) if len(steps) else math.nan,
            "right_within_5_of_those_right": float((steps <= 5).double().mean()),
            "settled": float((self.settled_at > 0).double().mean()),
        }

    def tables(self) -> dict[str, list[Row]]:
        """One line for each restart, and one for each group."""
        restarts: list[Row] = []
        rows = zip(self.difficulty.tolist(), self.right_at.tolist(), self.settled_at.tolist(), strict=True)
        for puzzle, (difficulty, right_at, settled_at) in enumerate(rows, 1):
            for restart, (right, settled) in enumerate(zip(right_at, settled_at, strict=True)):
                line: Row = {"puzzle": puzzle, "restart": restart, "difficulty": difficulty}
                restarts.append(line | {"right_at": right, "settled_at": settled})
        return {"": restarts, "_groups": [dict(vars(group)) for group in self.groups]}


def steps(traces: Traces) -> Steps:
    """Counts the segments that each row took, and correlates the counts with difficulty."""
    segments, window = traces.exact.shape[-1], traces.window
    # Read from the end, the cumulative minimum is 1 for as long as the answer stays right.
    stays = traces.exact.flip(-1).int().cummin(-1).values.sum(-1)
    right_at = torch.where(stays > 0, segments - stays + 1, 0)
    settled_at = torch.zeros_like(right_at)
    if segments >= window:
        still = traces.residual.unfold(-1, window, 1).amax(-1) < traces.tol
        settled_at = torch.where(still.any(-1), still.int().argmax(-1) + window, 0)
    return Steps(
        right_at=right_at,
        settled_at=settled_at,
        difficulty=traces.difficulty,
        measure=traces.measure,
        groups=_groups(traces.difficulty, right_at),
        spearman_right=_correlation(traces.difficulty, right_at),
        spearman_settled=_correlation(traces.difficulty, settled_at),
    )


def easy_and_hard(steps_taken: Steps) -> list[int]:
    """Indices of an easy and a hard puzzle, from 0; one index if the two are the same puzzle.

    Easy: the puzzle that most starts solve, and of several the one with the fewest steps. Hard: of the puzzles that
    only some starts solve, the one that the fewest solve; else the most difficult that no start solves; else the
    puzzle that takes longest.
    """
    share = (steps_taken.right_at > 0).double().mean(1).tolist()
    took = steps_taken.right_at.double().mean(1).tolist()
    numbers = range(len(share))
    easy = min(numbers, key=lambda at: (-share[at], took[at]))
    some, never = [at for at in numbers if 0 < share[at] < 1], [at for at in numbers if not share[at]]
    if some:
        hard = min(some, key=lambda at: share[at])
    elif never:
        hard = max(never, key=lambda at: float(steps_taken.difficulty[at]))
    else:
        hard = max(numbers, key=lambda at: took[at])
    return list(dict.fromkeys([easy, hard]))


def _correlation(difficulty: Float[Tensor, " B"], steps: Int[Tensor, "B K"]) -> float:
    there = steps > 0
    if not there.any():
        return math.nan
    return spearman(difficulty.unsqueeze(1).expand_as(steps)[there].tolist(), steps[there].tolist())


def _groups(difficulty: Float[Tensor, " B"], right_at: Int[Tensor, "B K"]) -> tuple[Group, ...]:
    edges = np.unique(np.quantile(difficulty.numpy(), np.linspace(0, 1, GROUPS + 1)))
    # A value on an edge belongs to the group above it; the last edge closes the last group.
    group_of = torch.from_numpy(np.digitize(difficulty.numpy(), edges[1:-1]))
    groups = []
    for number in torch.unique(group_of).tolist():
        within, rows = difficulty[group_of == number], right_at[group_of == number]
        there = rows[rows > 0].double()
        groups.append(
            Group(
                least=float(within.min()),
                most=float(within.max()),
                puzzles=len(within),
                right=float((rows > 0).double().mean()),
                steps=float(there.median()) if len(there) else math.nan,
            )
        )
    return tuple(groups)
