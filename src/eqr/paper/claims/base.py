"""What a claim is, what measuring it yields, and when two shares differ. Knows no claim and no model."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from eqr.data.files import Puzzles
from eqr.engine.policy.selection import choose, selection_rule
from eqr.evidence import Evidence
from eqr.paper.claims.laboratory import Laboratory, Settings

HOLDS, FAILS, UNDECIDED, UNTESTED = "holds", "does not hold", "undecided", "not testable here"
ERRORS = 2.0
"""Standard errors by which two shares must differ to count as different."""

Row = dict[str, Any]
"""One line of a table: column to figure or word."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a claim's measurement yields."""

    verdict: str
    """HOLDS, FAILS, UNDECIDED (seeds or parts disagree, or the numbers are too few), or UNTESTED."""
    why: str
    """The sentence that the numbers of the table support."""
    rows: list[Row]
    """The numbers, a table."""
    settings: Settings = field(default_factory=dict)
    """With what it was measured (``Laboratory.settings``)."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """How a claim's table is drawn."""

    x: str
    """Column across."""
    y: tuple[str, ...]
    """Columns upwards, a line each."""
    by: str | None = None
    """Column whose values get lines of their own; rows that share it and x are averaged."""
    log: bool = False
    """Whether x is logarithmic."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One statement of the paper, and how it is put to the test here."""

    number: int
    title: str
    statement: str
    """What the paper says, with its own figures and where they stand in it."""
    protocol: str
    """What is done here: models, puzzles, budgets, seeds; and what of the statement is left out."""
    measure: Callable[[Laboratory], Measured]
    uses: tuple[str, ...] = ()
    """Which of LARGE, SMALL and CLOCK it depends on; none if nothing is measured."""
    curve: Curve | None = None


@dataclass(frozen=True, kw_only=True)
class Gain:
    """How much the share of right puzzles changes, the same puzzles before and after."""

    points: float
    error: float
    """Standard error over the puzzles."""

    @property
    def sure(self) -> bool:
        """Whether it is more than chance."""
        return abs(self.points) > ERRORS * self.error

    def __str__(self) -> str:
        return f"{self.points:+.1f} points (standard error {self.error:.1f})"


def gain(change: Float[Tensor, " B"]) -> Gain:
    """From what the share of right rows of each puzzle changes by."""
    error = float(change.double().std()) / math.sqrt(len(change)) if len(change) > 1 else math.inf
    return Gain(points=percent(change), error=100 * error)


def shares(
    ends: Sequence[Evidence], puzzles: Puzzles, breadth: int | None = None, rule: str = "residual"
) -> Float[Tensor, " B"]:
    """For each puzzle the share of its groups of ``breadth`` starts of which ``rule`` selects a right one.

    Without ``breadth`` all its starts are one group.
    """
    chosen_by, found = selection_rule(rule), []
    for one, label in zip(ends, puzzles.batch().labels, strict=True):
        starts = len(one.depth)
        size = breadth or starts
        groups = [one.only(torch.arange(size) + start) for start in range(0, starts - size + 1, size)]
        found.append(mean([float((group.answers[choose(group, chosen_by)] == label).all()) for group in groups]))
    return torch.tensor(found, dtype=torch.double)


def percent(share: Tensor) -> float:
    """The mean of shares or of truths, in per cent."""
    return 100 * float(share.double().mean())


def mean(values: Sequence[float]) -> float:
    """Their mean."""
    return sum(values) / len(values)
