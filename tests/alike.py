"""What tests of several folders ask: has it come to that, is this the same evidence, how is this answer drawn?"""

import time
from collections.abc import Callable

import torch

from eqr.evidence import BY_RESTART, Evidence, Solution


def eventually(true: Callable[[], bool], seconds: float, every: float) -> None:
    """Wait, not for ever."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(every)


def same(one: Evidence, other: Evidence) -> bool:
    """Equal to the last bit, but for the time they took."""
    return all(torch.equal(vars(one)[name], vars(other)[name]) for name in BY_RESTART)


def solution(answer: torch.Tensor, settled: bool, valid: bool, residual: float, depth: int) -> Solution:
    """An answer (L,) of the only restart; a row that had not settled ran out of depth."""
    return Solution(
        answer=answer,
        valid=valid,
        converged=settled,
        halted=settled,
        residual=residual,
        depth=depth,
        restart=0,
        restarts=1,
        seconds=0.1,
    )
