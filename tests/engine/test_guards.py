"""What a turn costs besides the arithmetic of its segment: operators started, and waits for the device."""

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from counting import Operators, Syncs
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from eqr.engine import SolveConfig
from eqr.engine import rows as engine_rows
from eqr.engine import segment as engine_segment
from eqr.engine import verdict as engine_verdict
from eqr.engine.queue import PuzzleQueue
from eqr.engine.rows import Job, Rows, turn
from eqr.evidence import Snapshot
from eqr.model import ModelConfig, Reasoner
from eqr.random import streams
from eqr.runtime import RowWorkers
from eqr.storage.checkpoint import load
from eqr.tasks import task_named

CPU = torch.device("cpu")
SUPPOSE = SolveConfig(depth=16, breadth="auto:3", halt="learned", delta=50.0, suppose=2, rows=12)
BUDGET = {"segment": 117, "_start": 323, "_advance": 13, "judge": 80, "_see": 17, "_close": 18}
"""Most operators of a segment of the small model; of starting rows; of a turn's move, besides the segment; of deciding
what becomes of the rows; of showing rows what they suppose; of closing gaps. These may fall and not rise."""


class Inline(Executor):
    """Runs everything in the caller's thread, where it is counted."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        future = Future[Any]()
        future.set_result(function(*arguments, **named))
        return future


def started(model: Reasoner, config: SolveConfig, count: int, **options: Any) -> tuple[Rows, PuzzleQueue]:
    config = config.completed(model.settings)
    puzzles = (torch.from_numpy(p.question).long() for p in islice(task_named("sudoku4").generate(seed=5), count))
    queue = PuzzleQueue(puzzles, config, model.calibration, **options)
    return Rows(model, config, RowWorkers(1, CPU, Inline())), queue


@pytest.fixture(scope="module")
def model(tiny_run: Path) -> Reasoner:
    return load(tiny_run)


@pytest.mark.parametrize("watched", [False, True])
def test_a_turn_waits_for_the_device_once_and_once_more_for_who_watches(model: Reasoner, watched: bool) -> None:
    seen: list[Snapshot] = []
    options = {"on_snapshot": lambda restart, snapshot: seen.append(snapshot)} if watched else {}
    rows, queue = started(model, SUPPOSE, 30, **options)
    turns, ended = 0, 0
    # The checker, the queue and the keys of rows see the puzzles and the evidence, which are on the host.
    with Syncs("tasks/", "random/", "engine/queue.py", "engine/policy/") as syncs:
        while turn(rows, queue):
            turns += 1
            ended += sum(1 for _ in queue.answered())
    assert ended == 30
    assert syncs.total == turns * (1 + watched), syncs.lines
    assert len(syncs.lines) == 1, syncs.lines


def test_a_turn_starts_few_operators(model: Reasoner, monkeypatch: pytest.MonkeyPatch) -> None:
    most = Counter[str]()

    def counts(owner: Any, name: str) -> None:
        function = getattr(owner, name)

        def counted(*arguments: Any, **named: Any) -> Any:
            with Operators() as operators:
                result = function(*arguments, **named)
            most[name] = max(most[name], operators.total)
            return result

        monkeypatch.setattr(owner, name, counted)

    for name in ("_start", "_advance", "_see", "_close"):
        counts(Rows, name)
    counts(engine_rows, "judge")
    counts(engine_segment, "segment")
    rows, queue = started(model, SUPPOSE, 20)
    while turn(rows, queue):
        list(queue.answered())
    most["_advance"] -= most["segment"]
    assert most <= Counter(BUDGET)


class OnHost:
    """Stands in for ``on_host``: of tensors without numbers, some rows halt and some have changed."""

    def __init__(self) -> None:
        self.reads = 0

    def __call__(self, columns: Sequence[torch.Tensor]) -> list[np.ndarray]:
        assert {column.device.type for column in columns} == {"meta"}
        assert all(isinstance(column, FakeTensor) for column in columns)
        self.reads += 1
        table = [np.zeros(column.shape, np.float32) for column in columns]
        halts, _, changed, due = table[3:7]
        halts[:: 2 + self.reads % 3], changed[1::2], due[::2] = 1, 1, 1
        return table


@pytest.mark.parametrize(("task", "solver", "suppose"), [("sudoku4", "picard", 2), ("maze5", "anderson", 0)])
def test_a_turn_never_mixes_devices_nor_waits(
    task: str, solver: str, suppose: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On tensors without numbers: each operator checks its devices, and one that needs a number fails."""
    on_host, noted = OnHost(), Counter[str]()
    monkeypatch.setattr(engine_verdict, "on_host", on_host)
    monkeypatch.setattr(engine_rows.Rows, "_key", lambda rows, job: job.restart)
    config = SolveConfig(depth=4, halt="learned", suppose=suppose, noise=0.1, rows=6, solver=solver)
    streams._quantiles.cache_clear()
    model = Reasoner(ModelConfig(task=task, block="axial", channels=8)).requires_grad_(False)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        for module in model.modules():
            for tensors in (module._parameters, module._buffers):
                tensors |= {
                    name: mode.from_tensor(each).to("meta") for name, each in tensors.items() if each is not None
                }
        monkeypatch.setattr(model.task, "is_solved", lambda puzzles, answers: torch.zeros(len(answers)) > 0)
        puzzle = torch.zeros(model.task.layout.width, dtype=torch.long)
        rows = Rows(model, config, RowWorkers(1, torch.device("meta"), Inline()))
        jobs = [Job(puzzle=puzzle, restart=restart, config=config) for restart in range(8)]
        while jobs or rows.rows:
            rows.enter([jobs.pop() for _ in range(min(rows.free, len(jobs)))])
            rows.advance()
            noted["ended"] += len(rows.leave())
            parked = [row.job for row in rows.rows[1:3]]
            rows.park(parked)
            rows.enter(parked)
    streams._quantiles.cache_clear()
    assert noted["ended"] == 8
    assert on_host.reads > 3
