"""Grows a trained network into a larger one: more blocks, more channels. Knows no data and no schedule."""

from typing import cast

import torch
from torch import Tensor, nn

from eqr.errors import InputError
from eqr.model import Reasoner
from eqr.model.blocks import Block

SPREAD = 0.03
"""Relative noise on the weights of copied channels; without noise, copies would stay equal for ever."""
EMBEDDINGS = ("symbol_embedding", "position_embedding", "prefix", "rules.", "attributes.")
"""Beginnings of the names of the parameters that add up to the network's input."""
FEATURES = (*EMBEDDINGS, "start")
"""Beginnings of names of parameters whose last axis is an output, like that of the biases of blocks."""


def grown(model: Reasoner, trained: Reasoner, generator: torch.Generator, spread: float = SPREAD) -> dict[str, Tensor]:
    """Returns the state of ``trained``, converted to the shapes of ``model`` as far as possible.

    Added blocks of a single stack do nothing at first. With r times the channels, each channel becomes r copies that
    share its weights (Net2Net, arXiv 1511.05641): apart from ``spread``, no answer changes. Channels grow only in
    networks of blocks that allow it (``Block.widens``).
    """
    state = trained.state_dict()
    if model.block is trained.block and model.block.widens and model.config.channels > trained.config.channels:
        shapes = {name: value.shape for name, value in model.state_dict().items()}
        state = {name: _widened(name, value, shapes.get(name), generator, spread) for name, value in state.items()}
        # A network that scales its embeddings multiplies wider ones by more.
        more = model.embedding_scale / trained.embedding_scale
        state = {name: value / more if name.startswith(EMBEDDINGS) else value for name, value in state.items()}
    if model.recursion.stacks == 1:
        for number, block in enumerate(list(model.blocks)[len(trained.blocks) :], len(trained.blocks)):
            outward = cast(Block, block).outward()
            if not outward:
                raise InputError(
                    f"{type(block).__name__} names no outward matrices (Block.outward), so it cannot be added to a "
                    "trained network: start from a network with as many layers"
                )
            for matrix in outward:  # the block adds 0 to its input until training changes these matrices
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
    if not name.startswith(FEATURES) and not (name.startswith("blocks.") and value.dim() == 1):
        wide = wide / (shape[-1] // value.shape[-1])
    return wide if shape == value.shape else wide * (1 + spread * torch.randn(shape, generator=generator))
