"""Anderson acceleration, per row and safeguarded (Walker & Ni 2011, doi 10.1137/10078356X)."""

from dataclasses import dataclass

import torch

from eqr.errors import InputError
from eqr.solvers.base import Map, Memory, Rows, Solver


@dataclass(frozen=True, kw_only=True)
class Anderson(Solver):
    """Extrapolates from the last m pairs of z and f(z) to the state where their residuals would cancel.

    The weights solve ``min |sum_i a_i (f(z_i) - z_i)|`` with ``sum_i a_i = 1`` for each row. Safeguard: a row whose
    residual has grown since the last step forgets its history and takes a plain Picard step.
    """

    history: int = 5
    """m, the number of pairs remembered."""
    ridge: float = 1e-6
    """Regularisation of the weights, relative to the mean squared residual of the pairs."""

    def __post_init__(self) -> None:
        if self.history < 1:
            raise InputError(f"history of the anderson solver is {self.history}: it must be 1 or more")

    def init(self, z: Rows) -> Memory:
        """Returns empty histories of residuals and images, the number of their pairs, and the last residual's norm."""
        rows, size = len(z), z[:1].numel()
        empty = z.new_zeros(rows, self.history, size)
        return empty, empty.clone(), z.new_zeros(rows, dtype=torch.long), z.new_full((rows,), float("inf"))

    def step(self, f: Map, z: Rows, memory: Memory) -> tuple[Rows, Rows, Memory]:
        """Evaluates f once and solves one m x m system per row."""
        residuals, images, count, last = memory
        fz = f(z)
        image = fz.flatten(1)
        residual = image - z.flatten(1)
        norm = residual.norm(dim=1)
        grown = norm > last
        # The newest pair comes first and the oldest drops out; a row whose residual has grown keeps only the newest.
        residuals = torch.cat([residual.unsqueeze(1), residuals[:, :-1]], 1)
        images = torch.cat([image.unsqueeze(1), images[:, :-1]], 1)
        count = torch.where(grown, 1, (count + 1).clamp(max=self.history))
        weights = self._weights(residuals, count)
        mixed = torch.einsum("rm,rmn->rn", weights, images)
        plain = (count == 1).unsqueeze(1)
        return torch.where(plain, image, mixed).view_as(z), fz, (residuals, images, count, norm)

    def _weights(self, residuals: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
        """Returns (R, m) weights that add up to 1 and are zero beyond each row's ``count``."""
        used = torch.arange(self.history, device=count.device) < count.unsqueeze(1)
        kept = residuals * used.unsqueeze(2)
        gram = (kept @ kept.transpose(1, 2)).double()
        scale = gram.diagonal(dim1=1, dim2=2).sum(1) / count
        # Unused pairs get a diagonal of 1 and a right-hand side of 0, so their weight is 0.
        ridge = torch.diag_embed(torch.where(used, self.ridge, 1.0).double())
        solution = torch.linalg.solve_ex(gram / scale.clamp(min=1e-300)[:, None, None] + ridge, used.double())[0]
        weights: torch.Tensor = solution / solution.sum(1, keepdim=True)
        return weights.to(residuals.dtype)
