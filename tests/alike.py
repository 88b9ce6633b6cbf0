"""What tests of several folders ask: has it come to that, and is this the same evidence?"""

import time
from collections.abc import Callable

import torch

from eqr.types import BY_RESTART, Evidence


def eventually(true: Callable[[], bool], seconds: float, every: float) -> None:
    """Wait, not for ever."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(every)


def same(one: Evidence, other: Evidence) -> bool:
    """Equal to the last bit, but for the time they took."""
    return all(torch.equal(vars(one)[name], vars(other)[name]) for name in BY_RESTART)
