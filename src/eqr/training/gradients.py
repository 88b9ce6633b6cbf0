"""Gradients of one training step: threads run passes over the slots; the sum keeps their order. Knows no optimizer."""

import math
from collections.abc import Iterator
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eqr.distributed import Ranks
from eqr.model import Reasoner
from eqr.runtime import RowWorkers, can_compile, compiled, has_fast_bf16, mixed_precision
from eqr.training.config import TrainConfig
from eqr.training.loss import SegmentLoss, joined, segment_loss
from eqr.training.slots import Slots

Passed: TypeAlias = tuple[SegmentLoss, Float[Tensor, " P"]]
"""The outcome of a pass over some slots, and its gradient as one vector."""


class Passes:
    """Computes the gradients of a run; compiled for one board size at a time."""

    def __init__(self, model: Reasoner, config: TrainConfig, ranks: Ranks, device: torch.device) -> None:
        self.config, self.ranks = config, ranks
        fast = config.bf16 and has_fast_bf16(device)
        # Either every process uses bfloat16 or none: they must compute the same numbers.
        self.bf16 = int(ranks.sum(torch.tensor(int(fast)))) == ranks.size
        self.kernel = config.compile and model.fused(bool(self.bf16)) is not None
        """Whether the blocks have a kernel of their own; else the whole loss is compiled."""
        self.compiles = config.compile and not self.kernel and can_compile(device)
        self.loss = compiled(segment_loss) if self.compiles else segment_loss
        self.warm = not self.compiles
        """True if the next step need not compile."""

    def begin(self, workers: RowWorkers, model: Reasoner, slots: Slots, step: int) -> "Iterator[Passed]":
        """Starts the passes of one segment of all slots; ``finish`` takes what this returns."""
        rows, parameters = slots.rows, list(model.parameters())

        def carried(start: int) -> Passed:
            return self._pass(model, parameters, slots, step, slice(start, start + rows))

        if not self.warm:  # one pass compiles, before several workers call the function
            workers.map(carried, [0])
            self.warm = True
        return workers.begin(carried, range(0, len(slots.mine), rows))

    def finish(self, model: Reasoner, passes: "Iterator[Passed]") -> tuple[SegmentLoss, Float[Tensor, ""]]:
        """Set the clipped gradients; returns the outcome of the segment and the norm before clipping."""
        parameters = list(model.parameters())
        # Added in the order of the rows, so that threads change no bit.
        part, flat = next(passes)
        parts = [part]
        for part, gradient in passes:
            parts.append(part)
            flat += gradient
        flat = self.ranks.sum(flat) / (len(parts) * self.ranks.size)
        sizes = [parameter.numel() for parameter in parameters]
        for parameter, gradient in zip(parameters, torch.split(flat, sizes), strict=True):
            parameter.grad = gradient.view_as(parameter)
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.config.clip or math.inf)
        return joined(parts), norm

    def _pass(self, model: Reasoner, parameters: list[nn.Parameter], slots: Slots, step: int, rows: slice) -> Passed:
        """Loss and gradient, as one vector, of one pass over some slots."""
        noise = slots.noise(step, rows)
        call = model.fused(bool(self.bf16)) if self.kernel else None
        with mixed_precision(slots.device, self.bf16):
            part = self.loss(model, slots.z[rows], slots.told[rows], slots.labels[rows], noise, self.config, call)
        gradients = torch.autograd.grad(part.loss, parameters, materialize_grads=True)
        return part, torch.cat([gradient.flatten() for gradient in gradients])
