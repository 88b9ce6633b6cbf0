"""Which attractors does one puzzle have, how wide are their basins, and do trajectories rest there?

Hundreds of random starts of a puzzle are moved to full depth. Starts with the same answer form a basin; its mass is
their share. Recurrence tells how a start ends: a fixed point hardly moves, and a cycle returns to an earlier state.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from eqr.analysis.base import Finding, Row
from eqr.analysis.starts import from_random_starts
from eqr.analysis.states import Ends, right_rows, settle
from eqr.engine import SolveConfig
from eqr.model import Reasoner
from eqr.tasks import Task

LAGS = 64
"""Longest period to look for, in updates."""
STILL = 1e-3
"""An end state that one update moves by less than this share of its length is at a fixed point."""
RETURNS = 0.25
"""An end state is on a cycle if a later update returns to within this share of one update's distance from it."""
BROAD = 0.9
"""Share of right starts from which a basin is called broad."""
SPURIOUS = 0.1
"""Share of starts at rest on wrong answers from which a landscape is said to have spurious attractors."""
MODES = {
    "a": "no correct attractor",
    "b": "correct and spurious attractors",
    "c": "correct attractor, narrow",
    "d": "correct attractor, broad and stable",
}
"""The landscapes of EqR Fig. 6."""
COLUMNS = 8192
"""Columns converted to double precision at a time, so that long vectors need little more memory than their own."""


@dataclass(frozen=True, kw_only=True)
class Basin:
    """The starts that end with one answer."""

    answer: str
    right: bool
    mass: float
    """Share of all starts."""
    residual: float
    """Median over the basin's starts."""
    spread: float
    """Root mean square distance of the end states from their mean, over a state's length: 0 if all are one point."""
    fixed: int
    """Starts that end in a fixed point."""
    cycling: int
    """Starts that end in a cycle."""
    wandering: int
    """Starts that end in neither."""


@dataclass(frozen=True, kw_only=True)
class Basins(Finding):
    """The landscape of one puzzle, seen from R starts."""

    basins: tuple[Basin, ...]
    """The basins, heaviest first."""
    basin: Int[Tensor, " R"]
    """Index of the basin in which each start ends."""
    right: Bool[Tensor, " R"]
    period: Int[Tensor, " R"]
    """Period in updates: 1 for a fixed point, more for a cycle, 0 for neither."""
    residual: Float[Tensor, " R"]
    coordinates: Float[Tensor, "R 2"]
    """End states along their first two principal components."""
    explained: Float[Tensor, " 2"]
    """Share of the variance along each component."""
    mode: str
    """Key in MODES."""

    def headline(self) -> Row:
        """The mode of the landscape, and shares of the starts."""
        rest = self.period > 0
        return {
            "starts": len(self.right),
            "landscape": f"({self.mode}) {MODES[self.mode]}",
            "right": float(self.right.double().mean()),
            "at_rest_wrong": float((rest & ~self.right).double().mean()),
            "wandering": float((~rest).double().mean()),
            "wrong_answers_at_rest": len(torch.unique(self.basin[rest & ~self.right])),
        }

    def tables(self) -> dict[str, list[Row]]:
        """One line for each start, and one for each answer."""
        columns = (self.basin + 1, self.right, self.residual, self.period, *self.coordinates.T)
        names = ("basin", "right", "residual", "period", "x", "y")
        starts = zip(*(column.tolist() for column in columns), strict=True)
        return {
            "": [{"start": at, **dict(zip(names, line, strict=True))} for at, line in enumerate(starts)],
            "_answers": [{"basin": at, **vars(basin)} for at, basin in enumerate(self.basins, 1)],
        }


def periods(
    recurrence: Float[Tensor, "R P"], later: Float[Tensor, " R"], stays: Bool[Tensor, " R"]
) -> Int[Tensor, " R"]:
    """1 for a fixed point, the smallest p > 1 for a cycle, 0 for neither.

    At a fixed point, one update moves the state by less than STILL of its length: now or, if the answer stays the same,
    P updates later (a row that comes to rest only then may have changed its answer). On a cycle, the p-th update
    returns to within RETURNS of the distance that one update moves, and this distance does not halve in P updates, as
    it does in a spiral towards a fixed point. The period of a cycle need not be a whole number of updates, so a
    stricter return is not required.
    """
    step = recurrence[:, 0]
    fixed = (step < STILL) | ((later < STILL) & stays)
    returns = recurrence[:, 1:] < RETURNS * step.unsqueeze(1)
    cycles = returns.any(1) & (later > step / 2)
    first = returns.int().argmax(1) + 2 if returns.shape[1] else torch.zeros_like(step, dtype=torch.long)
    return torch.where(fixed, 1, torch.where(cycles, first, 0))


def mode_of(right: Bool[Tensor, " R"], period: Int[Tensor, " R"]) -> str:
    """The landscape's key in MODES.

    (a) no start is right; (d) a share BROAD of the starts is right; else (b) if a share SPURIOUS rests on wrong
    answers; else (c).
    """
    share, spurious = float(right.double().mean()), float((~right & (period > 0)).double().mean())
    if share == 0:
        return "a"
    if share >= BROAD:
        return "d"
    return "b" if spurious >= SPURIOUS else "c"


def principal_components(
    vectors: Float[Tensor, "R N"], count: int = 2
) -> tuple[Float[Tensor, "R Q"], Float[Tensor, " Q"]]:
    """Coordinates of each vector along the first ``count`` components, and each component's share of the variance.

    Computed from the R x R Gram matrix of the centred vectors, in double precision: exact, and without random numbers.
    The sign of a component makes its largest coordinate positive.
    """
    gram = torch.zeros(len(vectors), len(vectors), dtype=torch.double)
    for columns in torch.split(vectors, COLUMNS, 1):
        centred = columns.double() - columns.double().mean(0)
        gram += centred @ centred.T
    values, axes = torch.linalg.eigh(gram)
    largest = values.clamp(min=0).flip(0)[:count]
    coordinates = axes.flip(1)[:, :count] * largest.sqrt()
    furthest = coordinates.gather(0, coordinates.abs().argmax(0, keepdim=True))
    shares = largest / gram.trace().clamp(min=1e-300)
    return (coordinates * furthest.sign()).float(), shares.float()


def basins_of(ends: Ends, right: Bool[Tensor, " R"], task: Task) -> Basins:
    """Describes the landscape of one puzzle from the ends of many starts."""
    boards, which, count = torch.unique(ends.answers, dim=0, return_inverse=True, return_counts=True)
    order = torch.argsort(count, descending=True, stable=True)
    basin = torch.argsort(order)[which]
    period = periods(ends.recurrence, ends.later, ends.stays)
    flat = ends.states.flatten(1)
    coordinates, explained = principal_components(flat)
    listed = []
    for number, board in enumerate(boards[order]):
        inside = basin == number
        mine = flat[inside]
        spread = (mine - mine.mean(0)).square().sum(1).mean().sqrt() / mine.norm(dim=1).mean()
        listed.append(
            Basin(
                answer=task.format(board),
                right=bool(right[inside][0]),
                mass=float(inside.double().mean()),
                residual=float(ends.residual[inside].median()),
                spread=float(spread),
                fixed=int((period[inside] == 1).sum()),
                cycling=int((period[inside] > 1).sum()),
                wandering=int((period[inside] == 0).sum()),
            )
        )
    return Basins(
        basins=tuple(listed),
        basin=basin,
        right=right,
        period=period,
        residual=ends.residual,
        coordinates=coordinates,
        explained=explained,
        mode=mode_of(right, period),
    )


def explore(
    model: Reasoner,
    puzzle: Int[Tensor, " L"],
    label: Int[Tensor, " L"] | None,
    starts: int,
    config: SolveConfig,
    progress: Callable[[float], None] = lambda done: None,
) -> tuple[Basins, Ends]:
    """Explores the landscape of one puzzle from random starts; ``progress`` gets the number of starts done since.

    Returns the landscape and the ends of the starts. Without ``label``, the task's rules tell which answers are right;
    raises InputError if the task has no rules.
    """
    model = from_random_starts(model)
    ends = settle(model, puzzle.unsqueeze(0), replace(config, breadth=starts), LAGS, progress)
    return basins_of(ends, right_rows(model.task, puzzle, ends.answers, label), model.task), ends
