"""Is the map contracting where a trajectory ended? The spectral radius of its Jacobian there, row by row.

A fixed point attracts nearby states if the radius of ``df/dz`` is below 1; their distance from it then shrinks by about
that factor in each update. At an end state that still moves, the radius only describes the map at that state.
"""

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.func import jvp
from torch.nn.attention import SDPBackend, sdpa_kernel

from eqr.analysis.base import Finding, Row
from eqr.analysis.basins import STILL
from eqr.analysis.states import settle
from eqr.data.files import Puzzles
from eqr.engine import SolveConfig
from eqr.model import Reasoner
from eqr.runtime import CACHED_ROWS
from eqr.types import Ids, State

BURN_IN, MEASURED = 50, 100
"""Steps of the power iteration that only turn the vector, and further steps that measure its growth."""
HELD = 64
"""Rows whose end states are held at a time."""


@contextmanager
def _forward_mode() -> Iterator[None]:
    """A context in which every block has forward derivatives: it turns fused attention off, which has none."""
    with warnings.catch_warnings(), sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        # torch scripts its own forward derivatives, and torch 2.13 calls scripting deprecated.
        warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", DeprecationWarning)
        yield


def spectral_radius(
    model: Reasoner,
    inputs: Ids,
    states: State,
    seed: int = 0,
    progress: Callable[[float], None] = lambda done: None,
    burn_in: int = BURN_IN,
    measured: int = MEASURED,
) -> Float[Tensor, " R"]:
    """Spectral radius of the Jacobian of ``model.update`` at each state, by power iteration; no Jacobian is formed.

    A vector drawn from ``seed`` is repeatedly multiplied by the Jacobian (``torch.func.jvp``), for all rows at once.
    Where the largest eigenvalues are a complex pair, the vector's length swings, so one step does not give the radius:
    the radius is the geometric mean of the growth over ``measured`` steps, after ``burn_in`` steps that are not
    counted. The error falls as 1/``measured``. ``progress`` is called with the number of rows done since.

    Runs all rows in the caller's thread: torch counts the nesting of forward derivatives once for all threads.
    """
    device = model.answer_head.device
    size = CACHED_ROWS if device.type == "cpu" else len(states)
    generator = torch.Generator().manual_seed(seed)
    # All rows get the same first vector, so that a row's radius does not depend on its neighbours.
    first = torch.randn(states.shape[1:], generator=generator)
    radii = []
    with _forward_mode():
        for start in range(0, len(states), size):
            z, ids = states[start : start + size].to(device), inputs[start : start + size].to(device)
            x, v = model.embed(ids), first.expand_as(z).to(device)
            moved = partial(model.update, x=x, relations=model.relations(ids))
            growth = torch.zeros(len(z), dtype=torch.double, device=device)
            for step in range(burn_in + measured):
                length = v.flatten(1).norm(dim=1)  # how much the last step stretched the vector, which had length 1
                if step >= burn_in:
                    growth += length.double().log()
                v = jvp(moved, (z,), (v / length.view(-1, 1, 1, 1),))[1]
            radii.append((growth / measured).exp().float().cpu())
            progress(len(z))
    return torch.cat(radii)


@dataclass(frozen=True, kw_only=True)
class Spectrum(Finding):
    """Spectral radii at the end states of R rows."""

    radius: Float[Tensor, " R"]
    right: Bool[Tensor, " R"]
    residual: Float[Tensor, " R"]
    """Residuals of the end states."""

    def groups(self) -> dict[str, Bool[Tensor, " R"]]:
        """Masks of the rows that are right, wrong and at rest, and wrong and moving."""
        rests = self.residual < STILL
        return {"right": self.right, "wrong, at rest": ~self.right & rests, "wrong, moving": ~self.right & ~rests}

    def headline(self) -> Row:
        """Rows, median radius and the share below 1, by group."""
        figures: Row = {}
        for group, chosen in self.groups().items():
            name, radius = group.replace(",", "").replace(" ", "_"), self.radius[chosen]
            figures[f"rows_{name}"] = len(radius)
            figures[f"median_radius_{name}"] = float(radius.median()) if len(radius) else math.nan
        return figures | {"contracting_right": float((self.radius[self.right] < 1).double().mean())}

    def tables(self) -> dict[str, list[Row]]:
        """One line for each row."""
        lines = zip(*(column.tolist() for column in (self.right, self.residual, self.radius)), strict=True)
        return {"": [{"row": at, "right": r, "residual": s, "radius": q} for at, (r, s, q) in enumerate(lines, 1)]}


def spectrum(
    model: Reasoner,
    puzzles: Puzzles,
    config: SolveConfig,
    progress: Callable[[float], None] = lambda done: None,
) -> Spectrum:
    """Computes the radius at the end of each puzzle's first restart; ``progress`` gets the number of puzzles done.

    Only depth and seed are read from ``config``.
    """
    model, batch = model.for_task(puzzles.task), puzzles.batch()
    columns = []
    for start in range(0, len(puzzles), HELD):
        inputs, labels = batch.inputs[start : start + HELD], batch.labels[start : start + HELD]
        ends = settle(model, inputs, replace(config, breadth=1))
        radius = spectral_radius(model, inputs, ends.states, config.seed, progress)
        columns.append((radius, (ends.answers == labels).all(-1), ends.residual))
    radius, right, residual = (torch.cat(column) for column in zip(*columns, strict=True))
    return Spectrum(radius=radius, right=right, residual=residual)
