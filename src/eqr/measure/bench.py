"""Measures the speed of updates and training steps, and compares it with plain matrix products. Needs no weights.

The matrix products of the work are recorded as they are dispatched; ``torch.mm`` then runs products of the same sizes
in the same threads, alternating with the work, so that both meet the same load on the machine.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from eqr.model import ModelConfig, Reasoner
from eqr.random import Streams
from eqr.runtime import CACHED_ROWS, RowWorkers, compiled, row_workers
from eqr.types import State

Product = tuple[int, int, int]
"""(M, K, N) of a matrix product."""


@dataclass(frozen=True, kw_only=True)
class Speed:
    """One set of figures; rates are totals of all threads."""

    name: str
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


Loss = Callable[[Reasoner, State, torch.Tensor, torch.Tensor, torch.Tensor | None], torch.Tensor]
"""``loss(model, z, inputs, labels, noise)`` returns the loss of one segment."""


def measure_update(name: str, config: ModelConfig, compile: bool, rounds: int) -> Speed:
    """Times updates of inference, with as many rows per thread as the engine updates at a time."""
    model = Reasoner(config).eval()
    update = compiled(model.update) if compile else model.update
    repeats = model.config.updates_per_segment

    def prepared(rows: int, plain: bool) -> Callable[[], object]:
        z, x = _inputs(model, rows)

        @torch.no_grad()  # in inference mode the products would not be dispatched one by one
        def work() -> None:
            state = z
            for _ in range(1 if plain else repeats):
                state = (model.update if plain else update)(state, x)

        return work

    return _measured(name, model, prepared, CACHED_ROWS, repeats, rounds)


def measure_step(
    name: str, config: ModelConfig, loss: Loss, rows: int, noisy: bool, compile: bool, rounds: int
) -> Speed:
    """Times the passes of a training step over ``rows`` slots: forward, backward, no optimizer; one pass per thread."""
    model = Reasoner(config).train()
    parameters = list(model.parameters())
    fast = compiled(loss) if compile else loss

    def prepared(rows: int, plain: bool) -> Callable[[], object]:
        z, _ = _inputs(model, rows)
        inputs = torch.zeros(rows, model.task.layout.width, dtype=torch.long)
        noise = torch.zeros(rows, *model.noise_shape) if noisy else None

        def work() -> None:
            value = (loss if plain else fast)(model, z, inputs, inputs + 1, noise)
            torch.autograd.grad(value, parameters, materialize_grads=True)

        return work

    return _measured(name, model, prepared, rows, 1, rounds)


def _measured(
    name: str,
    model: Reasoner,
    prepared: Callable[[int, bool], Callable[[], object]],
    rows: int,
    repeats: int,
    rounds: int,
) -> Speed:
    """Times ``prepared(rows, False)`` in every thread, and torch.mm on the products of ``prepared(rows, True)``."""
    torch.compiler.reset()  # graphs compiled for earlier networks count against torch's limit
    sizes = products_of(prepared(rows, True))
    flops = sum(2 * m * k * n for m, k, n in sizes)
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
        pairs = [(_seconds(workers, run), _seconds(workers, multiply)) for _ in range(rounds)]
        done = workers.threads * rows * repeats
    working, multiplying = (statistics.median(column) for column in zip(*pairs, strict=True))
    return Speed(
        name=name,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        rows=done // repeats,
        per_second=done / working,
        gflops=flops / rows * done / working / 1e9,
        mm_gflops=flops / rows * done / multiplying / 1e9,
    )


def _inputs(model: Reasoner, rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.no_grad():
        boards = torch.zeros(rows, model.task.layout.width, dtype=torch.long)
        return model.init(Streams.numbered(0, range(rows))), model.embed(boards)


def _seconds(workers: RowWorkers, work: Callable[[int], None]) -> float:
    started = time.perf_counter()
    workers.map(work, range(workers.threads))
    return time.perf_counter() - started
