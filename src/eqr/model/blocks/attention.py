"""Attention block: self-attention over the cells with rotary positions, then SwiGLU. The paper's Maze block.

Rotary positions are those of RoFormer (arXiv 2104.09864): along the cells in row-major order, or by row for half of
each head's channels and by column for the other half.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from eqr.errors import InputError
from eqr.model.blocks.base import Block, BlockConfig
from eqr.model.layers import rms_norm, swiglu, weight
from eqr.types import Embedded, Layout

BASE = 10_000.0
"""Longest wavelength of the rotary positions, in units of 2 pi cells."""


def angles(positions: Float[Tensor, " C"], channels: int) -> Float[Tensor, "C E"]:
    """Returns the rotation of each of E channels at each position; channels e and e + E/2 rotate together."""
    frequency = BASE ** -(torch.arange(0, channels, 2) / channels)
    return torch.outer(positions, frequency).repeat(1, 2)


class AttentionBlock(Block):
    """(R, C, D) -> (R, C, D). Rotary positions tell it where cells are; its weights depend on neither L nor V."""

    takes_prefix = True
    positions = False

    def __init__(self, layout: Layout, config: BlockConfig, generator: torch.Generator) -> None:
        super().__init__(layout, config, generator)
        channels, hidden = config.channels, int(config.channels * config.expansion)
        self.heads, self.axes, per_head = config.heads, config.rotary, channels // config.heads
        if channels % self.heads or per_head % (2 * max(1, self.axes)):
            raise InputError(
                f"model.channels={channels} does not suit model.heads={self.heads} and model.rotary={self.axes}: "
                f"channels must be a multiple of {2 * max(1, self.axes)} times the heads"
            )
        if self.axes == 2 and config.prefix_tokens:
            raise InputError("model.rotary=2 and model.prefix_tokens exclude each other: a prefix has no row or column")
        self.qkv = weight(3 * channels, channels, generator)
        self.out = weight(channels, channels, generator)
        self.channel_in = weight(2 * hidden, channels, generator)
        self.channel_out = weight(channels, hidden, generator)
        cell = torch.arange(config.prefix_tokens + layout.cells)
        places = ([], [cell], [cell // layout.cols, cell % layout.cols])[self.axes]
        parts = [angles(place.float(), per_head // self.axes) for place in places]
        turn = torch.cat(parts, -1) if parts else torch.zeros(0)
        self.cos = nn.Buffer(turn.cos(), persistent=False)
        self.sin = nn.Buffer(turn.sin(), persistent=False)

    def _turned(self, h: Float[Tensor, "R H C E"]) -> Float[Tensor, "R H C E"]:
        if not self.axes:
            return h
        low, high = h.reshape(*h.shape[:-1], self.axes, 2, -1).unbind(-2)
        turned = torch.stack([-high, low], -2).flatten(-3)
        return h * self.cos + turned * self.sin

    def forward(self, h: Embedded) -> Embedded:
        """Attends over the cells, then mixes channels; post-norm residuals."""
        query, key, value = F.linear(h, self.qkv).view(*h.shape[:2], 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        seen = F.scaled_dot_product_attention(self._turned(query), self._turned(key), value)
        h = rms_norm(h + F.linear(seen.transpose(1, 2).flatten(-2), self.out))
        return rms_norm(h + swiglu(h, self.channel_in, self.channel_out))

    def outward(self) -> list[nn.Parameter]:
        """Returns the last matrix of each residual sum."""
        return [self.out, self.channel_out]
