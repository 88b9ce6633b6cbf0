"""Conv block: a 3x3 convolution on the board, then SwiGLU over the width. For boards with locality, such as mazes.

In one application a cell sees only its eight neighbours, zeros beyond the edge; iteration carries information further.
No weight depends on the size of the board, so a network trained on small boards runs on large ones.
"""

import torch
from torch import nn

from eqr.model.blocks.base import Block, BlockConfig
from eqr.model.layers import gated, near_by, rms_norm, swiglu, weight
from eqr.types import Embedded, Layout


class ConvBlock(Block):
    """(R, L, D) -> (R, L, D)."""

    positions = False

    def __init__(self, layout: Layout, config: BlockConfig, generator: torch.Generator) -> None:
        super().__init__(layout, config, generator)
        channels, hidden = config.channels, int(config.channels * config.expansion)
        self.board = (layout.rows, layout.cols)
        # Kept as a matrix with one row per output, because the optimizers flatten a kernel to this shape anyway.
        self.near_in = weight(2 * hidden, 9 * channels, generator)
        self.near_out = weight(channels, hidden, generator)
        self.channel_in = weight(2 * hidden, channels, generator)
        self.channel_out = weight(channels, hidden, generator)

    def forward(self, h: Embedded) -> Embedded:
        """Mixes each cell with its neighbours, then mixes channels; post-norm residuals."""
        kernel = self.near_in.view(len(self.near_in), 3, 3, -1).permute(0, 3, 1, 2)
        # The channels stay last in memory, so the permutations copy nothing.
        near = near_by(h.view(-1, *self.board, h.shape[-1]).permute(0, 3, 1, 2), kernel)
        h = rms_norm(h + gated(near.permute(0, 2, 3, 1).flatten(1, 2), -1) @ self.near_out.T)
        return rms_norm(h + swiglu(h, self.channel_in, self.channel_out))

    def outward(self) -> list[nn.Parameter]:
        """Returns the last matrix of each residual sum."""
        return [self.near_out, self.channel_out]
