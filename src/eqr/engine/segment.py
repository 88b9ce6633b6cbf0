"""One segment of many rows: the updates between two looks at an answer. Knows no slot and no puzzle."""

from functools import partial
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from eqr.model import Reasoner
from eqr.model.recursion import Call
from eqr.solvers import Memory, Solver, relative_residual
from eqr.types import Embedded, Logits, State


class Segment(NamedTuple):
    """The outcome of one segment of R rows."""

    z: State
    memory: Memory
    residual: Float[Tensor, " R"]
    """Relative residual of the last update."""
    logits: Logits
    halt_logit: Float[Tensor, " R"]


def segment(
    model: Reasoner,
    solver: Solver,
    z: State,
    x: Embedded,
    memory: Memory,
    noise: Float[Tensor, "R U N C D"] | None,
    call: Call | None = None,
) -> Segment:
    """Runs one segment of every row.

    The calls in each of the U updates add the noise. A residual never contains noise. ``call`` is a faster form of the
    model's own (``Reasoner.fused``).
    """
    added = noise.unbind(1) if noise is not None else (None,) * model.config.updates_per_segment
    for now in added:
        before = z
        z, fz, memory = solver.step(partial(model.update, x=x, noise=now, call=call), z, memory)
    if noise is not None:  # the residual is that of f without noise, so it takes one more evaluation
        fz = model.update(before, x, call=call)
    return Segment(z, memory, relative_residual(fz, before), model.decode(z), model.halt_logit(z))
