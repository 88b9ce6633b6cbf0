"""The only file that knows devices, threads, processes and compilers."""

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from types import FrameType
from typing import ParamSpec, TypeVar

import torch

from eqr.errors import InputError

P = ParamSpec("P")
T = TypeVar("T")
U = TypeVar("U")
CPU = torch.device("cpu")


def pick_device(name: str = "auto") -> torch.device:
    """``auto`` takes CUDA where there is one, else the CPU; raises InputError for a device that is not there."""
    available = torch.cuda.is_available()
    if name == "auto":
        return torch.device("cuda" if available else "cpu")
    if name.startswith("cuda") and not available:
        raise InputError(f"--device {name}: this torch sees no CUDA device, use --device cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise InputError(f"--device {name!r} is not a device of this machine: use auto, cpu or cuda") from None
    return device


def set_threads(threads: int | None) -> int:
    """Set torch's threads once, before any work; returns the number in force."""
    if threads is not None:
        if threads < 1:
            raise InputError(f"--threads {threads}: at least 1 is needed")
        torch.set_num_threads(threads)
    return torch.get_num_threads()


@cache
def can_compile(device: torch.device) -> bool:
    """Whether torch.compile has what it needs; prints a notice, once, if not."""
    if device.type != "cpu" or shutil.which(os.environ.get("CXX", "g++")):
        return True
    print("notice: no C++ compiler (g++ or $CXX) found, running without torch.compile: slower", file=sys.stderr)
    return False


def compiled(function: Callable[P, T]) -> Callable[P, T]:
    """``function`` under torch.compile with static shapes; ask ``can_compile`` first."""
    return torch.compile(function, dynamic=False)


def has_fast_bf16(device: torch.device) -> bool:
    """Whether products in bfloat16 pay, by trying: a CPU that only emulates them is 50 times slower than in float32."""
    if device.type != "cpu":
        return True
    fastest = []
    for dtype in (torch.float32, torch.bfloat16):
        square, seconds = torch.ones(256, 256, dtype=dtype), []
        for _ in range(6):
            started = time.perf_counter()
            square @ square
            seconds.append(time.perf_counter() - started)
        fastest.append(min(seconds))
    return fastest[1] < 4 * fastest[0]


def mixed_precision(device: torch.device, bf16: bool) -> torch.autocast:
    """Context in which matrix products run in bfloat16, if asked for."""
    # Before torch 2.10 its cache kept weights cast without a gradient for use with one (pytorch #112583).
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16, cache_enabled=False)


CACHED_ROWS = 8
"""Rows a CPU thread moves at a time: their states stay in its cache. 64 at a time take twice as long."""
TRAINED_ROWS = 16
"""Rows a CPU thread trains at a time, forward and backward."""


def rows_of_pass(device: torch.device, slots: int, most: int) -> int:
    """Slots in one forward and backward pass: the most that divide ``slots``, up to ``most`` or, if 0, to what fits.

    It does not depend on the number of threads, so that threads change no bit.
    """
    most = most or (TRAINED_ROWS if device.type == "cpu" else slots)
    return max(rows for rows in range(1, min(most, slots) + 1) if slots % rows == 0)


@dataclass(frozen=True)
class RowWorkers:
    """Threads that each carry some rows, which do not depend on each other: no thread waits within an operation."""

    threads: int
    device: torch.device
    pool: Executor

    def rows_each(self, rows: int) -> int:
        """How many of ``rows`` rows one call should carry: what fits a CPU's cache, all of them on another device."""
        return rows if self.device.type != "cpu" else min(CACHED_ROWS, -(-rows // self.threads))

    def map(self, function: Callable[[T], U], parts: Sequence[T]) -> list[U]:
        """The results of ``function`` on each part, in order; never in the caller's thread, which has more threads."""
        return list(self.each(function, parts))

    def each(self, function: Callable[[T], U], parts: Sequence[T]) -> Iterator[U]:
        """The same, one after the other as they come."""
        yield from self.pool.map(function, parts)
        if self.device.type != "cpu":
            torch.accelerator.synchronize(self.device)


@contextmanager
def row_workers(device: torch.device) -> Iterator[RowWorkers]:
    """As many workers as torch has threads; on another device than the CPU one. Within a worker torch uses one thread.

    Two threads inside every operation lose much of their time waiting for each other: over rows they are 2 to 3 times
    faster, and beside another busy process they do not stall.
    """
    before = torch.get_num_threads()
    threads = before if device.type == "cpu" else 1
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield RowWorkers(threads, device, pool)
    finally:
        torch.set_num_threads(before)


@contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Within it Ctrl-C and SIGTERM are noted, for work that must end between steps.

    A second Ctrl-C interrupts, unless it comes at once: launchers pass on to their processes what these got as well.
    """
    noted = 0.0

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal noted
        if noted and number == signal.SIGINT and time.monotonic() - noted > 1:
            raise KeyboardInterrupt
        noted = noted or time.monotonic()

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: noted > 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
