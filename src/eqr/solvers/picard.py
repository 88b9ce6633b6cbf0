"""Picard iteration ``z <- z + (1 - damping) * (f(z) - z)`` (EqR arXiv 2605.21488, Eq. 1, without its noise)."""

from dataclasses import dataclass

import torch

from eqr.errors import InputError
from eqr.solvers.base import Map, Memory, Rows, Solver


@dataclass(frozen=True, kw_only=True)
class Picard(Solver):
    """Apply f, keep a share of the old state."""

    damping: float = 0.0
    """Share of the old state that is kept, 0 to 1; on top of what the model itself keeps."""

    def __post_init__(self) -> None:
        if not 0 <= self.damping < 1:
            raise InputError(f"damping of the picard solver is {self.damping}: 0 or more, and less than 1, is needed")

    def init(self, z: Rows) -> Memory:
        """Nothing is carried."""
        return ()

    def step(self, f: Map, z: Rows, memory: Memory) -> tuple[Rows, Rows, Memory]:
        """One evaluation of f."""
        fz = f(z)
        return (torch.lerp(fz, z, self.damping) if self.damping else fz), fz, memory
