"""What every block is. A block maps (R, L, D) to (R, L, D), treats rows apart and knows nothing of recursion."""

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


class Block(nn.Module, ABC):
    """One residual step of the block stack F."""

    per_symbol: ClassVar[bool]
    """Whether the width holds a vector for each symbol (D = V*C)."""
    positions: ClassVar[bool]
    """Whether the input needs learned position vectors for cells to differ."""

    @abstractmethod
    def __init__(self, layout: Layout, config: BlockConfig, generator: torch.Generator) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, h: Embedded) -> Embedded:
        """Map (R, L, D) to (R, L, D)."""
