"""Optimizers and weight averaging, all of torch. Knows parameters by shape and place only."""

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from eqr.model import Reasoner


def make_optimizers(model: Reasoner, lr: float, weight_decay: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks, AdamW without decay for the rest; one learning rate serves both."""
    matrices = list(model.blocks.parameters())
    in_blocks = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in in_blocks]
    return [
        torch.optim.Muon(matrices, lr=lr, momentum=0.95, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, lr=lr, betas=(0.9, 0.95), weight_decay=0.0, fused=True),
    ]


def make_average(model: Reasoner, decay: float) -> AveragedModel:
    """Exponential moving average of the weights; it is what is evaluated and saved."""
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay))  # type: ignore[no-untyped-call]
