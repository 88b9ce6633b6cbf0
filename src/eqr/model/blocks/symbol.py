"""Symbol block: equivariant to permutations of the V symbols (the idea as in SE-RRM, arXiv 2603.02193).

The width is D = V*C: one vector of C channels for each symbol of each cell. The structure states one symmetry of the
task (symbols are interchangeable); the block learns what distinguishes cells.
"""

import torch
import torch.nn.functional as F
from torch import nn

from eqr.model.blocks.base import Block, BlockConfig
from eqr.model.layers import gated, rms_norm, weight
from eqr.types import Embedded, Layout


class SymbolBlock(Block):
    """(R, L, V*C) -> (R, L, V*C)."""

    per_symbol = True
    widens = True

    def __init__(self, layout: Layout, config: BlockConfig, generator: torch.Generator) -> None:
        super().__init__(layout, config, generator)
        channels, hidden = config.channels, int(config.channels * config.expansion)
        self.split = (layout.symbols, channels)
        self.token_in = weight(2 * config.token_hidden, layout.cells, generator)
        self.token_out = weight(layout.cells, config.token_hidden, generator)
        self.channel_in = weight(2 * hidden, channels, generator)
        self.pooled_in = weight(2 * hidden, 2 * channels, generator)
        self.channel_out = weight(channels, hidden, generator)

    def forward(self, h: Embedded) -> Embedded:
        """Mixes over cells with weights shared by symbols, then over channels, where all symbols of a cell are seen."""
        mixed = torch.matmul(self.token_out, gated(torch.matmul(self.token_in, h), 1))
        v = rms_norm((h + mixed).view(*h.shape[:2], *self.split))
        pooled = torch.cat([v.mean(-2, keepdim=True), v.amax(-2, keepdim=True)], -1)
        hidden = gated(F.linear(v, self.channel_in) + F.linear(pooled, self.pooled_in), -1)
        return rms_norm(v + F.linear(hidden, self.channel_out)).flatten(-2)

    def outward(self) -> list[nn.Parameter]:
        """Returns the last matrix of each residual sum."""
        return [self.token_out, self.channel_out]
