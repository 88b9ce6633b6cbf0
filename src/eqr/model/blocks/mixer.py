"""Mixer block: SwiGLU over the cells, then SwiGLU over the width. The paper's Sudoku block (EqR section D.4)."""

import torch
from torch import nn

from eqr.model.blocks.base import Block, BlockConfig
from eqr.model.layers import gated, rms_norm, rms_norm_cells, swiglu, weight
from eqr.types import Embedded, Layout


class MixerBlock(Block):
    """(R, C, D) -> (R, C, D). Knows of cells and symbols only what it learns."""

    takes_prefix = True

    def __init__(self, layout: Layout, config: BlockConfig, generator: torch.Generator) -> None:
        super().__init__(layout, config, generator)
        channels, hidden = config.channels, int(config.channels * config.expansion)
        cells = config.prefix_tokens + layout.cells
        self.token_in = weight(2 * config.token_hidden, cells, generator)
        self.token_out = weight(cells, config.token_hidden, generator)
        self.channel_in = weight(2 * hidden, channels, generator)
        self.channel_out = weight(channels, hidden, generator)

    def forward(self, h: Embedded) -> Embedded:
        """Mixes over cells, then over channels; post-norm residuals, each normalised over the axis that was mixed."""
        h = rms_norm_cells(h + torch.matmul(self.token_out, gated(torch.matmul(self.token_in, h), 1)))
        return rms_norm(h + swiglu(h, self.channel_in, self.channel_out))

    def outward(self) -> list[nn.Parameter]:
        """Returns the last matrix of each residual sum."""
        return [self.token_out, self.channel_out]
