"""Optimizers and weight averaging, from libraries. Knows parameters by shape and place only."""

import math
from collections.abc import Callable
from itertools import groupby
from operator import attrgetter

import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from eqr.errors import InputError, missing_extra
from eqr.model import Reasoner

BETAS = (0.9, 0.95)
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the iteration that orthogonalises (Jordan, "Muon", 2024), as in torch."""


class Muon(torch.optim.Muon):
    """Muon of torch, with ``adjust_lr_fn="match_rms_adamw"``, for many small matrices.

    It orthogonalises all matrices of one shape together, in float32: one at a time they take four times as long.
    """

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Moves each matrix by its orthogonalised momentum (Nesterov's)."""
        for group in self.param_groups:
            parameters = sorted((p for p in group["params"] if p.grad is not None), key=lambda p: tuple(p.shape))
            for shape, same in groupby(parameters, key=attrgetter("shape")):
                matrices = list(same)
                gradients = [matrix.grad for matrix in matrices]
                momenta = [self._momentum(matrix) for matrix in matrices]
                torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
                moves = orthogonalised(torch.stack(torch._foreach_lerp(gradients, momenta, group["momentum"])))
                torch._foreach_mul_(matrices, 1 - group["lr"] * group["weight_decay"])
                rate = 0.2 * math.sqrt(max(shape)) * group["lr"]
                torch._foreach_add_(matrices, list(moves), alpha=-rate)

    def _momentum(self, matrix: Tensor) -> Tensor:
        state = self.state[matrix]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(matrix)
        momentum: Tensor = state["momentum_buffer"]
        return momentum


def orthogonalised(matrices: Float[Tensor, "N A B"], steps: int = 5) -> Float[Tensor, "N A B"]:
    """Returns about U V^T for each matrix U S V^T: Newton-Schulz brings its singular values close to 1."""
    a, b, c = NEWTON_SCHULZ
    wide = matrices.mT if matrices.shape[1] > matrices.shape[2] else matrices
    wide = wide / wide.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(steps):
        gram = wide @ wide.mT
        wide = torch.baddbmm(wide, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), wide, beta=a)
    return wide.mT if matrices.shape[1] > matrices.shape[2] else wide


def muon(model: Reasoner, lr: float, weight_decay: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks, AdamW without decay for the rest; one learning rate serves both."""
    # Muon orthogonalises its updates, so it takes matrices only: biases and other shapes of a block go with the rest.
    matrices = [parameter for parameter in model.blocks.parameters() if parameter.ndim == 2]
    chosen = {id(parameter) for parameter in matrices}
    rest = [parameter for parameter in model.parameters() if id(parameter) not in chosen]
    if not matrices:
        raise InputError("the optimizer muon needs blocks with matrices: choose another optimizer")
    return [
        Muon(matrices, lr=lr, momentum=0.95, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, lr=lr, betas=BETAS, weight_decay=0.0, fused=True),
    ]


def adam_atan2(model: Reasoner, lr: float, weight_decay: float) -> list[torch.optim.Optimizer]:
    """Adam-atan2 (arXiv 2407.05872) for everything: p <- (1 - lr * decay) * p - lr * atan2(m, sqrt(v)).

    a = b = 1 as in the build that TRM and EqR use; the library's own default is a = 1.27.
    """
    try:
        from adam_atan2_pytorch import AdamAtan2
    except ImportError:
        raise missing_extra("the optimizer adam_atan2", "train") from None
    return [AdamAtan2(model.parameters(), lr=lr, betas=BETAS, weight_decay=weight_decay, a=1.0, b=1.0)]


MakeOptimizers = Callable[[Reasoner, float, float], list[torch.optim.Optimizer]]
"""``make(model, lr, weight_decay)`` returns optimizers that share out the parameters of a model among them."""

OPTIMIZERS: dict[str, MakeOptimizers] = {
    "muon": muon,
    "adam_atan2": adam_atan2,
}


def make_average(model: Reasoner, decay: float) -> AveragedModel:
    """Exponential moving average of the weights; the run evaluates and saves the averaged model."""
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay))  # type: ignore[no-untyped-call]


@torch.no_grad()
def update_average(average: AveragedModel, model: Reasoner, first: bool) -> None:
    """Does what ``average.update_parameters(model)`` does, the ``first`` time or later.

    The library's method copies its counter to the device, for which the host waits, and copies buffers, which training
    never changes.
    """
    if first or average.multi_avg_fn is None:
        average.update_parameters(model)
        return
    average.multi_avg_fn(list(average.parameters()), list(model.parameters()), average.n_averaged)
    average.n_averaged += 1


def learning_rate_scale(step: int, progress: float, warmup_steps: int, decay_share: float) -> float:
    """Linear warm-up over ``warmup_steps``, then 1, then linear decay to 0 over the last ``decay_share`` of the budget.

    ``progress`` is the share of the budget (steps or minutes, resumed ones included) that is spent, 0 to 1.
    """
    warmup = min(1.0, (step + 1) / max(1, warmup_steps))
    decay = 1.0 if decay_share <= 0 else min(1.0, (1.0 - progress) / decay_share)
    return warmup * max(0.0, decay)
