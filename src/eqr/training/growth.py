"""A larger network that starts as a trained smaller one: more blocks, more channels. Knows no data and no schedule."""

from typing import cast

import torch
from torch import Tensor, nn

from eqr.errors import InputError
from eqr.model import Reasoner
from eqr.model.blocks import Block

SPREAD = 0.03
"""Copies of a channel get weights that differ by this share, or they would stay copies for ever."""
FEATURES = ("symbol_embedding", "position_embedding")
"""Parameters whose last axis is an output; biases of blocks are too."""


def grown(model: Reasoner, trained: Reasoner, generator: torch.Generator, spread: float = SPREAD) -> dict[str, Tensor]:
    """The state of ``trained`` in the shapes of ``model``, as far as it can be brought into them.

    Further blocks of a single stack do nothing at first. With r times the channels each channel becomes r copies that
    share its weights (Net2Net, arXiv 1511.05641): no answer changes but for ``spread``. Blocks of one vector per symbol
    only.
    """
    state = trained.state_dict()
    if model.per_symbol and trained.per_symbol and model.config.channels > trained.config.channels:
        shapes = {name: value.shape for name, value in model.state_dict().items()}
        state = {name: _widened(name, value, shapes.get(name), generator, spread) for name, value in state.items()}
    if model.recursion.stacks == 1:
        for number, block in enumerate(list(model.blocks)[len(trained.blocks) :], len(trained.blocks)):
            outward = cast(Block, block).outward()
            if not outward:
                raise InputError(
                    f"{type(block).__name__} names no outward matrices (Block.outward), so it cannot be added to a "
                    "trained network: start from one with as many layers"
                )
            for matrix in outward:
                nn.init.zeros_(matrix)
            state |= {f"blocks.{number}.{name}": value for name, value in block.state_dict().items()}
    return state


def _widened(name: str, value: Tensor, shape: torch.Size | None, generator: torch.Generator, spread: float) -> Tensor:
    """Repeats each entry along the axes that have become longer; divides by the number of copies that are summed."""
    if shape is None or value.dim() == 0 or any(new % old for new, old in zip(shape, value.shape, strict=True)):
        return value
    wide = value
    for axis, (new, old) in enumerate(zip(shape, value.shape, strict=True)):
        wide = wide.repeat_interleave(new // old, axis)
    if name not in FEATURES and not (name.startswith("blocks.") and value.dim() == 1):
        wide = wide / (shape[-1] // value.shape[-1])
    return wide if shape == value.shape else wide * (1 + spread * torch.randn(shape, generator=generator))
