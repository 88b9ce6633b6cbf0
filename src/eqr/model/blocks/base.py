"""The base of all blocks. A block maps (R, C, D) to (R, C, D), keeps rows apart and knows nothing of recursion."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from eqr.model.relations import Relations
from eqr.types import Embedded, Layout

FusedStack = Callable[[Embedded, Embedded, Relations | None], Embedded]
"""Maps (h, injection, relations) to ``lerp(F(h + injection), h, damping)``, where F is a stack of blocks."""


@dataclass(frozen=True, kw_only=True)
class BlockConfig:
    """Sizes of a block."""

    channels: int
    """Width of each symbol of a cell in per-symbol blocks; width D of a cell in other blocks."""
    expansion: float = 2.0
    """Hidden channels of the channel SwiGLU, as a multiple of ``channels``."""
    token_hidden: int = 128
    """Hidden cells of the token SwiGLU (``mixer`` and ``symbol``)."""
    heads: int = 8
    """Heads (``attention`` and ``synthesizer``)."""
    rotary: int = 1
    """Rotary positions (``attention``): 1 along the cells, 2 by row and column, 0 none."""
    prefix_tokens: int = 0
    """Learned cells before those of the board (``mixer``, ``synthesizer``, ``attention``): the puzzle embedding of HRM
    and TRM."""


def groups_of_pairs(layout: Layout) -> list[tuple[int, ...]]:
    """Returns the axes of (R, *axes, V, C) that each kind of group spans: the relations, and the symbols of a cell."""
    # Axis 0 is R, so every axis of the layout moves by one.
    return [*(tuple(axis + 1 for axis in relation) for relation in layout.relations), (len(layout.axes) + 1,)]


class Block(nn.Module, ABC):
    """One residual step of the block stack F.

    A subclass is made from a layout, the sizes and a generator for its weights, and maps (R, C, D) to (R, C, D) without
    mixing rows. Its parameters may have any shape. A block knows the task only by ``layout``.
    """

    per_symbol: ClassVar[bool] = False
    """True if the width holds a vector for each symbol (D = V*C)."""
    positions: ClassVar[bool] = True
    """True if the input of the block has a learned vector for each cell (see ``ModelConfig.learned_positions``)."""
    takes_prefix: ClassVar[bool] = False
    """True if the block accepts prefix tokens besides the cells of the board."""
    widens: ClassVar[bool] = False
    """True if a trained network becomes wider by copies of its channels (``training.growth``)."""
    takes_relations: ClassVar[bool] = False
    """True if ``forward`` takes the relations of problems that bring their own, as a second argument."""

    def __init__(self, layout: Layout, config: BlockConfig, generator: torch.Generator) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, h: Embedded) -> Embedded:
        """Maps (R, C, D) to (R, C, D); C includes prefix tokens."""

    def outward(self) -> list[nn.Parameter]:
        """Returns the last matrix of each residual sum; with all of them at 0 the block only normalises.

        Needed only to deepen a trained network (``training.growth``); by default the list is empty.
        """
        return []

    @classmethod
    def fused(cls, stack: Sequence["Block"], damping: float, bf16: bool = False) -> FusedStack | None:
        """Returns a faster form of a call of ``stack``, or None (the default) if there is none here.

        The form agrees with ``forward`` to rounding, computes a row to the same bits in every batch, and computes the
        gradients of its arguments and of the weights. It may read the weights once. With ``bf16``,
        products have factors of bfloat16.
        """
        return None
