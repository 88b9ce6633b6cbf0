"""The blocks, by name. A new one is a file here and a line in this dict."""

from eqr.blocks.attention import AttentionBlock
from eqr.blocks.axial import AxialBlock
from eqr.blocks.base import Block, BlockConfig
from eqr.blocks.conv import ConvBlock
from eqr.blocks.mixer import MixerBlock
from eqr.blocks.relation import RelationBlock
from eqr.blocks.symbol import SymbolBlock

BLOCKS: dict[str, type[Block]] = {
    "mixer": MixerBlock,
    "attention": AttentionBlock,
    "conv": ConvBlock,
    "symbol": SymbolBlock,
    "axial": AxialBlock,
    "relation": RelationBlock,
}

__all__ = ["BLOCKS", "Block", "BlockConfig"]
