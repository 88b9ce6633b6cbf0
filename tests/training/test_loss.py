import torch

from eqr.model import ModelConfig, Reasoner
from eqr.training.loss import segment_loss

MODEL = Reasoner(ModelConfig(task="sudoku4", block="symbol", channels=8, token_hidden=8))
ANSWER = "1342421321343421"
INPUTS = MODEL.task.encode(["1342............", ANSWER])
LABELS = MODEL.task.encode([ANSWER, ANSWER])


def loss_of(inputs: torch.Tensor, labels: torch.Tensor, halt_weight: float) -> torch.Tensor:
    z = MODEL.init(len(inputs), torch.Generator().manual_seed(0))
    return segment_loss(MODEL, z, inputs, labels, halt_weight).loss


def test_given_and_unlabelled_cells_do_not_count() -> None:
    full = loss_of(INPUTS[:1], LABELS[:1], 0.0)
    hidden = LABELS[:1].clone()
    hidden[0, 4:8] = 0
    assert loss_of(INPUTS[:1], hidden, 0.0) != full
    wrong_clues = LABELS[:1].clone()
    wrong_clues[0, :4] = torch.tensor([2, 4, 3, 1])
    assert loss_of(INPUTS[:1], wrong_clues, 0.0) == full
    assert loss_of(INPUTS[1:], LABELS[1:], 0.0) == 0  # nothing to find


def test_the_halting_loss_trains_the_head_alone() -> None:
    MODEL.zero_grad()
    (loss_of(INPUTS, LABELS, 1.0) - loss_of(INPUTS, LABELS, 0.0)).backward()
    moved = {name for name, p in MODEL.named_parameters() if p.grad is not None and p.grad.abs().max() > 1e-6}
    assert moved == {"halt_head", "halt_bias"}


def test_a_segment_hands_on_its_state_without_history() -> None:
    z = MODEL.init(2, torch.Generator().manual_seed(0))
    result = segment_loss(MODEL, z, INPUTS, LABELS, 0.5)
    torch.testing.assert_close(result.z, MODEL.segment(z, MODEL.embed(INPUTS)).detach())
    assert not result.z.requires_grad
    assert result.solved.tolist() == [False, True]
