"""The base of all solvers: one step towards a fixed point of f, row by row. Knows vectors only."""

from abc import ABC, abstractmethod
from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

Rows = Float[Tensor, "R ..."]
"""Any state; axis 0 counts rows, and rows do not affect each other."""
Map = Callable[[Rows], Rows]
"""The map f whose fixed points are sought."""
Memory = tuple[Tensor, ...]
"""Tensors that a solver carries from step to step; axis 0 of each tensor counts rows."""


class Solver(ABC):
    """Steps towards a fixed point of f; each step evaluates f once."""

    @abstractmethod
    def init(self, z: Rows) -> Memory:
        """Returns the memory for the first step, from ``z``."""

    @abstractmethod
    def step(self, f: Map, z: Rows, memory: Memory) -> tuple[Rows, Rows, Memory]:
        """Returns the next state, ``f(z)`` (which yields the residual at no cost), and the memory for the next step."""


def relative_residual(fz: Rows, z: Rows) -> Float[Tensor, " R"]:
    """Returns ``|f(z) - z| / |z|`` of each row, over all its axes."""
    residual: Tensor = (fz - z).flatten(1).norm(dim=1) / z.flatten(1).norm(dim=1)
    return residual
