"""Hints: puzzles that are stuck are told cells that they doubt, until they are solved."""

from dataclasses import replace

import pytest
import torch

from eqr.data import Draws, collect
from eqr.model import Reasoner
from eqr.presets import configured
from eqr.runtime import Ranks
from eqr.tasks import task_named
from eqr.training.loss import SegmentLoss
from eqr.training.slots import Slots

EVERY, SLOTS = 2, 8


def made(ranks: Ranks | None = None) -> Slots:
    options = ["hint_every=2", f"slots={SLOTS}", "leave_probability=0"]
    config = configured("sudoku4_tiny", options)
    task = task_named("sudoku4")
    puzzles = collect(task, task.generate(seed=0), 20)
    draws = Draws(task, [(puzzles, 1.0)], augment=True, reveal_share=0.0, reveal_most=0.0)
    return Slots(Reasoner(config.model), draws, config, 0, ranks or Ranks(), torch.device("cpu"))


def yielded(slots: Slots, solved: bool, doubted: torch.Tensor) -> SegmentLoss:
    """A segment's result in which the rows are sure of all cells but those ``doubted``."""
    count = len(slots.mine)
    return SegmentLoss(
        loss=torch.tensor(0.0),
        z=slots.z,
        solved=torch.full((count,), solved),
        halt_logit=torch.zeros(count),
        confidence=torch.where(doubted, 0.5, 1.0),
    )


def test_a_stuck_puzzle_is_told_doubted_cells_until_it_is_solved() -> None:
    slots = made()
    blanks = slots.inputs == 0
    # Each row doubts its first and its last blank.
    doubted = torch.zeros_like(blanks)
    for row in range(SLOTS):
        doubted[row, blanks[row].nonzero().flatten()[[0, -1]]] = True
    numbers = []
    for step in range(3 * EVERY):
        slots.advance(step, yielded(slots, False, doubted))
        numbers.append((slots.told != slots.inputs).sum(1).tolist())
    assert numbers == [[number] * SLOTS for number in (0, 0, 0, 1, 1, 2)]
    told = slots.told != slots.inputs
    assert told.equal(doubted)
    assert slots.told[told].equal(slots.labels[told])
    slots.advance(3 * EVERY, yielded(slots, True, doubted))
    assert slots.told.equal(slots.inputs)


def test_hints_end_with_the_puzzle() -> None:
    slots = made()
    blanks = slots.inputs == 0
    for step in range(slots.config.max_segments):
        slots.advance(step, yielded(slots, False, blanks))
    assert slots.age.tolist() == [0] * SLOTS
    assert slots.told.equal(slots.inputs)


def test_a_row_that_is_told_everything_is_told_no_more() -> None:
    slots = made()
    slots.told = slots.labels.clone()
    for step in range(2 * EVERY):
        slots.advance(step, yielded(slots, False, slots.inputs == 0))
    assert slots.told.equal(slots.labels)


def test_a_share_of_the_slots_is_told_what_it_is_told_among_all(monkeypatch: pytest.MonkeyPatch) -> None:
    one = made()
    second = made(Ranks(rank=1, size=2))
    assert second.inputs.equal(one.inputs[SLOTS // 2 :])
    for step in range(3 * EVERY):
        for slots in (one, second):
            slots.advance(step, yielded(slots, False, slots.inputs == 0))
    assert second.told.equal(one.told[SLOTS // 2 :])
    assert not second.told.equal(second.inputs)


def test_without_hints_the_puzzle_is_what_is_told() -> None:
    slots = made()
    slots.config = replace(slots.config, hint_every=0)
    for step in range(3 * EVERY):
        slots.advance(step, yielded(slots, False, slots.inputs == 0))
    assert slots.told.equal(slots.inputs)
