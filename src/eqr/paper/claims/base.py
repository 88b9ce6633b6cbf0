"""The types of claims and their measurements, and a test whether two shares differ. Knows no claim and no model."""

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
"""One line of a table: a figure or a word for each column."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The result of measuring a claim."""

    verdict: str
    """HOLDS, FAILS, UNDECIDED (seeds or parts disagree, or the numbers are too few), or UNTESTED."""
    why: str
    """A sentence that gives the reason for the verdict."""
    rows: list[Row]
    """The numbers, as a table."""
    settings: Settings = field(default_factory=dict)
    """The settings of the measurement (``Laboratory.settings``)."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """The figure of a claim's table."""

    x: str
    """Column on the horizontal axis."""
    y: tuple[str, ...]
    """Columns on the vertical axis, with a line for each."""
    by: str | None = None
    """Column with a line for each of its values; rows with equal values of ``by`` and ``x`` are averaged."""
    log: bool = False
    """Whether x is logarithmic."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One statement of the paper, and its test here."""

    number: int
    title: str
    statement: str
    """The paper's statement, with its figures and the places where the paper has them."""
    protocol: str
    """The test: models, puzzles, budgets and seeds, and the parts of the statement that are left out."""
    measure: Callable[[Laboratory], Measured]
    uses: tuple[str, ...] = ()
    """The parts on which the measurement depends, of LARGE, SMALL and CLOCK; none if nothing is measured."""
    curve: Curve | None = None


@dataclass(frozen=True, kw_only=True)
class Gain:
    """The change of the share of right puzzles, with the same puzzles before and after."""

    points: float
    error: float
    """Standard error over the puzzles."""

    @property
    def sure(self) -> bool:
        """Whether the change is larger than chance explains."""
        return abs(self.points) > ERRORS * self.error

    def __str__(self) -> str:
        return f"{self.points:+.1f} points (standard error {self.error:.1f})"


def gain(change: Float[Tensor, " B"]) -> Gain:
    """Computes the gain from the change of each puzzle's share of right rows."""
    error = float(change.double().std()) / math.sqrt(len(change)) if len(change) > 1 else math.inf
    return Gain(points=percent(change), error=100 * error)


def shares(
    ends: Sequence[Evidence], puzzles: Puzzles, breadth: int | None = None, rule: str = "residual"
) -> Float[Tensor, " B"]:
    """For each puzzle, the share of its groups of ``breadth`` starts in which ``rule`` selects a right start.

    Without ``breadth``, all starts of a puzzle are one group.
    """
    chosen_by, right = selection_rule(rule), []
    for evidence, label in zip(ends, puzzles.batch().labels, strict=True):
        starts = len(evidence.depth)
        size = breadth or starts
        groups = [evidence.only(torch.arange(size) + start) for start in range(0, starts - size + 1, size)]
        right.append(mean([float((group.answers[choose(group, chosen_by)] == label).all()) for group in groups]))
    return torch.tensor(right, dtype=torch.double)


def percent(share: Tensor) -> float:
    """The mean of shares or of booleans, in per cent."""
    return 100 * float(share.double().mean())


def mean(values: Sequence[float]) -> float:
    """The mean of ``values``."""
    return sum(values) / len(values)
