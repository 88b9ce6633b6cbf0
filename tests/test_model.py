from dataclasses import replace

import pytest
import torch

from eqr.errors import InputError
from eqr.model import ModelConfig, Reasoner
from eqr.random import Streams
from eqr.tasks import task_named

CONFIG = ModelConfig(task="sudoku4", block="symbol", channels=8, token_hidden=8)


def start(model: Reasoner, rows: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    ids = model.task.encode(["1..." + "." * 12] * rows)
    return model.init(Streams.numbered(0, range(rows))), model.embed(ids)


@torch.no_grad()
def test_damping_keeps_its_share_of_the_old_state() -> None:
    plain = Reasoner(CONFIG)
    damped = Reasoner(replace(CONFIG, damping=0.25))
    damped.load_state_dict(plain.state_dict())
    z, x = start(plain)
    torch.testing.assert_close(damped.update(z, x), 0.25 * z + 0.75 * plain.update(z, x))


@torch.no_grad()
def test_a_segment_is_its_updates() -> None:
    model = Reasoner(replace(CONFIG, updates_per_segment=3))
    z, x = start(model)
    expected = model.update(model.update(model.update(z, x), x), x)
    assert torch.equal(model.segment(z, x), expected)


@torch.no_grad()
def test_nothing_reads_global_randomness() -> None:
    torch.manual_seed(1)
    one = Reasoner(CONFIG)
    torch.manual_seed(2)
    other = Reasoner(CONFIG)
    (z, x), (z2, x2) = start(one), start(other)
    assert torch.equal(one.segment(z, x), other.segment(z2, x2))


def test_shapes_are_those_of_the_contract() -> None:
    model = Reasoner(CONFIG)
    z, x = start(model, rows=5)
    assert z.shape == (5, 1, 16, 32)
    assert x.shape == (5, 16, 32)
    assert model.decode(z).shape == (5, 16, 4)
    assert model.halt_logit(z).shape == (5,)


@pytest.mark.parametrize(("field", "name", "near"), [("block", "symbl", "symbol"), ("task", "sudoko4", "sudoku")])
def test_an_unknown_name_suggests_the_nearest(field: str, name: str, near: str) -> None:
    with pytest.raises(InputError, match=f"did you mean '{near}"):
        Reasoner(replace(CONFIG, **{field: name}))


def test_a_size_that_a_task_has_not_names_those_it_has() -> None:
    with pytest.raises(InputError, match="a Sudoku of 5x5 is not supported: sides are 4, 6, 9, 16, 25"):
        Reasoner(replace(CONFIG, task="sudoku5"))


@pytest.mark.parametrize("name", ["maze9x9", "sudoku3x3x3", "arc5x2x3"])
def test_a_task_with_too_many_sizes_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"task '{name}' cannot be made .too many positional arguments."):
        task_named(name)


def test_a_head_of_the_first_cell_needs_a_block_with_one_vector_for_a_cell() -> None:
    with pytest.raises(InputError, match=r"model.halt_head=first: the relation block has a vector for each symbol"):
        Reasoner(ModelConfig(task="sudoku4", block="relation", channels=8, halt_head="first"))
    assert Reasoner(ModelConfig(task="sudoku4", block="mixer", channels=8, halt_head="first")).halt_head.shape == (8,)
