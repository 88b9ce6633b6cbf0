"""Measures the speed of updates and training steps, and compares it with plain matrix products. Needs no weights.

The matrix products of the work are recorded as they are dispatched; ``torch.mm`` then runs products of the same sizes
in the same threads, alternating with the work, so that both meet the same load on the machine.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from eqr.model import ModelConfig, Reasoner
from eqr.model.reasoner import HearingCall
from eqr.random import Streams
from eqr.runtime import CACHED_ROWS, RowWorkers, compiled, row_workers
from eqr.types import State

Product = tuple[int, int, int]
"""(M, K, N) of a matrix product."""


@dataclass(frozen=True, kw_only=True)
class Speed:
    """One set of figures; rates are totals of all threads."""

    name: str
    form: str
    """eager, compiled (torch.compile) or kernel (``Reasoner.fused``)."""
    threads: int
    parameters: int
    rows: int
    per_second: float
    """Rows times updates per second, or rows times training segments."""
    gflops: float
    """GFLOP/s of the matrix products; other operations take time but do not count as work."""
    mm_gflops: float
    """GFLOP/s of torch.mm at the same sizes."""

    @property
    def share(self) -> float:
        """Share of the rate of torch.mm that the work reaches."""
        return self.gflops / self.mm_gflops


class _Products(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the size of every matrix product."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.sizes: list[Product] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.mm.default:
            (m, k), n = args[0].shape, args[1].shape[1]
            self.sizes.append((m, k, n))
        elif func is torch.ops.aten.bmm.default:
            (batch, m, k), n = args[0].shape, args[1].shape[2]
            self.sizes += [(m, k, n)] * batch
        return func(*args, **(kwargs or {}))


def products_of(work: Callable[[], object]) -> list[Product]:
    """Returns the sizes of the matrix products that ``work`` runs, the backward pass included."""
    products = _Products()
    with products:
        work()
    return products.sizes


Loss = Callable[[Reasoner, State, torch.Tensor, torch.Tensor, torch.Tensor | None, HearingCall | None], torch.Tensor]
"""``loss(model, z, inputs, labels, noise, call)`` returns the loss of one segment."""


def measure_update(name: str, config: ModelConfig, compile: bool, rounds: int) -> list[Speed]:
    """Times updates of inference, with as many rows per thread as the engine updates at a time.

    Each form of the update is timed with one thread and with all of them. With ``compile``, in the kernel's form if
    there is one, and compiled; else eagerly.
    """
    model = Reasoner(config).eval()
    forms: dict[str, Callable[[State, torch.Tensor], State]] = {"eager": model.update}
    if compile:
        kernel = {"kernel": partial(model.update, call=call)} if (call := model.fused()) else {}
        forms = {**kernel, "compiled": compiled(model.update)}
    repeats = model.config.updates_per_segment

    def of_form(update: Callable[[State, torch.Tensor], State], rows: int, plain: bool) -> Callable[[], object]:
        z, x = _inputs(model, rows)

        @torch.no_grad()  # in inference mode the products would not be dispatched one by one
        def work() -> None:
            state = z
            for _ in range(1 if plain else repeats):
                state = (model.update if plain else update)(state, x)

        return work

    return [
        speed
        for form, update in forms.items()
        for speed in _measured((name, form), model, partial(of_form, update), CACHED_ROWS, repeats, rounds, alone=True)
    ]


def measure_step(
    name: str, config: ModelConfig, loss: Loss, rows: int, noisy: bool, compile: bool, rounds: int
) -> Speed:
    """Times the passes of a training step over ``rows`` slots: forward, backward, no optimizer; one pass per thread.

    With ``compile``, by the kernel if there is one, or compiled; else eagerly.
    """
    model = Reasoner(config).train()
    parameters = list(model.parameters())
    kernel = compile and model.fused() is not None
    form = "kernel" if kernel else "compiled" if compile else "eager"
    fast = compiled(loss) if form == "compiled" else loss

    def prepared(rows: int, plain: bool) -> Callable[[], object]:
        z, _ = _inputs(model, rows)
        inputs = torch.zeros(rows, model.task.layout.width, dtype=torch.long)
        noise = torch.zeros(rows, *model.noise_shape) if noisy else None

        def work() -> None:
            call = model.fused() if kernel and not plain else None
            value = (loss if plain else fast)(model, z, inputs, inputs + 1, noise, call)
            torch.autograd.grad(value, parameters, materialize_grads=True)

        return work

    (speed,) = _measured((name, form), model, prepared, rows, 1, rounds, alone=False)
    return speed


def _measured(
    named: tuple[str, str],
    model: Reasoner,
    prepared: Callable[[int, bool], Callable[[], object]],
    rows: int,
    repeats: int,
    rounds: int,
    *,
    alone: bool,
) -> list[Speed]:
    """Times ``prepared(rows, False)`` in every thread, and torch.mm on the products of ``prepared(rows, True)``.

    ``named`` is the name and the form. If ``alone``, times one thread before it times all of them.
    """
    torch.compiler.reset()  # graphs compiled for earlier networks count against torch's limit
    sizes = products_of(prepared(rows, True))
    flops = sum(2 * m * k * n for m, k, n in sizes)
    speeds = []
    with row_workers(model.answer_head.device) as workers:
        works = [prepared(rows, False) for _ in range(workers.threads)]
        factors = [[(torch.randn(m, k), torch.randn(k, n)) for m, k, n in sizes] for _ in works]

        @torch.inference_mode()
        def multiply(thread: int) -> None:
            for _ in range(repeats):
                for left, right in factors[thread]:
                    torch.mm(left, right)

        def run(thread: int) -> None:
            works[thread]()

        workers.map(run, [0])  # compiles
        for threads in sorted({1 if alone else workers.threads, workers.threads}):
            used = range(threads)
            pairs = [(_seconds(workers, run, used), _seconds(workers, multiply, used)) for _ in range(rounds)]
            working, multiplying = (statistics.median(column) for column in zip(*pairs, strict=True))
            speeds.append(
                Speed(
                    name=named[0],
                    form=named[1],
                    threads=threads,
                    parameters=sum(parameter.numel() for parameter in model.parameters()),
                    rows=threads * rows,
                    per_second=threads * rows * repeats / working,
                    gflops=flops * repeats * threads / working / 1e9,
                    mm_gflops=flops * repeats * threads / multiplying / 1e9,
                )
            )
    return speeds


def _inputs(model: Reasoner, rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.no_grad():
        boards = torch.zeros(rows, model.task.layout.width, dtype=torch.long)
        return model.init(Streams.numbered(0, range(rows))), model.embed(boards)


def _seconds(workers: RowWorkers, work: Callable[[int], None], threads: range) -> float:
    started = time.perf_counter()
    workers.map(work, threads)
    workers.wait()
    return time.perf_counter() - started
