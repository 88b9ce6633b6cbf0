"""Picard iteration ``z <- z + (1 - damping) * (f(z) - z)`` (EqR arXiv 2605.21488, Eq. 1, without its noise)."""

from dataclasses import dataclass

import torch

from eqr.errors import InputError
from eqr.solvers.base import Map, Memory, Rows, Solver


@dataclass(frozen=True, kw_only=True)
class Picard(Solver):
    """Applies f and keeps a share of the old state."""

    damping: float = 0.0
    """Share of the old state that is kept, 0 or more and less than 1; in addition to the model's own damping."""

    def __post_init__(self) -> None:
        if not 0 <= self.damping < 1:
            raise InputError(f"damping of the picard solver is {self.damping}: 0 or more, and less than 1, is needed")

    def init(self, z: Rows) -> Memory:
        """Returns an empty memory: nothing is carried."""
        return ()

    def step(self, f: Map, z: Rows, memory: Memory) -> tuple[Rows, Rows, Memory]:
        """Evaluates f once."""
        fz = f(z)
        return (torch.lerp(fz, z, self.damping) if self.damping else fz), fz, memory
