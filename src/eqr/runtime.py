"""The only file that knows devices, threads, processes and compilers."""

import ctypes
import hashlib
import importlib.util
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import FrameType
from typing import ParamSpec, TypeVar

import torch

from eqr.errors import InputError, shown

P = ParamSpec("P")
T = TypeVar("T")
U = TypeVar("U")
CPU = torch.device("cpu")
MOST_THREADS = 1024


def pick_device(name: str = "auto") -> torch.device:
    """Returns the named device; ``auto`` is CUDA if available, else the CPU. Raises InputError for a missing device."""
    available = torch.cuda.is_available()
    if name == "auto":
        return torch.device("cuda" if available else "cpu")
    if name.startswith("cuda") and not available:
        raise InputError(f"--device {shown(name)}: this torch sees no CUDA device, use --device cpu")
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    kinds = {"cpu"} | ({accelerator.type} if accelerator else set())
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        device = None
    if device is None or device.type not in kinds:  # meta, for one, has shapes and no numbers
        raise InputError(f"--device '{shown(name)}' is not a device of this machine: use auto, cpu or cuda")
    return device


def set_threads(threads: int | None) -> int:
    """Sets torch's number of threads, once and before any work; returns the number in force."""
    if threads is not None:
        if threads < 1:
            raise InputError(f"--threads {threads}: at least 1 is needed")
        if threads > MOST_THREADS:
            here = f"this machine runs {os.cpu_count() or 1} at a time"
            raise InputError(f"--threads {threads}: {MOST_THREADS} at most are supported, and {here}")
        torch.set_num_threads(threads)
    return torch.get_num_threads()


@cache
def can_compile(device: torch.device) -> bool:
    """Returns whether code can be compiled for ``device``; if not, prints a notice once."""
    if device.type != "cpu" or shutil.which(os.environ.get("CXX", "g++")):
        return True
    print("notice: no C++ compiler (g++ or $CXX) found: nothing is compiled, runs are slower", file=sys.stderr)
    return False


@cache
def has_triton(device: torch.device) -> bool:
    """Returns whether kernels of Triton, which torch for CUDA brings with it, run on ``device``."""
    return device.type == "cuda" and importlib.util.find_spec("triton") is not None


def compiled(function: Callable[P, T]) -> Callable[P, T]:
    """Wraps ``function`` in torch.compile with static shapes; call ``can_compile`` first."""
    return torch.compile(function, dynamic=False)


BUILD = ("-std=c++17", "-O3", "-ffp-contract=fast", "-shared", "-fPIC")
VECTORS = {"AVX512": ("-mavx512f", "-mfma"), "AVX2": ("-mavx2", "-mfma")}
"""Options for the vector instructions that torch uses on this CPU; other CPUs get the instructions that all have."""
BF16 = ("-mavx512bw", "-mavx512bf16")
"""Options for products of bfloat16 (AMD from Zen 4 on, Intel from Cooper Lake on)."""


@cache
def native_library(source: Path) -> ctypes.CDLL | None:
    """Returns the C++ file ``source`` as a library; if it cannot be built, prints a notice and returns None.

    A library is built once on a machine and kept in ``$XDG_CACHE_HOME/eqr`` (``~/.cache/eqr``), under a name that
    depends on its source and on the CPU's vector instructions.
    """
    options = (*BUILD, *VECTORS.get(torch.backends.cpu.get_cpu_capability(), ()))
    if options[-2:] == VECTORS["AVX512"] and torch.cpu._is_avx512_bf16_supported():
        options += BF16
    key = hashlib.sha256(source.read_bytes() + repr((options, platform.machine())).encode()).hexdigest()[:16]
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "eqr"
        library = folder / f"{source.stem}-{key}.so"
        if library.exists():
            with suppress(OSError):  # damaged, for instance by a loss of power: it is built anew
                return ctypes.CDLL(str(library))
        if not can_compile(CPU):
            return None
        if sys.stderr.isatty():
            print(f"compiling {source.name}, once on this machine; this takes some seconds", file=sys.stderr)
        _build(source, library, options)
        return ctypes.CDLL(str(library))
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:  # RuntimeError: there is no home folder
        lines = (getattr(error, "stderr", None) or str(error)).splitlines()
        reason = next((line for line in lines if "error" in line), lines[0])
        print(f"notice: the library of {source.name} cannot be built, runs are slower: {reason}", file=sys.stderr)
        return None


def _build(source: Path, library: Path, options: Sequence[str]) -> None:
    """Builds under another name, then renames: processes that build the same library do not disturb each other."""
    library.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        built = Path(folder) / library.name
        command = [os.environ.get("CXX", "g++"), *options, "-o", str(built), str(source)]
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
        built.replace(library)


def has_fast_bf16(device: torch.device) -> bool:
    """Measures whether bfloat16 products pay off: a CPU that only emulates them is 50 times slower than in float32."""
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
    """Returns a context in which matrix products run in bfloat16 if ``bf16``."""
    # No cache: before torch 2.10 it reused weights cast without a gradient where one is needed (pytorch #112583).
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16, cache_enabled=False)


def sent(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Returns a copy on ``device`` of values on the host, without waiting for the device."""
    # Only from pinned memory does CUDA copy when the device comes to it; else the host may wait until then.
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values.to(device)


def sent_home(values: torch.Tensor) -> Callable[[], torch.Tensor]:
    """Starts a copy of ``values`` to the host; returns a function that waits for this copy alone, and returns it."""
    if values.device.type == "cpu":
        return lambda: values
    home = torch.empty_like(values, device=CPU, pin_memory=True)
    home.copy_(values, non_blocking=True)
    sent = torch.Event(values.device)
    sent.record()

    def arrived() -> torch.Tensor:
        sent.synchronize()
        return home

    return arrived


TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Numbers of glibc's settings in malloc.h."""


def keep_freed_memory() -> None:
    """Lets this process keep the memory that it frees, if its C library is glibc.

    Else each pass of training gives tens of megabytes back to the system and fetches them anew, page by page: 5% of the
    time of a step.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        mallopt(TRIM_THRESHOLD, 2**31 - 1)
        mallopt(MMAP_THRESHOLD, 2**25)  # the most that every glibc takes


CACHED_ROWS = 8
"""Rows that a CPU thread updates at a time, so few that states stay in its cache; 64 take twice as long per row."""
SLOTS = 16
"""Rows under way on a CPU. More would only wait for each other; far fewer would leave threads without work."""
PARALLEL_ROWS = 1024
"""Rows that an accelerator updates at a time: enough to keep it busy, few enough for its memory."""
TRAINED_ROWS = 16
"""Rows that a CPU thread trains at a time, forward and backward."""


def rows_of_pass(device: torch.device, slots: int, most: int) -> int:
    """Returns the slots in one forward and backward pass: the largest divisor of ``slots`` that is at most ``most``.

    With ``most`` 0 the limit is TRAINED_ROWS on a CPU, and all slots elsewhere. The result does not depend on the
    number of threads, so that a run is the same to the bit with any number of them.
    """
    most = most or (TRAINED_ROWS if device.type == "cpu" else slots)
    return max(rows for rows in range(1, min(most, slots) + 1) if slots % rows == 0)


def rows_under_way(device: torch.device) -> int:
    """Returns how many rows to have under way on ``device`` where the user does not say."""
    return SLOTS if device.type == "cpu" else PARALLEL_ROWS


@dataclass(frozen=True)
class RowWorkers:
    """Threads that each process some of the rows. Rows are independent, so no thread waits within an operation."""

    threads: int
    device: torch.device
    pool: Executor

    def rows_each(self, rows: int) -> int:
        """Returns how many of ``rows`` rows one call should process: as many as fit a CPU's cache; elsewhere many."""
        return min(PARALLEL_ROWS, rows) if self.device.type != "cpu" else min(CACHED_ROWS, -(-rows // self.threads))

    def rows_at_once(self, rows: int) -> int:
        """Returns how many of ``rows`` rows take no more time than one: one for each thread of a CPU; elsewhere all."""
        return rows if self.device.type != "cpu" else min(rows, self.threads)

    def map(self, function: Callable[[T], U], parts: Sequence[T]) -> list[U]:
        """Returns the results of ``function`` on each part, in order.

        Never runs ``function`` in the caller's thread, where torch uses more than one thread per operation.
        """
        return list(self.begin(function, parts))

    def begin(self, function: Callable[[T], U], parts: Sequence[T]) -> Iterator[U]:
        """Starts ``function`` on each part; yields the results in order, as they become ready.

        An accelerator may still compute them: it works through all that it is asked to do in order.
        """
        return self.pool.map(function, parts)

    def wait(self) -> None:
        """Wait until an accelerator has done all that it was asked to do."""
        if self.device.type != "cpu":
            torch.accelerator.synchronize(self.device)


class _Threads:
    """Torch's number of threads outside of the workers of this process.

    A worker that sets its own number also sets that of threads which begin later, so what torch says is the number of
    the user only while no worker runs.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.groups, self.number = 0, 1
        """Groups of workers that run, and the number."""

    def enter(self) -> int:
        """Returns torch's number of threads. Workers may begin after this call."""
        with self.lock:
            if not self.groups:
                self.number = torch.get_num_threads()
            self.groups += 1
            return self.number

    def leave(self) -> None:
        """Sets torch's number of threads again, for this thread and for all threads that begin later."""
        with self.lock:
            self.groups -= 1
            torch.set_num_threads(self.number)


_THREADS = _Threads()


@contextmanager
def row_workers(device: torch.device) -> Iterator[RowWorkers]:
    """Yields one worker per torch thread on a CPU, and a single worker elsewhere. In a worker torch uses one thread.

    Two threads inside every operation lose much of their time waiting for each other. Two threads that split the rows
    are 2 to 3 times faster, and do not stall beside another busy process.
    """
    all_threads = _THREADS.enter()
    threads = all_threads if device.type == "cpu" else 1
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield RowWorkers(threads, device, pool)
    finally:
        _THREADS.leave()


@contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Records Ctrl-C and SIGTERM instead of stopping at once, for work that must end between steps.

    Yields a function that returns whether a signal came. A second Ctrl-C interrupts if it comes more than a second
    later: launchers pass signals on to processes that have already received them. Only the main thread gets signals:
    in another one, none ever comes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
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
