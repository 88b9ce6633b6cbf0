"""What every block is. A block maps (R, C, D) to (R, C, D), treats rows apart and knows nothing of recursion."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from eqr.types import Embedded, Layout


@dataclass(frozen=True, kw_only=True)
class BlockConfig:
    """Sizes of a block."""

    channels: int
    """Width: C of each symbol of a cell for per-symbol blocks, else D of a cell."""
    expansion: float = 2.0
    """Hidden channels of the channel SwiGLU, as a multiple of ``channels``."""
    token_hidden: int = 128
    """Hidden cells of the token SwiGLU (``mixer`` and ``symbol``)."""
    heads: int = 8
    """Attention heads (``attention``)."""
    rotary: int = 1
    """Rotary positions (``attention``): 1 along the cells, 2 by row and column, 0 none."""
    prefix_tokens: int = 0
    """Learned cells before those of the board (``mixer`` and ``attention``): the puzzle embedding of HRM and TRM."""


def groups_of_pairs(layout: Layout) -> list[tuple[int, ...]]:
    """Axes of (R, *axes, V, C) over which the pairs of a group lie: each relation, and the symbols of a cell."""
    # Axis 0 is R, so every axis of the layout moves by one.
    return [*(tuple(axis + 1 for axis in relation) for relation in layout.relations), (len(layout.axes) + 1,)]


class Block(nn.Module, ABC):
    """One residual step of the block stack F.

    A subclass is made from a layout, the sizes and a generator of its weights, and maps (R, C, D) to (R, C, D) without
    mixing rows. It may have parameters of any shape. Blocks reach the task through ``layout`` alone.
    """

    per_symbol: ClassVar[bool] = False
    """Whether the width holds a vector for each symbol (D = V*C)."""
    positions: ClassVar[bool] = True
    """Whether cells differ for the block only if the input has learned position vectors."""
    takes_prefix: ClassVar[bool] = False
    """Whether C may count prefix tokens besides the cells of the board."""

    def __init__(self, layout: Layout, config: BlockConfig, generator: torch.Generator) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, h: Embedded) -> Embedded:
        """Map (R, C, D) to (R, C, D); C counts prefix tokens too."""

    def outward(self) -> list[nn.Parameter]:
        """The last matrix of each residual sum: with these at 0 the block does nothing but normalise.

        Needed only to deepen a trained network (``training.growth``); by default none is known.
        """
        return []
