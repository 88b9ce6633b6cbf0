"""Random streams of rows: functions of the seed, the puzzle and the restart's number alone."""

import hashlib

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor


def row_generator(seed: int, puzzle: Int[Tensor, " L"], restart: int) -> torch.Generator:
    """The stream of one row's start and noise. Keyed by the puzzle's ids, so neither neighbours nor order matter."""
    return torch.Generator().manual_seed(_key(f"{seed}/{restart}/", puzzle) >> 1)


def view_generator(seed: int, puzzle: Int[Tensor, " L"], view: int) -> np.random.Generator:
    """The stream that draws the symmetry of one view."""
    return np.random.Generator(np.random.PCG64(_key(f"view {seed}/{view}/", puzzle)))


def _key(purpose: str, puzzle: Int[Tensor, " L"]) -> int:
    key = hashlib.blake2b(purpose.encode(), digest_size=8)
    key.update(bytes(puzzle.tolist()))
    return int.from_bytes(key.digest(), "little")
