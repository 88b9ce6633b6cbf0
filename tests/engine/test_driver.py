"""Many askers of one engine: answers are those each would get alone, and nobody waits for somebody else's long rows."""

import itertools
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from functools import partial

import pytest
import torch
from alike import eventually, same

from eqr.engine import Closed, Full, SolveConfig, SolveServer, evidence_stream
from eqr.engine.policy.halting import HaltInputs
from eqr.engine.server import row_bytes
from eqr.errors import InputError
from eqr.evidence import Evidence, History, Snapshot
from eqr.model import ModelConfig, Reasoner
from eqr.tasks import task_named

TASK = task_named("sudoku4")
MODEL = Reasoner(ModelConfig(task="sudoku4", block="relation", channels=4, updates_per_segment=1)).eval()
MAZES = Reasoner(ModelConfig(task="maze5", block="conv", channels=4, updates_per_segment=1)).eval()
until = partial(eventually, seconds=20, every=0.005)
LONG = SolveConfig(depth=100_000, halt="fixed")


def boards(count: int, seed: int = 3) -> list[torch.Tensor]:
    return [torch.from_numpy(puzzle.question).long() for puzzle in itertools.islice(TASK.generate(seed=seed), count)]


def alone(model: Reasoner, puzzles: list[torch.Tensor], config: SolveConfig) -> list[Evidence]:
    return list(evidence_stream(model, puzzles, config))


@contextmanager
def running(
    models: tuple[Reasoner, ...] = (MODEL,), rows: int = 8, queue: int = 10_000, client_queue: int | None = None
) -> Iterator[SolveServer]:
    with SolveServer(models, SolveConfig(rows=rows), queue, client_queue=client_queue) as driver:
        yield driver


def test_requests_that_differ_in_all_they_may_are_answered_as_if_alone() -> None:
    configs = [
        SolveConfig(depth=1),
        SolveConfig(depth=1, breadth=3, seed=7),
        SolveConfig(depth=9, breadth=2, halt="fixed"),
        SolveConfig(depth=30, breadth=3),
        SolveConfig(depth=30, breadth="auto:5", seed=1),
        SolveConfig(depth=20, halt="either"),
        SolveConfig(depth=20, breadth="auto:3", halt="learned"),
    ]
    puzzles = [boards(3, seed=number) for number in range(len(configs))]
    with running() as driver:
        asked = [driver.submit(MODEL, *pair) for pair in zip(puzzles, configs, strict=True)]
        answers = [future.result(60) for future in asked]
    for found, mine, config in zip(answers, puzzles, configs, strict=True):
        assert all(same(*pair) for pair in zip(found, alone(MODEL, mine, config), strict=True))


def test_boards_of_several_sizes_take_turns_and_go_when_nobody_asks() -> None:
    sizes = [MAZES, *(MAZES.for_task(task_named(f"maze{size}")) for size in (7, 9))]
    config = SolveConfig(depth=5, breadth=2)
    with running((MAZES, MODEL)) as driver:
        held = driver.submit(MODEL, boards(30), LONG)  # does not keep the mazes waiting
        asked = {}
        for model in sizes:
            made = itertools.islice(model.task.generate(seed=1), 4)
            puzzles = [torch.from_numpy(puzzle.question).long() for puzzle in made]
            asked[model] = (puzzles, driver.submit(model, puzzles, config))
        for model, (puzzles, future) in asked.items():
            assert all(same(*pair) for pair in zip(future.result(60), alone(model, puzzles, config), strict=True))
        assert not held.done()
        held.cancel()
        until(lambda: driver.rows == 0)
        assert list(driver._boards) == [MAZES, MODEL]


def test_one_long_request_does_not_keep_others_waiting() -> None:
    with running() as driver:
        long = driver.submit(MODEL, boards(300), LONG)
        until(lambda: driver.rows > 0)
        for _ in range(5):
            driver.submit(MODEL, boards(4), SolveConfig(depth=5)).result(20)
        assert not long.done()
        long.cancel()


def test_a_cancelled_request_frees_its_rows_and_its_place_in_the_queue() -> None:
    with running() as driver:
        future = driver.submit(MODEL, boards(50), LONG)
        until(lambda: driver.rows == 8)
        assert driver.waiting == 42
        assert future.cancel()
        until(lambda: driver.rows == 0)
        assert driver.waiting == 0
        with pytest.raises(CancelledError):
            future.result(1)
        assert driver.submit(MODEL, boards(1), SolveConfig(depth=1)).result(20)


def test_beyond_its_queue_the_engine_takes_nothing() -> None:
    with running(queue=20) as driver:
        with pytest.raises(Full):
            driver.submit(MODEL, boards(11), SolveConfig(breadth=2))
        driver.submit(MODEL, boards(20), LONG)
        until(lambda: driver.rows > 0)
        with pytest.raises(Full):
            driver.submit(MODEL, boards(20), SolveConfig())
        assert driver.submit(MODEL, boards(2), SolveConfig(depth=2)).result(20)


def test_a_client_that_fills_its_part_of_the_queue_is_refused_and_others_are_served() -> None:
    with running(queue=100, client_queue=30) as driver:
        driver.submit(MODEL, boards(30), LONG, client="many")
        until(lambda: driver.rows > 0)
        with pytest.raises(Full, match=r"your requests fill their part of the queue \(30 rows\)"):
            driver.submit(MODEL, boards(20), LONG, client="many")
        assert driver.submit(MODEL, boards(20), SolveConfig(depth=2), client="few").result(20)


def test_a_request_that_fills_the_queue_leaves_it_to_small_ones() -> None:
    with running(queue=320) as driver:
        driver.submit(MODEL, boards(20), SolveConfig(depth=100_000, halt="fixed", breadth=16))
        until(lambda: driver.rows == 8)
        with pytest.raises(Full):
            driver.submit(MODEL, boards(21), SolveConfig())
        for _ in range(3):
            assert driver.submit(MODEL, boards(20), SolveConfig(depth=3)).result(20)
        with pytest.raises(Full, match=r"the queue is full \(320 rows\)"):  # noqa: PT012
            for seed in range(30):
                driver.submit(MODEL, boards(20, seed=seed), LONG)
        assert 360 < driver.waiting <= 400


def test_memory_admits_so_many_requests_and_of_one_client_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eqr.engine.server.STARTED", 2 * 8 * row_bytes(MODEL, SolveConfig().stepper))
    with running() as driver:
        for client in "abcd":
            for _ in range(2):
                driver.submit(MODEL, boards(1), LONG, client=client)
            with pytest.raises(Full, match=r"2 requests of yours are under way|8 requests are under way"):
                driver.submit(MODEL, boards(1), LONG, client=client)
        with pytest.raises(Full, match="8 requests are under way, for more there is no memory"):
            driver.submit(MODEL, boards(1), SolveConfig(), client="e")


def test_rows_that_have_started_stay_within_memory_and_still_nobody_starves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for 20 rows: ten of the first row of each request, ten of others."""
    monkeypatch.setattr("eqr.engine.server.STARTED", 20 * row_bytes(MODEL, SolveConfig().stepper))
    monkeypatch.setattr("eqr.engine.server.OF_CLIENT", 1)
    with running() as driver:
        deep = [driver.submit(MODEL, boards(8, seed=n), LONG) for n in range(9)]
        most = 0
        for seed in range(5):
            future = driver.submit(MODEL, boards(3, seed=100 + seed), SolveConfig(depth=20, halt="fixed"))
            while not future.done():
                most = max(most, driver.rows + driver.parked)
                time.sleep(0.001)
            assert len(future.result()) == 3
        assert 9 < most <= 20 + 8 + 10  # the rows of a turn may start at the limit, and one of each request
        assert not any(future.done() for future in deep)
        for future in deep:
            future.cancel()
        until(lambda: driver.rows + driver.parked == 0)


def test_parked_rows_end_with_the_evidence_of_rows_that_never_left_their_slots() -> None:
    config = SolveConfig(depth=60, breadth=3, halt="fixed")
    with running(rows=4) as driver:
        asked = [(boards(4, seed=n), driver.submit(MODEL, boards(4, seed=n), config, client=str(n))) for n in range(5)]
        until(lambda: driver.parked > 0)
        for puzzles, future in asked:
            found = zip(future.result(60), alone(MODEL, puzzles, config), strict=True)
            assert all(same(*pair) for pair in found)


def test_the_sizes_that_one_client_asks_for_do_not_take_the_time_of_others() -> None:
    """Ten boards of one client beside one of another: without weights the other would get an eleventh of the time."""
    with running((MODEL, MAZES)) as driver:
        for size in range(5, 25, 2):
            model = MAZES.for_task(task_named(f"maze{size}"))
            puzzle = torch.from_numpy(next(model.task.generate(seed=1)).question).long()
            driver.submit(model, [puzzle] * 8, LONG, client="many")
        driver.submit(MODEL, boards(8), LONG, client="one")
        until(lambda: len(driver._boards) == 11)
        before = {model: board.spent for model, board in driver._boards.items()}
        seconds = driver.busy
        until(lambda: driver.busy > seconds + 1)
        weights = {model: driver._weight(board) for model, board in driver._boards.items()}
        part = (driver._boards[MODEL].spent - before[MODEL]) * weights[MODEL] / (driver.busy - seconds)
        assert part == pytest.approx(0.5, abs=0.15)


def test_ids_that_are_no_puzzle_are_refused_before_they_reach_the_engine() -> None:
    (puzzle,) = boards(1)
    with running() as driver:
        for wrong, said in ((puzzle + 9, "it holds ids from 9"), (puzzle[1:], "it has 15 ids, sudoku4 has 16")):
            with pytest.raises(InputError, match=said):
                driver.submit(MODEL, [puzzle, wrong], SolveConfig(depth=2))
        assert len(driver.submit(MODEL, [puzzle], SolveConfig(depth=2)).result(20)) == 1


def test_the_evidence_of_a_puzzle_is_told_at_once_although_an_earlier_puzzle_is_under_way() -> None:
    told: dict[int, Evidence] = {}

    def third_row(inputs: HaltInputs) -> torch.Tensor:
        return (inputs.depth >= 3) & (torch.arange(len(inputs.depth)) == 2)

    config = SolveConfig(depth=100_000, breadth=1, halt=third_row, suppose=0)
    puzzles = boards(3)
    with running() as driver:
        future = driver.submit(
            MODEL, puzzles, config, on_evidence=lambda index, evidence: told.update({index: evidence})
        )
        until(lambda: 2 in told)
        assert not future.done()
        future.cancel()
        until(lambda: driver.rows == 0)
        ends = dict(told)
        every = driver.submit(MODEL, puzzles, SolveConfig(depth=3), on_evidence=told.__setitem__).result(20)
    assert list(ends) == [2]
    assert torch.equal(ends[2].puzzle, puzzles[2])
    assert list(told) == [2, 0, 1]
    assert [told[index] for index in range(3)] == every


def test_each_segment_is_told_in_order() -> None:
    told: dict[int, list[Snapshot]] = {0: [], 1: []}
    config = SolveConfig(depth=7, breadth=2, halt="fixed")
    (puzzle,) = boards(1)
    with running() as driver:
        driver.submit(MODEL, boards(20, seed=9), LONG)
        driver.submit(MODEL, [puzzle], config, lambda restart, snapshot: told[restart].append(snapshot)).result(60)
    (found,) = evidence_stream(MODEL, [puzzle], config, record=True)
    for history, snapshots in zip(found.histories, told.values(), strict=True):
        for name in ("answers", "confidence", "residual", "logit_change", "halt_logit"):
            assert torch.equal(vars(History.stacked(snapshots))[name], vars(history)[name])


def test_closing_fails_what_is_not_answered() -> None:
    with running() as driver:
        future = driver.submit(MODEL, boards(50), LONG)
        until(lambda: driver.rows > 0)
    with pytest.raises(Closed):
        future.result(1)
    with pytest.raises(Closed):
        driver.submit(MODEL, boards(1), SolveConfig())


def failing(*_: object, **__: object) -> bool:
    raise MemoryError("no memory is left")


def test_nobody_waits_for_an_engine_that_has_failed_and_its_failure_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask() -> None:
        with running() as driver:
            monkeypatch.setattr("eqr.engine.server.turn", failing)
            future: Future[list[Evidence]] = driver.submit(MODEL, boards(1), SolveConfig())
            with pytest.raises(Closed):
                future.result(20)
            assert not driver.alive

    with pytest.raises(MemoryError, match="no memory is left"):
        ask()


def test_an_engine_that_fails_at_its_start_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eqr.engine.server.Rows", failing)
    with pytest.raises(MemoryError), running():
        pytest.fail("it runs")


def test_the_counts_are_those_of_the_work_done() -> None:
    with running() as driver:
        driver.submit(MODEL, boards(5), SolveConfig(depth=3, breadth=2, halt="fixed")).result(20)
        until(lambda: driver.rows == 0)
        assert (driver.segments, driver.updates, driver.ended) == (30, 30, 10)
        assert driver.busy > 0
