"""Random streams: functions of a seed and of what they are for, so no state is saved and no order matters.

A row's start and noise depend on the seed, the puzzle and the restart's number alone; a training slot's puzzles, starts
and noise depend on the seed, the slot's number and its count alone. So answers do not depend on batches or neighbours,
and a run draws the same however its slots are spread over passes, threads or processes.
"""

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


PUZZLE, START, LEAVE, NOISE, WEIGHTS, HINT = range(6)
"""What a stream is for."""


def numpy_stream(seed: int, purpose: int, *which: int) -> np.random.Generator:
    """A numpy generator for ``purpose``, number ``which``."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, purpose, *which])))


def torch_stream(device: torch.device, seed: int, purpose: int, *which: int) -> torch.Generator:
    """A torch generator on ``device`` for ``purpose``, number ``which``."""
    key = np.random.SeedSequence([seed, purpose, *which]).generate_state(1, np.uint64)[0] >> 1
    return torch.Generator(device).manual_seed(int(key))
