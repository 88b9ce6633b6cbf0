"""May this row stop? One small function a rule, from the row's evidence alone; a new rule is a line in the dict."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Rule = Callable[[Float[Tensor, "R W"], float], Bool[Tensor, " R"]]


def settled(residuals: Float[Tensor, "R W"], tol: float) -> Bool[Tensor, " R"]:
    """The residual stayed below ``tol`` over the last W segments; missing segments are infinite."""
    return (residuals < tol).all(-1)


def never(residuals: Float[Tensor, "R W"], tol: float) -> Bool[Tensor, " R"]:
    """Every row runs to full depth (the reference protocol)."""
    return torch.zeros(len(residuals), dtype=torch.bool, device=residuals.device)


HALTING: dict[str, Rule] = {"residual": settled, "fixed": never}
