"""A larger network starts as the smaller one it grew from."""

from dataclasses import replace

import pytest
import torch
from alike import unchanged_by_copies

from eqr.model import ModelConfig, Reasoner
from eqr.random import Streams
from eqr.training.growth import grown

SMALL = ModelConfig(task="sudoku4", block="relation", channels=8, layers=2)


def network(config: ModelConfig, seed: int = 0) -> Reasoner:
    model = Reasoner(config, torch.Generator().manual_seed(seed))
    torch.nn.init.normal_(model.halt_head, generator=torch.Generator().manual_seed(seed))
    return model


@pytest.mark.parametrize("block", ["relation", "symbol", "synthesizer"])
@pytest.mark.parametrize("copies", [2, 3])
def test_copies_of_each_channel_change_nothing(block: str, copies: int) -> None:
    model = network(replace(SMALL, block=block))
    unchanged_by_copies(model, model.task.encode("1..............2"), copies)


@pytest.mark.parametrize(
    "config",
    [
        ModelConfig(task="arc5x1", block="axial", channels=8, layers=1),
        replace(SMALL, init="fixed"),
        replace(SMALL, scaled_embedding=True),
    ],
    ids=["rules", "a fixed start", "scaled embeddings"],
)
def test_copies_change_nothing_in_any_kind_of_network(config: ModelConfig) -> None:
    model = network(config)
    unchanged_by_copies(model, torch.ones(1, model.task.layout.width, dtype=torch.long), copies=2)


def test_copies_differ_a_little_and_so_can_learn_apart() -> None:
    small, wide = network(SMALL), network(replace(SMALL, channels=16), seed=1)
    state = grown(wide, small, torch.Generator().manual_seed(2))
    first, second = state["blocks.0.pair_in"][:, ::2], state["blocks.0.pair_in"][:, 1::2]
    difference = ((first - second).norm() / first.norm()).item()
    assert 0.01 < difference < 0.1


def test_wider_and_deeper_at_once() -> None:
    small, large = network(SMALL), network(replace(SMALL, channels=16, layers=3), seed=1)
    large.load_state_dict(grown(large, small, torch.Generator().manual_seed(2), spread=0.0))
    ids = small.task.encode("1..............2")
    z = small.init(Streams.numbered(3, range(1)))
    expected = small.decode(small.update(z, small.embed(ids)))
    torch.testing.assert_close(
        large.decode(large.update(z.repeat_interleave(2, -1), large.embed(ids))), expected, atol=1e-3, rtol=1e-3
    )


def test_a_network_that_cannot_be_widened_is_left_as_it_is() -> None:
    small, wide = network(replace(SMALL, channels=8)), network(replace(SMALL, channels=12), seed=1)
    state = grown(wide, small, torch.Generator().manual_seed(2))
    assert state["answer_head"].shape == small.answer_head.shape
