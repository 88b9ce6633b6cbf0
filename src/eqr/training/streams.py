"""Random streams of training: functions of the run's seed and of what they are for, so there is no state to save.

A slot's puzzles, starts and noise depend on its number alone. So the draws of a run are the same however its slots are
spread over passes, threads or processes, and two slots share a stream by accident alone.
"""

import numpy as np
import torch

PUZZLE, START, LEAVE, NOISE, WEIGHTS, HINT = range(6)
"""What a stream is for."""


def numpy_stream(seed: int, purpose: int, *which: int) -> np.random.Generator:
    """A numpy generator for ``purpose``, number ``which``."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, purpose, *which])))


def torch_stream(device: torch.device, seed: int, purpose: int, *which: int) -> torch.Generator:
    """A torch generator on ``device`` for ``purpose``, number ``which``."""
    key = np.random.SeedSequence([seed, purpose, *which]).generate_state(1, np.uint64)[0] >> 1
    return torch.Generator(device).manual_seed(int(key))
