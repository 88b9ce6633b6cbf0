import pytest
import torch

from eqr.model import ModelConfig, Reasoner
from eqr.model.blocks import BLOCKS
from eqr.random import Streams
from eqr.tasks import task_named
from eqr.training.optim import muon

TASK = task_named("sudoku6")


def make(block: str, layers: int = 2) -> Reasoner:
    config = ModelConfig(task="sudoku6", block=block, channels=12, token_hidden=16, layers=layers, heads=2)
    return Reasoner(config, torch.Generator().manual_seed(1))


def boards(count: int = 4) -> torch.Tensor:
    stream = TASK.generate(seed=2)
    return torch.stack([torch.from_numpy(next(stream).question).long() for _ in range(count)])


@pytest.mark.parametrize("block", list(BLOCKS))
@torch.no_grad()
def test_rows_do_not_mix(block: str) -> None:
    model, ids = make(block), boards()
    z = model.init(Streams.numbered(0, range(4)))
    together = model.segment(z, model.embed(ids))
    alone = torch.cat([model.segment(z[i : i + 1], model.embed(ids[i : i + 1])) for i in range(4)])
    assert torch.equal(together, alone)


@pytest.mark.parametrize("block", ["symbol", "relation", "axial"])
@torch.no_grad()
def test_renaming_symbols_renames_the_answer(block: str) -> None:
    model, ids = make(block), boards()
    new_name = torch.tensor([0, 3, 1, 6, 2, 5, 4])
    z = model.init(Streams.numbered(0, range(4)))
    per_symbol = z.view(4, 1, 36, 6, 12)
    renamed_z = torch.empty_like(per_symbol)
    renamed_z[:, :, :, new_name[1:] - 1] = per_symbol
    logits = model.decode(model.segment(z, model.embed(ids)))
    renamed = model.decode(model.segment(renamed_z.view_as(z), model.embed(new_name[ids])))
    torch.testing.assert_close(renamed[..., new_name[1:] - 1], logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("block", ["relation", "axial"])
@torch.no_grad()
def test_relation_blocks_follow_the_board_when_its_lines_move(block: str) -> None:
    model, ids = make(block), boards()
    cells = torch.arange(36).view(6, 6)
    moved = cells[[3, 2, 1, 0, 5, 4]][:, [5, 4, 3, 0, 1, 2]].flatten()  # bands and stacks stay together
    z = model.init(Streams.numbered(0, range(4)))
    logits = model.decode(model.segment(z, model.embed(ids)))
    moved_logits = model.decode(model.segment(z[:, :, moved], model.embed(ids[:, moved])))
    torch.testing.assert_close(moved_logits, logits[:, moved], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("block", list(BLOCKS))
def test_every_weight_learns(block: str) -> None:
    model = make(block)
    z = model.segment(model.init(Streams.numbered(0, range(4))), model.embed(boards()))
    (model.decode(z).logsumexp(-1).sum() + model.halt_logit(z).sum()).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum()] == []


@torch.no_grad()
def test_a_convolution_sees_the_eight_neighbours_and_nothing_further() -> None:
    model = Reasoner(ModelConfig(task="maze9", block="conv", channels=8), torch.Generator().manual_seed(1))
    z = model.init(Streams.numbered(0, range(1)))
    x = torch.zeros(1, 81, 8)
    touched = z.clone()
    touched[0, 0, 40] += 1  # the middle
    moved = (model.update(z, x) != model.update(touched, x))[0, 0].any(-1).view(9, 9)
    assert moved.nonzero().tolist() == [[r, c] for r in (3, 4, 5) for c in (3, 4, 5)]


@torch.no_grad()
def test_a_convolution_answers_alike_on_boards_of_any_size() -> None:
    small = Reasoner(ModelConfig(task="maze9", block="conv", channels=8), torch.Generator().manual_seed(1))
    large = small.for_task(task_named("maze31"))
    walls, z = torch.ones(1, 31, 31, dtype=torch.long), large.init(Streams.numbered(0, range(1)))
    walls[0, 11:20, 11:20] = torch.randint(1, 6, (9, 9), generator=torch.Generator().manual_seed(2))
    for before, after in zip(small.parameters(), large.parameters(), strict=True):
        assert before is after
    inside = (slice(None), slice(None), slice(11, 20), slice(11, 20))
    z_small = z.view(1, 1, 31, 31, 8)[inside].reshape(1, 1, 81, 8)
    centre = small.update(z_small, small.embed(walls[0, 11:20, 11:20].reshape(1, 81))).view(9, 9, 8)[1:-1, 1:-1]
    there = large.update(z, large.embed(walls.view(1, -1))).view(31, 31, 8)[12:19, 12:19]
    torch.testing.assert_close(there, centre)


def test_weights_between_cells_are_no_matrices_to_the_optimizer() -> None:
    """Muon would level them out; AdamW lets the pairs of cells that restrict each other stand out."""
    by_muon, by_adamw = muon(make("synthesizer"), lr=1e-3, weight_decay=0.1)
    shapes = [[tuple(p.shape) for group in part.param_groups for p in group["params"]] for part in (by_muon, by_adamw)]
    assert (2, 36, 36) not in shapes[0]
    assert shapes[1].count((2, 36, 36)) == 2  # one for each of the two blocks
