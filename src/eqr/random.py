"""Random streams. Each is a function of a seed and a purpose, so no generator state is saved and order does not matter.

A row's start and noise depend only on the seed, the puzzle and the restart's number. A training slot's puzzles and
starts depend only on the seed, the slot's number and the number of puzzles it has drawn; its noise depends only on the
seed, the step and the slot's number. So answers do not depend on batches or neighbours, and a run draws the same
numbers however its slots are spread over passes, threads or processes.
"""

import hashlib

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor


def row_generator(seed: int, puzzle: Int[Tensor, " L"], restart: int) -> torch.Generator:
    """Returns the stream of one row's start and noise. Its key is the puzzle's ids, not its place in a batch."""
    return torch.Generator().manual_seed(_key(f"{seed}/{restart}/", puzzle) >> 1)


def view_generator(seed: int, puzzle: Int[Tensor, " L"], view: int) -> np.random.Generator:
    """Returns the stream that draws the symmetry of one view."""
    return np.random.Generator(np.random.PCG64(_key(f"view {seed}/{view}/", puzzle)))


def _key(purpose: str, puzzle: Int[Tensor, " L"]) -> int:
    key = hashlib.blake2b(purpose.encode(), digest_size=8)
    key.update(bytes(puzzle.tolist()))
    return int.from_bytes(key.digest(), "little")


PUZZLE, START, LEAVE, NOISE, WEIGHTS, HINT = range(6)
"""Purposes of streams."""


def numpy_stream(seed: int, purpose: int, *which: int) -> np.random.Generator:
    """Returns the numpy generator of ``purpose`` with the numbers ``which``, such as a slot and a step."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, purpose, *which])))


def torch_stream(device: torch.device, seed: int, purpose: int, *which: int) -> torch.Generator:
    """Returns the torch generator on ``device`` of ``purpose`` with numbers ``which``, such as a slot and a step."""
    key = np.random.SeedSequence([seed, purpose, *which]).generate_state(1, np.uint64)[0] >> 1
    return torch.Generator(device).manual_seed(int(key))
