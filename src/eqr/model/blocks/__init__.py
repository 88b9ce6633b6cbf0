"""The blocks by name. To add one, write a file here and a line in this dict, or a plugin that adds the line."""

from eqr.model.blocks.attention import AttentionBlock
from eqr.model.blocks.axial import AxialBlock
from eqr.model.blocks.base import Block, BlockConfig
from eqr.model.blocks.conv import ConvBlock
from eqr.model.blocks.mixer import MixerBlock
from eqr.model.blocks.relation import RelationBlock
from eqr.model.blocks.symbol import SymbolBlock
from eqr.model.blocks.synthesizer import SynthesizerBlock

BLOCKS: dict[str, type[Block]] = {
    "mixer": MixerBlock,
    "attention": AttentionBlock,
    "synthesizer": SynthesizerBlock,
    "conv": ConvBlock,
    "symbol": SymbolBlock,
    "axial": AxialBlock,
    "relation": RelationBlock,
}


__all__ = ["BLOCKS", "Block", "BlockConfig"]
