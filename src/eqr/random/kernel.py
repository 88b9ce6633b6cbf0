"""The draws of ``Streams`` as one kernel of Triton; in plain torch each takes hundreds, and 8 bytes a word."""

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

BLOCKS = 128
"""Blocks of Philox that one program draws, eight values each."""


@triton.jit  # type: ignore[untyped-decorator]
def _draw(keys, at, table, values, purpose, count, parts, BLOCKS: tl.constexpr):  # type: ignore[no-untyped-def]
    row, part = tl.program_id(0) // parts, tl.program_id(0) % parts
    block = (part * BLOCKS + tl.arange(0, BLOCKS)).to(tl.uint32)
    where, zero = (tl.load(at + row) & 0xFFFFFFFF).to(tl.uint32) + block * 0, block * 0
    w0, w1, w2, w3 = tl.philox(tl.load(keys + row), block, where, zero + purpose, zero)
    words = tl.interleave(tl.interleave(w0, w2), tl.interleave(w1, w3))
    halves = tl.interleave(words & 0xFFFF, words >> 16)
    place = part * BLOCKS * 8 + tl.arange(0, BLOCKS * 8)
    tl.store(values + row.to(tl.int64) * count + place, tl.load(table + halves), mask=place < count)


def tabled(
    keys: Int[Tensor, " R"], purpose: int, at: Int[Tensor, " R"], count: int, table: Float[Tensor, " 65536"]
) -> Float[Tensor, "R count"]:
    """Returns ``count`` entries of ``table`` for each row, chosen by 16 random bits each, as ``Streams`` does."""
    rows, parts = len(keys), triton.cdiv(count, BLOCKS * 8)
    values = torch.empty(rows, count, device=keys.device)
    # Triton starts kernels on the current device.
    with torch.cuda.device_of(keys):  # type: ignore[no-untyped-call]
        _draw[(rows * parts,)](keys.contiguous(), at.contiguous(), table, values, purpose, count, parts, BLOCKS)
    return values
