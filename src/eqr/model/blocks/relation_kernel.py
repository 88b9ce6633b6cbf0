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
from eqr.model.relations import Relations
from eqr.runtime import native_library
from eqr.types import Embedded, Frame

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


class _Frame(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int32) for name in ("width", "variables", "values", "links", "ordered_links")),
        *((name, ctypes.c_int32) for name in ("values_ordered", "relations")),
        ("ordered", ctypes.POINTER(ctypes.c_int32)),
    )


class Groups:
    """The groups of each kind, which are those of a board, the same for every puzzle."""

    def __init__(self, sizes: Sequence[int], kinds: Sequence[tuple[int, ...]]) -> None:
        """``sizes`` is (*axes, V); ``kinds`` has the axes of (R, *axes, V, C) that each kind of group spans."""
        shapes = [[1 if axis + 1 in axes else size for axis, size in enumerate(sizes)] for axes in kinds]
        counts = [math.prod(shape) for shape in shapes]
        members = [
            torch.arange(n).view(shape).expand(*sizes).flatten() for n, shape in zip(counts, shapes, strict=True)
        ]
        self.of_pairs, self.counts = torch.stack(members).int(), torch.tensor(counts).int()

    def pointers(self, relations: Relations | None) -> list[ctypes.c_void_p]:
        """The arguments of the library that describe the groups."""
        return [_at(self.of_pairs), _at(self.counts), ctypes.c_void_p(None), ctypes.c_void_p(None)]


class OwnGroups:
    """Groups that come with each problem; the library reads them from its row."""

    def __init__(self, frame: Frame, width: int) -> None:
        self.ordered = (ctypes.c_int32 * len(frame.relations))(*frame.relations)
        self.frame = _Frame(
            width,
            *(frame.variables, frame.values, frame.links, frame.ordered_links),
            *(frame.values_ordered, len(frame.relations)),
            self.ordered,
        )

    def pointers(self, relations: Relations | None) -> list[ctypes.c_void_p]:
        """The arguments of the library that describe the groups."""
        assert relations is not None, "problems with their own relations need them in every call"
        nothing = ctypes.c_void_p(None)
        return [nothing, nothing, ctypes.cast(ctypes.byref(self.frame), ctypes.c_void_p), _at(relations.ids)]


def _at(tensor: Tensor | None) -> ctypes.c_void_p:
    return ctypes.c_void_p(None if tensor is None else tensor.data_ptr())


class RelationKernel:
    """Maps (h, injection) to ``lerp(F(h + injection), h, damping)`` for the stack F; weights are read once.

    Where gradients are computed, they reach h, injection, and the weights.
    """

    def __init__(
        self,
        library: ctypes.CDLL,
        pairs: int,
        groups: Groups | OwnGroups,
        layers: Sequence[LayerWeights],
        damping: float,
        bf16: bool,
    ) -> None:
        """``pairs`` is the number of pairs of a cell and a symbol."""
        self.library, self.groups = library, groups
        lanes, (channels, hidden) = int(library.relation_lanes()), layers[0].outward.shape
        kinds = len(layers[0].inward) - 1
        self.weights = torch.cat([part for layer in layers for part in _packed(layer, lanes)])
        self.shape = _Shape(pairs, kinds, channels, hidden, len(layers), bf16, damping, EPSILON)
        library.relation_tape.restype = ctypes.c_int64
        self.tape = int(library.relation_tape(ctypes.byref(self.shape)))
        """Numbers that a row leaves for its gradients."""

    def __call__(self, h: Embedded, injection: Embedded, relations: Relations | None = None) -> Embedded:
        """Calls the stack without torch's own threads; ``relations`` come with the problems, if they bring any."""
        h, injection = h.contiguous(), injection.expand_as(h).contiguous()
        if torch.is_grad_enabled() and self.weights.requires_grad:
            out: Embedded = _Differentiable.apply(h, injection, self.weights, relations, self)  # type: ignore[no-untyped-call]
            return out
        return self.forward(h, injection, relations, None)

    def forward(self, h: Tensor, injection: Tensor, relations: Relations | None, tape: Tensor | None) -> Tensor:
        """Calls the stack, and leaves on the tape (R, T), if given, what the gradients need."""
        out = torch.empty_like(h)
        self._run("relation_call", (h, injection, out), relations, (tape,))
        return out

    def slopes(self, out: Tensor, relations: Relations | None, tape: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the gradients of h, injection and weights from that of the result."""
        h, injection, weights = torch.empty_like(out), torch.empty_like(out), torch.zeros_like(self.weights)
        self._run("relation_slopes", (out, h, injection), relations, (tape, weights))
        return h, injection, weights

    def _run(
        self, name: str, first: Sequence[Tensor], relations: Relations | None, last: Sequence[Tensor | None]
    ) -> None:
        rows, groups = ctypes.c_int32(len(first[0])), self.groups.pointers(relations)
        before, after = map(_at, first), map(_at, (self.weights, *last))
        if getattr(self.library, name)(*before, rows, ctypes.byref(self.shape), *groups, *after):
            raise MemoryError("no memory for a call of the relation block")


class _Differentiable(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        h: Tensor,
        injection: Tensor,
        weights: Tensor,
        relations: Relations | None,
        kernel: RelationKernel,
    ) -> Tensor:
        ctx.kernel, ctx.relations, ctx.tape = kernel, relations, h.new_empty(len(h), kernel.tape)
        return kernel.forward(h, injection, relations, ctx.tape)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        return *ctx.kernel.slopes(slope.contiguous(), ctx.relations, ctx.tape), None, None


def relation_kernel(
    pairs: int,
    groups: Groups | OwnGroups,
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
    return RelationKernel(library, pairs, groups, layers, damping, bf16)


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
