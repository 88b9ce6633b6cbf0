"""What every solver is: one step towards a fixed point of f, row by row. Knows vectors only."""

from abc import ABC, abstractmethod
from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

Rows = Float[Tensor, "R ..."]
"""Any state; axis 0 counts rows, and nothing passes between them."""
Map = Callable[[Rows], Rows]
"""f, whose fixed points are sought."""
Memory = tuple[Tensor, ...]
"""What a solver carries from step to step; axis 0 of each tensor counts rows."""


class Solver(ABC):
    """Steps towards a fixed point of f, one evaluation of f a step."""

    @abstractmethod
    def init(self, z: Rows) -> Memory:
        """What the first step from ``z`` is given."""

    @abstractmethod
    def step(self, f: Map, z: Rows, memory: Memory) -> tuple[Rows, Rows, Memory]:
        """The next state, ``f(z)`` (from which the residual follows at no cost), and what the next step is given."""


def relative_residual(fz: Rows, z: Rows) -> Float[Tensor, " R"]:
    """``|f(z) - z| / |z|`` of each row, over all its axes."""
    residual: Tensor = (fz - z).flatten(1).norm(dim=1) / z.flatten(1).norm(dim=1)
    return residual
