"""Slots: when puzzles leave them, and what those are told that are stuck."""

from dataclasses import replace
from typing import Any

import torch

from eqr.data.files import collect
from eqr.data.sampler import PuzzleSampler
from eqr.distributed import Ranks
from eqr.engine.policy.suppose import doubted_cells
from eqr.model import Reasoner
from eqr.presets import configured
from eqr.tasks import task_named
from eqr.training.loss import SegmentLoss
from eqr.training.slots import Slots

EVERY, SLOTS = 2, 8
HINTS = {"hint_every": EVERY, "slots": SLOTS, "leave_probability": 0.0}


def made(options: dict[str, Any], ranks: Ranks | None = None) -> Slots:
    preset = configured("sudoku4_tiny", [])
    config = replace(preset.train, **options)
    task = task_named("sudoku4")
    puzzles = collect(task, task.generate(seed=0), 20)
    draws = PuzzleSampler(task, [(puzzles, 1.0)], augment=True, reveal_share=0.0, reveal_most=0.0)
    model, device = Reasoner(preset.model), torch.device("cpu")
    return Slots(model, draws, config, 0, ranks or Ranks(), device, doubted_cells)


def yielded(slots: Slots, solved: bool, halt_logit: float = 0.0) -> SegmentLoss:
    """A segment's result, the same for all rows."""
    count = len(slots.mine)
    return SegmentLoss(
        loss=torch.tensor(0.0),
        z=slots.z,
        solved=torch.full((count,), solved),
        misled=((slots.told > 0) & (slots.told != slots.labels)).any(1),
        halt_logit=torch.full((count,), halt_logit),
        logits=slots.model.decode(slots.z),
    )


def advanced(slots: Slots, step: int, result: SegmentLoss) -> tuple[int, int]:
    """A step as the trainer makes it; returns how many puzzles left, and how many of them solved."""
    left = slots.advance(step, result)
    slots.prepare(left.left.nonzero().flatten().tolist())
    return int(left.left.sum()), int(left.solved.sum())


def doubt(slots: Slots, doubted: torch.Tensor) -> None:
    """Let the rows be sure of all cells but those ``doubted``; their states tell them apart."""
    certain = torch.tensor([50.0, 0, 0, 0]).expand(*doubted.shape, 4)
    half = torch.tensor([50.0, 50, 0, 0]).expand(*doubted.shape, 4)
    logits = torch.where(doubted.unsqueeze(-1), half, certain)
    slots.z.zero_()
    slots.z[:, 0, 0, 0] = torch.arange(len(doubted))
    slots.model.decode = lambda z: logits[z[:, 0, 0, 0].long()]  # type: ignore[method-assign]


def test_slots_leave_when_the_head_says_so_unless_they_explore() -> None:
    slots = made({"slots": 400, "leave_probability": 1.0, "explore": 0.5, "max_segments": 4})
    left, solved = advanced(slots, 0, yielded(slots, solved=True, halt_logit=1.0))
    # Half of them explore, and none of these may leave after one segment.
    assert left == solved
    assert 160 < left < 240
    assert int((slots.age == 0).sum()) == left
    doubtful = yielded(slots, solved=True, halt_logit=-1.0)
    slots.age[:] = 2
    assert advanced(slots, 9, doubtful) == (0, 0)
    assert advanced(slots, 10, doubtful) == (400, 400)


def test_a_stuck_puzzle_is_told_doubted_cells_until_it_is_solved() -> None:
    slots = made(HINTS)
    blanks = slots.inputs == 0
    # Each row doubts its first and its last blank.
    doubted = torch.zeros_like(blanks)
    for row in range(SLOTS):
        doubted[row, blanks[row].nonzero().flatten()[[0, -1]]] = True
    doubt(slots, doubted)
    numbers = []
    for step in range(3 * EVERY):
        advanced(slots, step, yielded(slots, solved=False))
        numbers.append((slots.told != slots.inputs).sum(1).tolist())
    assert numbers == [[number] * SLOTS for number in (0, 0, 0, 1, 1, 2)]
    told = slots.told != slots.inputs
    assert told.equal(doubted)
    assert slots.told[told].equal(slots.labels[told])
    advanced(slots, 3 * EVERY, yielded(slots, solved=True))
    assert slots.told.equal(slots.inputs)


def test_a_wrong_guess_is_withdrawn_when_the_next_hint_would_be_due() -> None:
    slots = made(HINTS | {"slots": 40, "guess_share": 1.0, "leave_probability": 1.0})
    doubt(slots, slots.inputs == 0)  # the likeliest symbol is the first
    for step in range(2 * EVERY):
        advanced(slots, step, yielded(slots, solved=False, halt_logit=-1.0))
    guessed = slots.told != slots.inputs
    assert guessed.sum(1).tolist() == [1] * 40
    assert set(slots.told[guessed].tolist()) == {1}
    misled = slots.told[guessed] != slots.labels[guessed]
    assert misled.any()
    assert not misled.all()
    # A misled row does not leave, whatever its head says.
    advanced(slots, 2 * EVERY, yielded(slots, solved=False, halt_logit=1.0))
    assert (slots.age > 0).equal(misled)
    for step in range(2 * EVERY + 1, 3 * EVERY):
        advanced(slots, step, yielded(slots, solved=False, halt_logit=-1.0))
    assert slots.told[misled].equal(slots.inputs[misled])


def test_hints_end_with_the_puzzle() -> None:
    slots = made(HINTS)
    for step in range(slots.config.max_segments):
        advanced(slots, step, yielded(slots, solved=False))
    assert slots.age.tolist() == [0] * SLOTS
    assert slots.told.equal(slots.inputs)


def test_a_row_that_is_told_everything_is_told_no_more() -> None:
    slots = made(HINTS)
    slots.told = slots.labels.clone()
    for step in range(2 * EVERY):
        advanced(slots, step, yielded(slots, solved=False))
    assert slots.told.equal(slots.labels)


def test_a_share_of_the_slots_is_told_what_it_is_told_among_all() -> None:
    one = made(HINTS)
    second = made(HINTS, Ranks(rank=1, size=2))
    assert second.inputs.equal(one.inputs[SLOTS // 2 :])
    for step in range(3 * EVERY):
        for slots in (one, second):
            advanced(slots, step, yielded(slots, solved=False))
    assert second.told.equal(one.told[SLOTS // 2 :])
    assert not second.told.equal(second.inputs)


def test_without_hints_the_puzzle_is_what_is_told() -> None:
    slots = made(HINTS | {"hint_every": 0})
    for step in range(3 * EVERY):
        advanced(slots, step, yielded(slots, solved=False))
    assert slots.told.equal(slots.inputs)
