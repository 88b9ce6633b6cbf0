"""Random streams of rows: functions of the seed, the puzzle and the restart's number alone."""

import hashlib

import torch
from jaxtyping import Int
from torch import Tensor


def row_generator(seed: int, puzzle: Int[Tensor, " L"], restart: int) -> torch.Generator:
    """The stream of one row's start and noise. Keyed by the puzzle's ids, so neither neighbours nor order matter."""
    key = hashlib.blake2b(f"{seed}/{restart}/".encode(), digest_size=8)
    key.update(bytes(puzzle.tolist()))
    return torch.Generator().manual_seed(int.from_bytes(key.digest(), "little") >> 1)
