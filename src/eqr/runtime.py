"""The only file that knows devices, threads and compilers."""

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import ParamSpec, TypeVar

import torch

from eqr.errors import InputError

P = ParamSpec("P")
T = TypeVar("T")


def pick_device(name: str = "auto") -> torch.device:
    """``auto`` takes CUDA where there is one, else the CPU; raises InputError for a device that is not there."""
    available = torch.cuda.is_available()
    if name == "auto":
        return torch.device("cuda" if available else "cpu")
    if name.startswith("cuda") and not available:
        raise InputError(f"--device {name}: this torch sees no CUDA device, use --device cpu")
    try:
        return torch.device(name)
    except RuntimeError:
        raise InputError(f"--device {name!r} is not a device: use auto, cpu or cuda") from None


def set_threads(threads: int | None) -> int:
    """Set torch's threads once, before any work; returns the number in force."""
    if threads is not None:
        if threads < 1:
            raise InputError(f"--threads {threads}: at least 1 is needed")
        torch.set_num_threads(threads)
    return torch.get_num_threads()


def compiled(function: Callable[P, T], device: torch.device) -> Callable[P, T]:
    """``function`` under torch.compile with static shapes; as it is, with a notice, where no C++ compiler is found."""
    if device.type == "cpu" and not shutil.which(os.environ.get("CXX", "g++")):
        print("notice: no C++ compiler (g++ or $CXX) found, running without torch.compile: slower", file=sys.stderr)
        return function
    return torch.compile(function, dynamic=False)


def mixed_precision(device: torch.device, bf16: bool) -> torch.autocast:
    """Context in which matrix products run in bfloat16, if asked for."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16)


@contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Within it Ctrl-C and SIGTERM are noted, for work that must end between steps; a second one interrupts."""
    noted = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal noted
        if noted:
            raise KeyboardInterrupt
        noted = True

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
