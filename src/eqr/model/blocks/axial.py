"""Axial block: a (cell, symbol) pair sees a summary of its neighbours and of every group of pairs it belongs to.

Like ``relation``, it holds one vector of C channels for each symbol of each cell (D = V*C), and its structure states
which cells belong together and that symbols are interchangeable. The summary is a 3x3 convolution over the plane of the
pair's symbol, if the layout has neighbours, plus each group's mean times a matrix; it is only C wide, so many groups
cost little. No weight depends on the number of rows, columns or symbols.
"""

from functools import reduce

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from eqr.model.blocks.base import Block, BlockConfig, groups_of_pairs
from eqr.model.layers import gated, near_by, rms_norm, weight
from eqr.types import Embedded, Layout


class AxialBlock(Block):
    """(R, L, V*C) -> (R, L, V*C)."""

    per_symbol = True
    widens = True
    positions = False

    def __init__(self, layout: Layout, config: BlockConfig, generator: torch.Generator) -> None:
        super().__init__(layout, config, generator)
        channels, hidden = config.channels, int(config.channels * config.expansion)
        self.split = (*layout.axes, layout.symbols, channels)
        self.groups = groups_of_pairs(layout)
        self.group_in = nn.ParameterList([weight(channels, channels, generator) for _ in self.groups])
        self.near_in = weight(channels, 9 * channels, generator) if layout.near is not None else None
        if layout.near is not None:
            # In a plane of (rows, cols * V), neighbours along the second axis are V places apart: hence the dilation.
            self.planes = (layout.axes[layout.near[0]], layout.axes[layout.near[1]] * layout.symbols)
            self.apart = (1, layout.symbols)
        self.pair_in = weight(2 * hidden, channels, generator)
        self.summary_in = weight(2 * hidden, channels, generator)
        self.pair_out = weight(channels, hidden, generator)

    def forward(self, h: Embedded) -> Embedded:
        """Applies one SwiGLU to pairs and their summaries; post-norm residual."""
        v = h.view(-1, *self.split)
        hidden = F.linear(v, self.pair_in) + F.linear(self._summary(v), self.summary_in)
        return rms_norm(v + F.linear(gated(hidden, -1), self.pair_out)).view(h.shape)

    def _summary(self, v: Float[Tensor, "R *axes V C"]) -> Float[Tensor, "R *axes V C"]:
        means: dict[tuple[int, ...], Tensor] = {(): v}
        for axes in self.groups:  # one axis at a time, so that groups share the means of their first axes
            for done in (axes[:count] for count in range(1, len(axes) + 1)):
                if done not in means:
                    means[done] = means[done[:-1]].mean(done[-1], keepdim=True)
        parts = [F.linear(means[axes], matrix) for axes, matrix in zip(self.groups, self.group_in, strict=True)]
        # The smallest parts first, so that the sum is broadcast to the full board only once.
        total = reduce(torch.add, sorted(parts, key=Tensor.numel))
        return total if self.near_in is None else total + self._near(v, self.near_in)

    def _near(self, v: Float[Tensor, "R *axes V C"], matrix: Tensor) -> Float[Tensor, "R *axes V C"]:
        kernel = matrix.view(v.shape[-1], 3, 3, -1).permute(0, 3, 1, 2)
        planes = v.reshape(-1, *self.planes, v.shape[-1]).permute(0, 3, 1, 2)
        return near_by(planes, kernel, self.apart).permute(0, 2, 3, 1).reshape(v.shape)

    def outward(self) -> list[nn.Parameter]:
        """Returns the last matrix of each residual sum."""
        return [self.pair_out]
