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


def solution(
    answer: torch.Tensor, settled: bool, valid: bool, residual: float, depth: int, halted: bool | None = None
) -> Solution:
    """An answer (L,) of the only restart; a row that had not settled ran out of depth unless it halted."""
    evidence = Evidence(
        puzzle=torch.zeros_like(answer),
        answers=answer.unsqueeze(0),
        residual=torch.tensor([residual]),
        logit_change=torch.tensor([0.0]),
        halt_logit=torch.tensor([0.0]),
        depth=torch.tensor([depth]),
        converged=torch.tensor([settled]),
        halted=torch.tensor([settled if halted is None else halted]),
        valid=torch.tensor([valid]),
        seconds=0.1,
    )
    return Solution(evidence=evidence, restart=0, text="")
