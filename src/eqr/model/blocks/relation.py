"""Relation block: cells that belong together (a row, a column, a box) see their common mean.

Like ``symbol``, it holds one vector of C channels for each symbol of each cell (D = V*C). A (cell, symbol) pair belongs
to one group for each relation (the same symbol in the cells of its row, column or box) and to one more group (the
symbols of its own cell). The hidden layer of a SwiGLU sees the pair and, through a matrix for each kind of group, the
mean of every group that the pair belongs to. This structure states both that symbols are interchangeable and which
cells constrain each other (relations as in Recurrent Relational Networks, arXiv 1711.08028). No weight depends on the
size of the board.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from eqr.model.blocks.base import Block, BlockConfig, FusedStack, groups_of_pairs
from eqr.model.blocks.relation_kernel import LayerWeights, relation_kernel
from eqr.model.layers import gated, rms_norm, weight
from eqr.runtime import CPU
from eqr.types import Embedded, Layout


class RelationBlock(Block):
    """(R, L, V*C) -> (R, L, V*C)."""

    per_symbol = True
    positions = False

    def __init__(self, layout: Layout, config: BlockConfig, generator: torch.Generator) -> None:
        super().__init__(layout, config, generator)
        channels, hidden = config.channels, int(config.channels * config.expansion)
        self.split = (*layout.axes, layout.symbols, channels)
        self.groups = groups_of_pairs(layout)
        self.pair_in = weight(2 * hidden, channels, generator)
        self.group_in = nn.ParameterList([weight(2 * hidden, channels, generator) for _ in self.groups])
        self.pair_out = weight(channels, hidden, generator)

    def forward(self, h: Embedded) -> Embedded:
        """Applies one SwiGLU to pairs and the means of their groups; post-norm residual."""
        v = h.view(-1, *self.split)
        hidden = F.linear(v, self.pair_in)
        for axes, matrix in zip(self.groups, self.group_in, strict=True):
            mean = v
            for axis in axes:  # one at a time: a mean over two axes that are not adjacent is four times slower
                mean = mean.mean(axis, keepdim=True)
            hidden += F.linear(mean, matrix)
        return rms_norm(v + F.linear(gated(hidden, -1), self.pair_out)).view(h.shape)

    def outward(self) -> list[nn.Parameter]:
        """Returns the last matrix of each residual sum."""
        return [self.pair_out]

    @classmethod
    def fused(cls, stack: Sequence[Block], damping: float, bf16: bool = False) -> FusedStack | None:
        """Returns the C++ form (``relation.cpp``), on a CPU for weights in float32 where it can be built."""
        blocks = [block for block in stack if isinstance(block, RelationBlock)]
        plain = all(p.device == CPU and p.dtype == torch.float32 for block in blocks for p in block.parameters())
        if cls.forward is not RelationBlock.forward or not plain:  # a subclass may compute something else
            return None
        layers = [LayerWeights([block.pair_in, *block.group_in], block.pair_out) for block in blocks]
        return relation_kernel(blocks[0].split, blocks[0].groups, layers, damping, bf16)
