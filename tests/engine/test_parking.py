"""A row that is parked at any moment, and continued in any slot, ends as if it had never left its slot."""

import itertools
import random
from collections.abc import Collection
from pathlib import Path

import pytest
import torch
from alike import same

from eqr.engine import SolveConfig, evidence_stream
from eqr.engine.queue import PuzzleQueue
from eqr.engine.rows import Job, Rows, turn
from eqr.evidence import Evidence
from eqr.model import Reasoner
from eqr.runtime import row_workers
from eqr.storage.checkpoint import load
from eqr.tasks import task_named

BOARDS = [torch.from_numpy(p.question).long() for p in itertools.islice(task_named("sudoku4").generate(seed=5), 6)]


class Restless(PuzzleQueue):
    """Parks rows at random, and continues them later in an order of its own."""

    def begin(self, seed: int) -> "Restless":
        self.draw, self.parked, self.parkings = random.Random(seed), list[Job](), 0
        return self

    def preempted(self) -> list[Job]:
        under_way = [job for job in self.moving if job not in self.parked]
        leaving = [job for job in under_way if self.draw.random() < 0.3]
        self.parked += leaving
        self.parkings += len(leaving)
        return leaving

    def start(self) -> Job | None:
        self.draw.shuffle(self.parked)
        return self.parked.pop() if self.parked and self.draw.random() < 0.7 else super().start()

    def dropped(self) -> list[Job]:
        dropped = super().dropped()
        self.parked = [job for job in self.parked if job not in dropped]
        return dropped

    def ahead(self) -> Collection[Job]:
        return [job for job in super().ahead() if job not in self.parked]


@pytest.fixture(scope="module")
def model(tiny_run: Path) -> Reasoner:
    return load(tiny_run)


def restless(model: Reasoner, config: SolveConfig, seed: int, record: bool) -> list[Evidence]:
    config = config.completed(model.settings)
    queue = Restless(BOARDS, config, model.calibration).begin(seed)
    found = list[Evidence]()
    with row_workers(torch.device("cpu")) as workers:
        rows = Rows(model, config, workers, record=record, latents="all" if record else "end")
        while turn(rows, queue) or queue.parked:
            found += queue.answered()
        assert rows.parked == {}
    assert queue.parkings > 20
    return found


@pytest.mark.parametrize("record", [False, True])
@pytest.mark.parametrize(
    "config",
    [
        SolveConfig(depth=20, breadth=2, halt="fixed", noise=0.05, rows=5),
        SolveConfig(depth=24, breadth=3, tol=0.05, rows=4),
        SolveConfig(depth=24, breadth="auto:6", tol=0.05, rows=7),
        SolveConfig(depth=24, breadth=2, tol=1e-6, solver="anderson", rows=5),
        SolveConfig(depth=24, breadth=2, halt="learned", delta=50.0, suppose=2, noise=0.01, rows=5),
    ],
    ids=["noise", "halting", "auto breadth", "anderson", "suppositions"],
)
def test_rows_parked_at_random_moments_end_as_if_they_had_not_been(
    model: Reasoner, config: SolveConfig, record: bool
) -> None:
    latents = "all" if record else "end"
    expected = list(evidence_stream(model, BOARDS, config, record=record, latents=latents))
    for seed in range(3):
        found = restless(model, config, seed, record)
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert same(one, other)
            assert torch.equal(one.puzzle, other.puzzle)
            if not record:
                assert one.states is not None
                assert other.states is not None
                assert torch.equal(one.states, other.states)
            for mine, its in zip(one.histories, other.histories, strict=True):
                assert vars(mine).keys() == vars(its).keys()
                assert all(torch.equal(vars(mine)[name], vars(its)[name]) for name in vars(mine))


def test_a_parked_row_that_is_dropped_is_forgotten(model: Reasoner) -> None:
    config = SolveConfig(depth=9, halt="fixed", rows=2).completed(model.settings)
    jobs = [Job(puzzle=puzzle, restart=0, config=config) for puzzle in BOARDS[:2]]
    with row_workers(torch.device("cpu")) as workers:
        rows = Rows(model, config, workers)
        rows.enter(jobs)
        rows.advance()
        rows.park(jobs[:1])
        assert rows.free == 1
        rows.drop(jobs)
        assert (rows.free, rows.parked) == (2, {})
