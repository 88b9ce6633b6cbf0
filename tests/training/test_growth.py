"""A larger network starts as the smaller one it grew from."""

from dataclasses import replace

import pytest
import torch

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
    small = network(replace(SMALL, block=block))
    wide = network(replace(small.config, channels=8 * copies), seed=1)
    wide.load_state_dict(grown(wide, small, torch.Generator().manual_seed(2), spread=0.0))
    ids = small.task.encode("1..............2")
    z = small.init(Streams.numbered(3, range(1)))
    narrow_end, wide_end = (
        small.segment(z, small.embed(ids)),
        wide.segment(z.repeat_interleave(copies, -1), wide.embed(ids)),
    )
    torch.testing.assert_close(wide_end, narrow_end.repeat_interleave(copies, -1), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(wide.decode(wide_end), small.decode(narrow_end), atol=1e-2, rtol=1e-3)
    torch.testing.assert_close(wide.halt_logit(wide_end), small.halt_logit(narrow_end), atol=1e-2, rtol=1e-3)


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
