"""The fused form of a stack of relation blocks: the C++ of ``relation.cpp`` on a CPU, and its gradients.

Knows the groups of a board and the weights of each layer; the mathematics is that of ``RelationBlock.forward``.
"""

import ctypes
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

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
        *((name, ctypes.c_int32) for name in ("pairs", "kinds", "channels", "hidden", "layers", "halves")),
        *((name, ctypes.c_float) for name in ("damping", "epsilon")),
    )


class RelationKernel:
    """Maps (h, injection) to ``lerp(F(h + injection), h, damping)`` for the stack F; weights are read once.

    Where gradients are computed, they reach h, injection, and the weights.
    """

    def __init__(
        self,
        library: ctypes.CDLL,
        split: tuple[int, ...],
        groups: Sequence[tuple[int, ...]],
        layers: Sequence[LayerWeights],
        damping: float,
        bf16: bool,
    ) -> None:
        """``split`` is (*axes, V, C); ``groups`` has the axes of (R, *axes, V, C) that each kind of group spans."""
        self.library = library
        *sizes, channels = split
        lanes, hidden = int(library.relation_lanes()), layers[0].outward.shape[1]
        kinds = [[1 if axis + 1 in axes else size for axis, size in enumerate(sizes)] for axes in groups]
        counts = [math.prod(kind) for kind in kinds]
        members = [torch.arange(n).view(kind).expand(sizes).flatten() for n, kind in zip(counts, kinds, strict=True)]
        self.groups, self.counts = torch.stack(members).int(), torch.tensor(counts).int()
        self.weights = torch.cat([part for layer in layers for part in _packed(layer, lanes)])
        self.shape = _Shape(math.prod(sizes), len(kinds), channels, hidden, len(layers), bf16, damping, EPSILON)
        library.relation_tape.restype = ctypes.c_int64
        self.tape = int(library.relation_tape(ctypes.byref(self.shape)))
        """Numbers that a row leaves for its gradients."""

    def __call__(self, h: Embedded, injection: Embedded) -> Embedded:
        """Calls the stack; torch's own threads are not used."""
        h, injection = h.contiguous(), injection.expand_as(h).contiguous()
        if torch.is_grad_enabled() and self.weights.requires_grad:
            out: Embedded = _Differentiable.apply(h, injection, self.weights, self)  # type: ignore[no-untyped-call]
            return out
        return self.forward(h, injection, None)

    def forward(self, h: Tensor, injection: Tensor, tape: Tensor | None) -> Tensor:
        """Calls the stack, and leaves on the tape (R, T), if given, what the gradients need."""
        out = torch.empty_like(h)
        self._run("relation_call", len(h), (h, injection, out), (tape,))
        return out

    def slopes(self, out: Tensor, tape: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the gradients of h, injection and weights from that of the result."""
        h, injection, weights = torch.empty_like(out), torch.empty_like(out), torch.zeros_like(self.weights)
        self._run("relation_slopes", len(out), (out, h, injection), (tape, weights))
        return h, injection, weights

    def _run(self, name: str, rows: int, first: Sequence[Tensor], last: Sequence[Tensor | None]) -> None:
        before, after = (
            [ctypes.c_void_p(None if tensor is None else tensor.data_ptr()) for tensor in tensors]
            for tensors in (first, (self.groups, self.counts, self.weights, *last))
        )
        if getattr(self.library, name)(*before, ctypes.c_int32(rows), ctypes.byref(self.shape), *after):
            raise MemoryError("no memory for a call of the relation block")


class _Differentiable(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, h: Tensor, injection: Tensor, weights: Tensor, kernel: RelationKernel) -> Tensor:
        ctx.kernel, ctx.tape = kernel, h.new_empty(len(h), kernel.tape)
        return kernel.forward(h, injection, ctx.tape)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        return *ctx.kernel.slopes(slope.contiguous(), ctx.tape), None


def relation_kernel(
    split: tuple[int, ...],
    groups: Sequence[tuple[int, ...]],
    layers: Sequence[LayerWeights],
    damping: float,
    bf16: bool,
) -> RelationKernel | None:
    """Returns the kernel, or None after a notice if it cannot be built on this machine.

    With ``bf16``, products have factors of bfloat16; None if the processor has no instruction for them.
    """
    library = native_library(SOURCE)
    if not library or (bf16 and not library.relation_halves()):
        return None
    return RelationKernel(library, split, groups, layers, damping, bf16)


def _packed(layer: LayerWeights, lanes: int) -> list[Tensor]:
    """Returns the matrices as ``relation.cpp`` reads them: padded, input by input, full vectors of outputs together."""
    channels, hidden = layer.outward.shape
    more, deeper = -channels % lanes, -hidden % lanes
    parts = []
    for matrix in layer.inward:  # a vector of gates, the vector of their ups, for each input; then the next gates
        padded = F.pad(matrix.view(2, hidden, channels), (0, more, 0, deeper))
        parts.append(padded.view(2, -1, lanes, channels + more).permute(1, 3, 0, 2).flatten())
    outputs = lanes if (channels + more) % (2 * lanes) else 2 * lanes
    padded = F.pad(layer.outward, (0, deeper, 0, more))
    parts.append(padded.view(-1, outputs, hidden + deeper).permute(0, 2, 1).flatten())
    return parts
