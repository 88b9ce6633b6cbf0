"""Random streams. Each is a function of a key, a purpose and a position, so no generator state is saved or carried.

A row's start, noise and suppositions depend only on the seed, the puzzle and the restart's number. A training slot's
puzzles and starts depend only on the seed, the slot's number and the number of puzzles it has drawn; its noise depends
only on the seed, the step and the slot's number. So answers do not depend on batches or neighbours, and a run draws
the same numbers however its slots are spread over passes, threads or processes.

``Streams`` draws for all rows at once, by whole-number arithmetic and tables, so that the numbers are equal on every
device and for every version of torch.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from eqr.runtime import has_triton

PUZZLE, START, LEAVE, NOISE, WEIGHTS, HINT, SUPPOSE, GUESS = range(8)
"""Purposes of streams."""
# Constants of Philox 4x32-10 (Salmon and others, "Parallel random numbers: as easy as 1, 2, 3", 2011).
ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
MASK = 0xFFFFFFFF
WORDS = 4
"""Words of 32 bits that one block yields."""
CUT = 2.0
"""Truncated normal values lie within so many standard deviations of the normal distribution that is cut."""


def row_key(seed: int, puzzle: bytes, restart: int) -> int:
    """Returns the key of one row's stream, which depends on the puzzle (``Task.identity``) and not on its batch."""
    return _key(f"{seed}/{restart}/", puzzle)


def view_generator(seed: int, puzzle: bytes, view: int) -> np.random.Generator:
    """Returns the stream that draws the symmetry of one view."""
    return np.random.Generator(np.random.PCG64(_key(f"view {seed}/{view}/", puzzle)))


def _key(purpose: str, puzzle: bytes) -> int:
    key = hashlib.blake2b(purpose.encode(), digest_size=8)
    key.update(puzzle)
    return int.from_bytes(key.digest(), "little")


def numpy_stream(seed: int, purpose: int, *which: int) -> np.random.Generator:
    """Returns the numpy generator of ``purpose`` with the numbers ``which``, such as a slot and a step."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, purpose, *which])))


def torch_stream(device: torch.device, seed: int, purpose: int, *which: int) -> torch.Generator:
    """Returns the torch generator on ``device`` of ``purpose`` with numbers ``which``, such as a slot and a step."""
    key = np.random.SeedSequence([seed, purpose, *which]).generate_state(1, np.uint64)[0] >> 1
    return torch.Generator(device).manual_seed(int(key))


def numbered_keys(seed: int, numbers: Iterable[int]) -> list[int]:
    """Returns a key for each of the ``numbers``, such as those of training slots."""
    return [int(np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)[0]) for number in numbers]


def uniform(keys: Sequence[int], purpose: int, at: Sequence[int]) -> NDArray[np.float64]:
    """Returns ``Streams.uniform`` of rows, computed by numpy: for few rows that is faster than a hundred kernels."""
    key, where = np.array(keys, np.uint64), np.array(at, np.uint64)
    word = philox((0, where & MASK, purpose, 0), (key & MASK, key >> 32))[0]
    return (np.asarray(word) + 0.5) / 2**32


@dataclass(frozen=True)
class Streams:
    """A stream for each of R rows. A draw is a function of a row's key, a purpose and a position ``at`` per row."""

    keys: Int[Tensor, " R"]
    """Keys of 64 bits; the draws are made on their device."""

    @staticmethod
    def of(keys: Iterable[int], device: torch.device | str = "cpu") -> "Streams":
        """Returns the streams of these keys, whole numbers of at most 64 bits."""
        words = np.array([key % 2**64 for key in keys], np.uint64).view(np.int64)
        return Streams(torch.from_numpy(words).to(device))

    @staticmethod
    def numbered(seed: int, numbers: Iterable[int], device: torch.device | str = "cpu") -> "Streams":
        """Returns the streams of ``numbered_keys``."""
        return Streams.of(numbered_keys(seed, numbers), device)

    def __getitem__(self, rows: "slice | Tensor") -> "Streams":
        """The streams of some rows."""
        return Streams(self.keys[rows])

    def normal(self, purpose: int, at: int | Int[Tensor, " R"], *shape: int) -> Float[Tensor, "R ..."]:
        """Draws standard normal values, (R, *shape)."""
        return self._tabled(purpose, at, shape, truncated=False)

    def truncated(self, purpose: int, at: int | Int[Tensor, " R"], *shape: int) -> Float[Tensor, "R ..."]:
        """Draws normal values cut off at CUT standard deviations and widened to standard deviation 1, (R, *shape)."""
        return self._tabled(purpose, at, shape, truncated=True)

    def uniform(self, purpose: int, at: int | Int[Tensor, " R"]) -> Float[Tensor, " R"]:
        """Draws one value in (0, 1), in double precision, for each row."""
        return (self._words(purpose, at, 1)[:, 0].double() + 0.5) / 2**32

    def _tabled(
        self, purpose: int, at: int | Int[Tensor, " R"], shape: tuple[int, ...], truncated: bool
    ) -> Float[Tensor, "R ..."]:
        """Looks 16 random bits up in a table of quantiles: the inverse of the distribution function."""
        count, table = prod(shape), _quantiles(truncated, self.keys.device)
        if has_triton(self.keys.device):
            from eqr.random.kernel import tabled  # only torch for CUDA brings Triton

            where = at if isinstance(at, Tensor) else torch.full_like(self.keys, at)
            return tabled(self.keys, purpose, where, count, table).view(-1, *shape)
        words = self._words(purpose, at, -(-count // 2))
        halves = torch.stack([words & 0xFFFF, words >> 16], -1).flatten(1)[:, :count]
        return table[halves].view(-1, *shape)

    def _words(self, purpose: int, at: int | Int[Tensor, " R"], count: int) -> Int[Tensor, "R count"]:
        """Returns random words of 32 bits, as int64, for each row."""
        blocks = torch.arange(-(-count // WORDS), device=self.keys.device)
        where = at.view(-1, 1) if isinstance(at, Tensor) else at
        words = philox(
            (blocks, where & MASK, purpose, 0), (self.keys.view(-1, 1) & MASK, (self.keys.view(-1, 1) >> 32) & MASK)
        )
        return torch.stack([torch.as_tensor(word) for word in words], -1).flatten(1)[:, :count]


Words = int | Tensor | NDArray[Any]
"""Words of 32 bits; in tensors as int64, in arrays as uint64."""


def philox(counter: tuple[Words, Words, Words, Words], key: tuple[Words, Words]) -> tuple[Words, ...]:
    """Returns the four random words of Philox 4x32-10 for each counter and key; the arguments broadcast."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        (high0, low0), (high1, low1) = _product(MULTIPLIERS[0], c0), _product(MULTIPLIERS[1], c2)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + WEYL[0]) & MASK, (k1 + WEYL[1]) & MASK
    return c0, c1, c2, c3


def _product(factor: int, word: Words) -> tuple[Words, Words]:
    """Returns the high and the low word of a product of two words."""
    if not isinstance(word, Tensor):
        product = factor * word
        return product >> 32, product & MASK
    # Without leaving the range of int64.
    upper, lower = factor * (word >> 16), factor * (word & 0xFFFF)
    middle = upper + (lower >> 16)
    return middle >> 16, ((middle & 0xFFFF) << 16) | (lower & 0xFFFF)


@cache
def _quantiles(truncated: bool, device: torch.device) -> Float[Tensor, " 65536"]:
    """Returns the quantiles of the normal distribution at the middles of 2**16 equal parts, scaled to variance 1."""
    parts = (torch.arange(1 << 16, dtype=torch.double) + 0.5) / (1 << 16)
    least = float(torch.special.ndtr(torch.tensor(-CUT, dtype=torch.double))) if truncated else 0.0
    values = torch.special.ndtri(least + (1 - 2 * least) * parts)
    scaled: Tensor = values / values.square().mean().sqrt()
    return scaled.float().to(device)
