"""Residual against depth: do trajectories come to rest, and do right ones come to rest sooner than wrong ones?"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from eqr.analysis.base import Finding, Row

QUARTILES = (0.25, 0.5, 0.75)


@dataclass(frozen=True, kw_only=True)
class ResidualDepth(Finding):
    """Quartiles of the residual after each of T segments, for rows that end right and for rows that end wrong."""

    solved: Float[Tensor, "3 T"]
    """Lower quartile, median, upper quartile; NaN if no row is right."""
    unsolved: Float[Tensor, "3 T"]
    solved_rows: int
    unsolved_rows: int

    def headline(self) -> Row:
        """Medians at full depth."""
        return {
            "rows_right": self.solved_rows,
            "rows_wrong": self.unsolved_rows,
            "median_residual_right": float(self.solved[1, -1]),
            "median_residual_wrong": float(self.unsolved[1, -1]),
        }

    def tables(self) -> dict[str, list[Row]]:
        """One line for each depth."""
        names = [f"{kind}_{part}" for kind in ("right", "wrong") for part in ("lower", "median", "upper")]
        lines = torch.cat([self.solved, self.unsolved]).T.tolist()
        return {"": [{"depth": t, **dict(zip(names, line, strict=True))} for t, line in enumerate(lines, 1)]}


def residual_depth(residual: Float[Tensor, "N T"], right: Bool[Tensor, " N"]) -> ResidualDepth:
    """Computes the quartiles from the residuals of N rows; ``right`` tells which rows end with the right answer."""
    return ResidualDepth(
        solved=_quartiles(residual[right]),
        unsolved=_quartiles(residual[~right]),
        solved_rows=int(right.sum()),
        unsolved_rows=int((~right).sum()),
    )


def _quartiles(residual: Float[Tensor, "N T"]) -> Float[Tensor, "3 T"]:
    if not len(residual):
        return residual.new_full((3, residual.shape[1]), torch.nan)
    # NumPy, since torch.quantile takes at most 16 million values.
    return torch.from_numpy(np.quantile(residual.numpy(), QUARTILES, 0)).to(residual.dtype)
