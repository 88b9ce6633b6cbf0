"""Picard iteration z <- f(z; x): one segment at a time, with optional noise. Knows no halting and no selection."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from eqr.model import Reasoner
from eqr.types import Embedded, State


@dataclass(frozen=True, kw_only=True)
class Picard:
    """Steps every row towards its fixed point by applying the update."""

    noise: float = 0.0
    """Standard deviation beta of the normal noise added after each update (EqR Eq. 1)."""

    def step(
        self, model: Reasoner, z: State, x: Embedded, generators: Sequence[torch.Generator]
    ) -> tuple[State, Float[Tensor, " R"]]:
        """One segment; returns the state and each row's residual ``|f(z) - z| / |z|`` of the last update.

        The residual is free of noise: it compares the last update with its own input. Each row draws its noise from
        its own generator, so rows do not depend on each other.
        """
        residual = torch.zeros(len(z), device=z.device)
        for number in range(model.config.updates_per_segment):
            updated = model.update(z, x)
            if number == model.config.updates_per_segment - 1:
                residual = (updated - z).flatten(1).norm(dim=1) / z.flatten(1).norm(dim=1)
            z = updated
            if self.noise:
                drawn = [torch.randn(z.shape[1:], generator=g, device=g.device) for g in generators]
                z = z + self.noise * torch.stack(drawn).to(z.device)
        return z, residual
