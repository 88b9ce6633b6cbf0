"""Which restart answers? One pure function a rule, from the evidence of all restarts; no rule sees a label."""

from collections.abc import Callable

from jaxtyping import Int
from torch import Tensor

from eqr.types import Trajectories


def by_residual(found: Trajectories) -> Int[Tensor, " B"]:
    """The restart that settled best: smallest mean residual over its last segments (EqR Eq. 20), first if equal."""
    return found.residual.nan_to_num(nan=float("inf")).argmin(-1)


SELECTION: dict[str, Callable[[Trajectories], Int[Tensor, " B"]]] = {"residual": by_residual}
