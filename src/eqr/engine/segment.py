"""One segment of rows. Knows no queue, no halting."""

from functools import partial

from jaxtyping import Float
from torch import Tensor

from eqr.model import Reasoner
from eqr.solvers import Memory, Solver, relative_residual
from eqr.types import Embedded, Logits, State


def segment(
    model: Reasoner, solver: Solver, z: State, x: Embedded, memory: Memory, noise: Float[Tensor, "R U N C D"] | None
) -> tuple[State, Memory, Float[Tensor, " R"], Logits, Float[Tensor, " R"]]:
    """One segment of every row: state, memory, residual of its last update, logits, halting logit.

    Noise is added by the calls of each of the U updates. It is never part of a residual, which under noise takes one
    more evaluation of f, without it.
    """
    added = noise.unbind(1) if noise is not None else (None,) * model.config.updates_per_segment
    for now in added:
        before = z
        z, fz, memory = solver.step(partial(model.update, x=x, noise=now), z, memory)
    if noise is not None:
        fz = model.update(before, x)
    return z, memory, relative_residual(fz, before), model.decode(z), model.halt_logit(z)
