"""Relation block: cells that belong together (a row, a column, a box) see their common mean.

Like ``symbol``, it holds one vector of C channels for each symbol of each cell (D = V*C). A (cell, symbol) pair belongs
to one group for each relation (the same symbol in the cells of its row, column or box) and to one more group (the
symbols of its own cell). The hidden layer of a SwiGLU sees the pair and, through a matrix for each kind of group, the
mean of every group that the pair belongs to. This structure states both that symbols are interchangeable and which
cells constrain each other (relations as in Recurrent Relational Networks, arXiv 1711.08028). No weight depends on the
size of the board.
"""

import math
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from eqr.model.blocks.base import Block, BlockConfig, FusedStack, groups_of_pairs
from eqr.model.blocks.relation_kernel import Groups, LayerWeights, OwnGroups, relation_kernel
from eqr.model.layers import gated, rms_norm, weight
from eqr.model.relations import Relations
from eqr.runtime import CPU
from eqr.types import Embedded, Layout


class RelationBlock(Block):
    """(R, L, V*C) -> (R, L, V*C)."""

    per_symbol = True
    widens = True
    positions = False
    takes_relations = True

    def __init__(self, layout: Layout, config: BlockConfig, generator: torch.Generator) -> None:
        super().__init__(layout, config, generator)
        channels, hidden = config.channels, int(config.channels * config.expansion)
        self.split = (*layout.axes, layout.symbols, channels)
        self.groups, self.width = groups_of_pairs(layout), layout.width
        self.frame = frame = layout.frame
        # Problems with their own relations: one for each way to hear others, and the other values of a variable.
        kinds = frame.kinds + (2 if frame.values_ordered else 1) if frame else len(self.groups)
        self.pair_in = weight(2 * hidden, channels, generator)
        self.group_in = nn.ParameterList([weight(2 * hidden, channels, generator) for _ in range(kinds)])
        self.pair_out = weight(channels, hidden, generator)

    def forward(self, h: Embedded, relations: Relations | None = None) -> Embedded:
        """Applies one SwiGLU to pairs and the means of their groups; post-norm residual.

        Pairs that a problem does not have stay 0.
        """
        v = h.view(-1, *self.split)
        means = self._means(v) if relations is None else heard_means(v, relations)
        hidden = F.linear(v, self.pair_in)
        for mean, matrix in zip(means, self.group_in, strict=True):
            hidden += F.linear(mean, matrix)
        out = rms_norm(v + F.linear(gated(hidden, -1), self.pair_out))
        return (out if relations is None else out * relations.present.unsqueeze(-1)).view(h.shape)

    def _means(self, v: Float[Tensor, "R ... V C"]) -> Iterator[Float[Tensor, "R ... C"]]:
        """The mean of each kind of group, over the axes that it spans."""
        for axes in self.groups:
            mean = v
            for axis in axes:  # one at a time: a mean over two axes that are not adjacent is four times slower
                mean = mean.mean(axis, keepdim=True)
            yield mean

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
        first = blocks[0]
        groups = OwnGroups(first.frame, first.width) if first.frame else Groups(first.split[:-1], first.groups)
        layers = [LayerWeights([block.pair_in, *block.group_in], block.pair_out) for block in blocks]
        return relation_kernel(math.prod(first.split[:-1]), groups, layers, damping, bf16)


def heard_means(v: Float[Tensor, "R L V C"], relations: Relations) -> Iterator[Float[Tensor, "R L V C"]]:
    """The means that each pair of a variable and a value hears: of its groups' pairs of this value, and of the other
    values of its variable, where values are ordered those below and those above it.
    """
    for matrix in relations.matrices.unbind(1):
        yield torch.einsum("rij,rjvc->rivc", matrix.to(v.dtype), v)
    if not relations.frame.values_ordered:
        count = relations.values.sum(1).view(-1, 1, 1, 1)
        yield (v.sum(2, keepdim=True) / count.clamp(min=1)).to(v.dtype)
        return
    below = torch.arange(v.shape[2], device=v.device).view(-1, 1)
    up_to = v.cumsum(2)
    yield ((up_to - v) / below.clamp(min=1)).to(v.dtype)
    above = relations.values.sum(1).view(-1, 1, 1, 1) - 1 - below
    yield ((up_to[:, :, -1:] - up_to) / above.clamp(min=1)).to(v.dtype)
