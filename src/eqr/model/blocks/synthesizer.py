"""Synthesizer block: attention by learned weights that no state enters, then SwiGLU. Told nothing of the board.

Head h adds ``A_h @ value_h`` to the cells: A_h (C, C) holds one number for each pair of cells, of either sign (without
a softmax, unlike the "random synthesizer" of arXiv 2005.00743). It starts near 0 and, as it is no single matrix, AdamW
moves each number by itself: so the pairs of cells that restrict each other stand out after some hundred steps, before
those of ``mixer`` do (docs/record.md).
"""

import torch
import torch.nn.functional as F
from torch import nn

from eqr.errors import InputError
from eqr.model.blocks.base import Block, BlockConfig
from eqr.model.layers import rms_norm, swiglu, weight
from eqr.types import Embedded, Layout

START = 1e-3
"""Standard deviation of the untrained weights between cells."""


class SynthesizerBlock(Block):
    """(R, C, D) -> (R, C, D). Knows of cells and symbols only what it learns."""

    takes_prefix = True
    widens = True

    def __init__(self, layout: Layout, config: BlockConfig, generator: torch.Generator) -> None:
        super().__init__(layout, config, generator)
        channels, hidden = config.channels, int(config.channels * config.expansion)
        if channels % config.heads:
            raise InputError(
                f"model.channels={channels} does not suit model.heads={config.heads}: channels must be a multiple of "
                "the heads"
            )
        cells = config.prefix_tokens + layout.cells
        self.cells = nn.Parameter(START * torch.randn(config.heads, cells, cells, generator=generator))
        self.value = weight(channels, channels, generator)
        self.out = weight(channels, channels, generator)
        self.channel_in = weight(2 * hidden, channels, generator)
        self.channel_out = weight(channels, hidden, generator)

    def forward(self, h: Embedded) -> Embedded:
        """Mixes over cells, head by head, then over channels; post-norm residuals."""
        (rows, cells, _), heads = h.shape, len(self.cells)
        value = F.linear(h, self.value).view(rows, cells, heads, -1)
        # All rows below each other: one product a head instead of one a head and row.
        mixed = torch.bmm(value.permute(2, 0, 3, 1).reshape(heads, -1, cells), self.cells.mT)
        mixed = mixed.view(heads, rows, -1, cells).permute(1, 3, 0, 2).reshape(h.shape)
        h = rms_norm(h + F.linear(mixed, self.out))
        return rms_norm(h + swiglu(h, self.channel_in, self.channel_out))

    def outward(self) -> list[nn.Parameter]:
        """Returns the last matrix of each residual sum."""
        return [self.out, self.channel_out]
