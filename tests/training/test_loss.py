import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from eqr.model import ModelConfig, Reasoner
from eqr.random import Streams
from eqr.training.loss import LossConfig, segment_loss, stablemax

MODEL = Reasoner(ModelConfig(task="sudoku4", block="symbol", channels=8, token_hidden=8))
ANSWER = "1342421321343421"
INPUTS = MODEL.task.encode(["1342............", ANSWER])
LABELS = MODEL.task.encode([ANSWER, ANSWER])


def loss_of(inputs: torch.Tensor, labels: torch.Tensor, halt_weight: float, **options: object) -> torch.Tensor:
    z = MODEL.init(Streams.numbered(0, range(len(inputs))))
    return segment_loss(MODEL, z, inputs, labels, None, LossConfig(halt_weight=halt_weight, **options)).loss


def moved_by(loss: torch.Tensor, model: Reasoner = MODEL) -> set[str]:
    model.zero_grad()
    loss.backward()
    return {name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().max() > 1e-6}


def test_given_and_unlabelled_cells_do_not_count() -> None:
    full = loss_of(INPUTS[:1], LABELS[:1], 0.0)
    hidden = LABELS[:1].clone()
    hidden[0, 4:8] = 0
    assert loss_of(INPUTS[:1], hidden, 0.0) != full
    unlabelled_clues = LABELS[:1].clone()
    unlabelled_clues[0, :4] = 0
    assert loss_of(INPUTS[:1], unlabelled_clues, 0.0) == full
    every, some = (loss_of(INPUTS[:1], labels, 0.0, loss_cells="all") for labels in (LABELS[:1], unlabelled_clues))
    assert every != some
    assert loss_of(INPUTS[1:], LABELS[1:], 0.0) == 0  # nothing to find


def test_a_row_with_a_wrong_clue_teaches_the_halting_head_alone_that_it_is_not_right() -> None:
    inputs = torch.cat([INPUTS, INPUTS])
    inputs[2:, 0] = 2  # row 3 has nothing to find: only its clue is wrong
    labels = torch.cat([LABELS, LABELS])
    z = MODEL.init(Streams.numbered(0, range(4)))
    result = segment_loss(MODEL, z, inputs, labels, None, LossConfig())
    assert result.misled.tolist() == [False, False, True, True]
    assert result.solved.tolist() == [False, True, False, False]
    for loss_cells in ("blanks", "all"):
        assert loss_of(inputs[2:], labels[2:], 0.0, loss_cells=loss_cells) == 0
    alone = segment_loss(MODEL, z[2:], inputs[2:], labels[2:], None, LossConfig(halt_weight=1.0))
    torch.testing.assert_close(alone.loss, F.softplus(alone.halt_logit).mean())  # the loss of "not right"
    assert moved_by(alone.loss) == {"halt_head", "halt_bias"}


def test_the_halting_loss_trains_the_head_alone_unless_told_otherwise() -> None:
    alone = loss_of(INPUTS, LABELS, 1.0) - loss_of(INPUTS, LABELS, 0.0)
    assert moved_by(alone) == {"halt_head", "halt_bias"}
    with torch.no_grad():
        MODEL.halt_head.add_(0.1)
    both = [loss_of(INPUTS, LABELS, weight, halt_shapes_state=True) for weight in (1.0, 0.0)]
    assert moved_by(both[0] - both[1]) > {"halt_head", "halt_bias", "blocks.0.channel_in"}


def test_a_segment_hands_on_its_state_without_history() -> None:
    z = MODEL.init(Streams.numbered(0, range(2)))
    result = segment_loss(MODEL, z, INPUTS, LABELS, None, LossConfig())
    torch.testing.assert_close(result.z, MODEL.segment(z, MODEL.embed(INPUTS)).detach())
    assert not result.z.requires_grad
    assert result.solved.tolist() == [False, True]


def test_the_gradient_sees_the_last_updates_alone() -> None:
    z = MODEL.init(Streams.numbered(0, range(2)))
    config = LossConfig(halt_weight=0.0, supervise="segment")
    before = z
    for _ in range(MODEL.config.updates_per_segment - 1):
        before = MODEL.update(before, MODEL.embed(INPUTS)).detach()
    expected = moved_gradients(before, replace(config, gradient_updates=0), updates=1)
    found = moved_gradients(z, replace(config, gradient_updates=1), updates=4)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, msg=name)


def moved_gradients(z: torch.Tensor, config: LossConfig, updates: int) -> dict[str, torch.Tensor]:
    model = Reasoner(replace(MODEL.config, updates_per_segment=updates))
    model.load_state_dict(MODEL.state_dict())
    segment_loss(model, z, INPUTS, LABELS, None, config).loss.backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def test_noise_is_added_by_every_call() -> None:
    model = Reasoner(ModelConfig(task="sudoku4", block="mixer", channels=8, recursion="hierarchical", cycles=2))
    z, x = model.init(Streams.numbered(0, range(2))), model.embed(INPUTS)
    noise = torch.randn(2, 3, *model.state_shape[1:], generator=torch.Generator().manual_seed(1))
    low = z[:, 1]
    for number in range(2):
        low = model.blocks[0](low + z[:, 0] + x) + noise[:, number]
    high = model.blocks[0](z[:, 0] + low) + noise[:, 2]
    torch.testing.assert_close(model.update(z, x, noise), torch.stack([high, low], 1))


@pytest.mark.parametrize("scale", [0.1, 3.0, 100.0])
def test_stablemax_is_its_formula_in_double_precision(scale: float) -> None:
    logits = torch.randn(200, 10, generator=torch.Generator().manual_seed(0), dtype=torch.double) * scale
    targets = torch.arange(200) % 10
    for row, target, found in zip(logits.tolist(), targets.tolist(), stablemax(logits.float(), targets), strict=True):
        weights = [x + 1 if x >= 0 else 1 / (1 - x) for x in row]
        assert float(found) == pytest.approx(-math.log(weights[target] / sum(weights)), abs=1e-5)


def test_where_clues_do_not_stand_every_cell_is_to_be_found() -> None:
    model = Reasoner(ModelConfig(task="maze10", block="attention", channels=8, heads=1))
    puzzle = next(model.task.generate(seed=0))
    inputs, labels = (torch.from_numpy(board).long()[None] for board in (puzzle.question, puzzle.answer))
    z = model.init(Streams.numbered(0, range(1)))
    blanks, every = (
        segment_loss(model, z, inputs, labels, None, LossConfig(loss_cells=cells)) for cells in ("blanks", "all")
    )
    assert blanks.loss == every.loss
    assert not blanks.solved.any()
