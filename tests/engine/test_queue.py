"""Which rows start, in which order, and which restarts decide: a queue driven by hand, without a network."""

from itertools import islice

import pytest
import torch
from alike import end_of as end

from eqr.engine import SolveConfig
from eqr.engine.queue import PATIENCE, PuzzleQueue

PUZZLE = torch.zeros(4, dtype=torch.long)
AUTO = SolveConfig(breadth="auto:6")


def started(queue: PuzzleQueue) -> list[int]:
    return [job.restart for job in iter(queue.start, None)]


def test_a_puzzle_needs_one_restart_until_it_has_failed() -> None:
    queue = PuzzleQueue([PUZZLE], AUTO)
    first = queue.start()
    assert first
    assert started(queue) == []
    queue.end(first, end(first, 1, halted=False))
    assert started(queue) == [1]


def test_idle_slots_are_for_restarts_ahead_and_the_first_that_are_enough_decide() -> None:
    queue = PuzzleQueue([PUZZLE], AUTO)
    zero = queue.start()
    assert zero
    one, two, three = islice(queue.start_ahead(3), 3)
    assert [job.restart for job in (one, two, three)] == [1, 2, 3]
    assert queue.ahead() == [three, two, one]
    queue.end(three, end(three, 7))
    queue.end(two, end(two, 7))  # these two agree, but the first ones have not ended
    assert not list(queue.answered())
    queue.end(zero, end(zero, 1))
    assert queue.ahead() == []  # restart 1 is needed now, and runs
    assert started(queue) == []
    queue.end(one, end(one, 1))
    (evidence,) = queue.answered()
    assert evidence.answers[:, 0].tolist() == [1, 1]
    assert queue.moving == {}


def test_restarts_that_are_not_needed_any_more_are_dropped() -> None:
    queue = PuzzleQueue([PUZZLE, PUZZLE], AUTO)
    zero, other = queue.start(), queue.start()
    assert zero
    assert other
    ahead = list(islice(queue.start_ahead(2), 2))
    queue.end(zero, end(zero, 1, halted=False))
    assert started(queue) == []
    queue.end(ahead[0], end(ahead[0], 1))
    assert started(queue) == []
    assert not list(queue.answered())
    queue.end(ahead[1], end(ahead[1], 1))  # restarts 1 and 2 agree
    (evidence,) = queue.answered()
    assert len(evidence.depth) == 3
    assert queue.dropped() == []
    late = list(islice(queue.start_ahead(3), 3))
    queue.end(other, end(other, 2, halted=False))
    queue.end(late[0], end(late[0], 2))
    queue.end(late[1], end(late[1], 2))
    assert queue.dropped() == [late[2]]
    assert queue.dropped() == []
    queue.end(late[2], end(late[2], 5))  # it ended in the same turn: nobody asks for it any more
    (evidence,) = queue.answered()
    assert len(evidence.depth) == 3


def test_a_row_that_was_stopped_starts_anew_when_it_is_needed() -> None:
    queue = PuzzleQueue([PUZZLE], AUTO)
    zero = queue.start()
    assert zero
    (one,) = islice(queue.start_ahead(1), 1)
    queue.give_back(one)
    assert started(queue) == []
    queue.end(zero, end(zero, 1, halted=False))
    assert started(queue) == [1]


def test_without_cheap_slots_a_puzzle_waits_before_it_takes_more() -> None:
    queue = PuzzleQueue([PUZZLE], AUTO)
    assert queue.start()
    for turn in range(1, 3 * PATIENCE):
        assert len(list(queue.start_ahead(0))) == (turn % PATIENCE == 0)


@pytest.mark.parametrize("config", [SolveConfig(breadth=3), AUTO])
def test_who_watches_sees_needed_rows_only(config: SolveConfig) -> None:
    queue = PuzzleQueue([PUZZLE], config, on_snapshot=lambda restart, snapshot: None)
    assert started(queue) == list(range(config.restarts_at_once))
    assert list(queue.start_ahead(10)) == []
