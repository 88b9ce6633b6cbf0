"""The fused form of a stack of relation blocks: the C++ of ``relation.cpp`` on a CPU, in float32, without gradients.

Knows the groups of a board and the weights of each layer; the mathematics is that of ``RelationBlock.forward``.
"""

import ctypes
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from eqr.model.layers import EPSILON
from eqr.runtime import native_library
from eqr.types import Embedded

SOURCE = Path(__file__).with_name("relation.cpp")


class LayerWeights(NamedTuple):
    """The matrices of one relation block."""

    inward: Sequence[Tensor]
    """(2H, C) of pairs, and then of each kind of group."""
    outward: Tensor
    """(C, H)."""


class _Shape(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int32) for name in ("pairs", "kinds", "channels", "hidden", "layers")),
        *((name, ctypes.c_float) for name in ("damping", "epsilon")),
    )


class RelationKernel:
    """Maps (h, injection) to ``lerp(F(h + injection), h, damping)`` for the stack F; weights are read once."""

    def __init__(
        self,
        library: ctypes.CDLL,
        split: tuple[int, ...],
        groups: Sequence[tuple[int, ...]],
        layers: Sequence[LayerWeights],
        damping: float,
    ) -> None:
        """``split`` is (*axes, V, C); ``groups`` has the axes of (R, *axes, V, C) that each kind of group spans."""
        self.call = library.relation_call
        *sizes, channels = split
        lanes, hidden = int(library.relation_lanes()), layers[0].outward.shape[1]
        kinds = [[1 if axis + 1 in axes else size for axis, size in enumerate(sizes)] for axes in groups]
        counts = [math.prod(kind) for kind in kinds]
        members = [torch.arange(n).view(kind).expand(sizes).flatten() for n, kind in zip(counts, kinds, strict=True)]
        self.groups, self.counts = torch.stack(members).int(), torch.tensor(counts).int()
        self.weights = torch.cat([part for layer in layers for part in _packed(layer, lanes)])
        self.shape = _Shape(math.prod(sizes), len(kinds), channels, hidden, len(layers), damping, EPSILON)

    def __call__(self, h: Embedded, injection: Embedded) -> Embedded:
        """Calls the stack; torch's own threads are not used."""
        h, injection = h.contiguous(), injection.expand_as(h).contiguous()
        out = torch.empty_like(h)
        before, after = (h, injection, out), (self.groups, self.counts, self.weights)
        pointers = [[ctypes.c_void_p(tensor.data_ptr()) for tensor in tensors] for tensors in (before, after)]
        if self.call(*pointers[0], ctypes.c_int32(len(h)), ctypes.byref(self.shape), *pointers[1]):
            raise MemoryError("no memory for a call of the relation block")
        return out


def relation_kernel(
    split: tuple[int, ...], groups: Sequence[tuple[int, ...]], layers: Sequence[LayerWeights], damping: float
) -> RelationKernel | None:
    """Returns the kernel, or None after a notice if it cannot be built on this machine."""
    library = native_library(SOURCE)
    return RelationKernel(library, split, groups, layers, damping) if library else None


def _packed(layer: LayerWeights, lanes: int) -> list[Tensor]:
    """Returns the matrices as ``relation.cpp`` reads them: padded, input by input, full vectors of outputs together."""
    channels, hidden = layer.outward.shape
    more, deeper = -channels % lanes, -hidden % lanes
    parts = []
    for matrix in layer.inward:  # a vector of gates, the vector of their ups, for each input; then the next gates
        padded = F.pad(matrix.detach().view(2, hidden, channels), (0, more, 0, deeper))
        parts.append(padded.view(2, -1, lanes, channels + more).permute(1, 3, 0, 2).flatten())
    outputs = lanes if (channels + more) % (2 * lanes) else 2 * lanes
    padded = F.pad(layer.outward.detach(), (0, deeper, 0, more))
    parts.append(padded.view(-1, outputs, hidden + deeper).permute(0, 2, 1).flatten())
    return parts
