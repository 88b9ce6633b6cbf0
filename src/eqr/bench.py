"""How fast the blocks are here, and how near to plain matrix products. Knows shipped sizes; needs no weights.

The products are those an update really runs, counted as they are dispatched; ``torch.mm`` then runs the same sizes in
the same threads, taking turns with the updates, so that both meet the same machine.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from eqr.model import ModelConfig, Reasoner
from eqr.presets import PRESETS
from eqr.runtime import CACHED_ROWS, RowWorkers, compiled, row_workers

SIZES: dict[str, ModelConfig] = {
    "relation": PRESETS["sudoku_cpu"].model,
    "symbol": PRESETS["sudoku_symbol"].model,
    # The width of the paper's Sudoku model (EqR section D.4); two blocks an update, as there.
    "mixer": ModelConfig(task="sudoku", block="mixer", channels=512, layers=2, token_hidden=512, expansion=4.0),
}
"""What is measured: every block at the size it is used at."""
Product = tuple[int, int, int]
"""(M, K, N) of a matrix product."""


@dataclass(frozen=True, kw_only=True)
class Speed:
    """One block's figures; rates are of all threads together."""

    block: str
    parameters: int
    rows: int
    updates_per_second: float
    """Rows times updates per second, compiled if asked for."""
    gflops: float
    """GFLOP/s of the update's matrix products; whatever else it does costs time and counts nothing."""
    mm_gflops: float
    """GFLOP/s of torch.mm at the same sizes."""

    @property
    def share(self) -> float:
        """What the update reaches of the rate of torch.mm."""
        return self.gflops / self.mm_gflops


class _Products(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the size of every matrix product."""

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


def products(model: Reasoner, rows: int) -> list[Product]:
    """Sizes of the matrix products of one update of ``rows`` rows."""
    z, x = _inputs(model, rows)
    seen = _Products()
    with torch.no_grad(), seen:
        model.update(z, x)
    return seen.sizes


def measure(block: str, compile: bool, rounds: int = 15) -> Speed:
    """Time a block of SIZES at as many rows a thread as the engine moves at a time."""
    model = Reasoner(SIZES[block]).eval()
    with row_workers(model.answer_head.device) as workers:
        rows = workers.rows_each(CACHED_ROWS * workers.threads)
        sizes = products(model, rows)
        flops = sum(2 * m * k * n for m, k, n in sizes)
        update = compiled(model.update) if compile else model.update
        states = [_inputs(model, rows) for _ in range(workers.threads)]
        factors = [[(torch.randn(m, k), torch.randn(k, n)) for m, k, n in sizes] for _ in states]

        @torch.inference_mode()
        def move(thread: int) -> None:
            z, x = states[thread]
            for _ in range(model.config.updates_per_segment):
                z = update(z, x)

        @torch.inference_mode()
        def multiply(thread: int) -> None:
            for _ in range(model.config.updates_per_segment):
                for left, right in factors[thread]:
                    torch.mm(left, right)

        workers.map(move, [0])  # compiles
        pairs = [(_seconds(workers, move), _seconds(workers, multiply)) for _ in range(rounds)]
    updates = workers.threads * rows * model.config.updates_per_segment
    moving, multiplying = (statistics.median(column) for column in zip(*pairs, strict=True))
    return Speed(
        block=block,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        rows=workers.threads * rows,
        updates_per_second=updates / moving,
        gflops=flops / rows * updates / moving / 1e9,
        mm_gflops=flops / rows * updates / multiplying / 1e9,
    )


def _inputs(model: Reasoner, rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        return model.init(rows, generator), model.embed(torch.zeros(rows, model.task.layout.cells, dtype=torch.long))


def _seconds(workers: RowWorkers, work: Callable[[int], None]) -> float:
    started = time.perf_counter()
    workers.map(work, range(workers.threads))
    return time.perf_counter() - started
