"""Streams by counter: the published generator, equal alone and together, with the distributions they promise."""

import numpy as np
import pytest
import torch
from scipy import stats

from eqr.model import ModelConfig, Reasoner
from eqr.random import NOISE, START, SUPPOSE, Streams, philox, row_key, uniform


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [  # the known answers of Random123, the authors' library
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_the_generator_is_the_published_one(
    counter: tuple[int, ...], key: tuple[int, ...], words: tuple[int, ...]
) -> None:
    assert tuple(int(word) for word in philox(counter, key)) == words
    arrays = [np.array([word, 1], np.uint64) for word in counter]
    assert [int(word[0]) for word in philox(tuple(arrays), key)] == list(words)
    tensors = [torch.tensor([[word, 1]]) for word in counter]
    assert [int(word[0, 0]) for word in philox(tuple(tensors), key)] == list(words)


def test_a_row_draws_alone_as_it_does_among_others() -> None:
    streams = Streams.of([7, 2**64 - 1, -3, 12345678901234567])
    together = streams.normal(NOISE, torch.tensor([0, 5, 2**33, 1]), 3, 5)
    for row, at in enumerate([0, 5, 2**33, 1]):
        assert torch.equal(streams[row : row + 1].normal(NOISE, at, 3, 5)[0], together[row])
    assert torch.equal(streams.normal(NOISE, 0, 40)[:, :15], streams.normal(NOISE, 0, 15))
    assert not torch.equal(streams.normal(NOISE, 0, 9), streams.normal(START, 0, 9))
    assert not torch.equal(streams.normal(NOISE, 0, 9), streams.normal(NOISE, 1, 9))
    assert streams.uniform(NOISE, 4).tolist() == [float(streams[r : r + 1].uniform(NOISE, 4)) for r in range(4)]


def test_few_rows_draw_on_the_host_as_all_rows_do_on_the_device() -> None:
    keys, ages = [0, 2**64 - 1, 12345678901234567, 2**63], [0, 5, 2**33, 1]
    expected = Streams.of(keys).uniform(SUPPOSE, torch.tensor(ages))
    assert uniform(keys, SUPPOSE, ages).tolist() == expected.tolist()


def test_the_numbers_do_not_change() -> None:
    streams = Streams.of([row_key(0, bytes(range(5)), 1)])
    assert streams.keys.tolist() == [2486116725459553847]
    expected = [-1.3136155605316162, 0.6178210973739624, 0.5122134685516357, 3.0560405254364014]
    assert streams.normal(NOISE, 3, 4)[0].tolist() == expected
    expected = [-0.8279672861099243, 1.9175548553466797, 0.16143037378787994, 0.08909603208303452]
    assert streams.truncated(START, 0, 4)[0].tolist() == expected
    assert streams.uniform(NOISE, 3).tolist() == [0.7316451185615733]


def test_the_values_have_their_distributions() -> None:
    streams = Streams.numbered(0, range(64))
    normal = streams.normal(NOISE, 0, 4096).flatten().numpy()
    truncated = streams.truncated(NOISE, 1, 4096).flatten().numpy()
    flat = np.concatenate([streams.uniform(NOISE, at).numpy() for at in range(2, 500)])
    assert stats.kstest(normal, "norm").pvalue > 0.01
    width = 1 / stats.truncnorm(-2, 2).std()
    assert stats.kstest(truncated, stats.truncnorm(-2, 2, scale=width).cdf).pvalue > 0.01
    assert np.abs(truncated).max() <= 2 * width
    assert stats.kstest(flat, "uniform").pvalue > 0.01
    table = normal.reshape(64, -1)
    assert np.abs(np.corrcoef(table) - np.eye(64)).max() < 0.1
    assert np.abs(np.corrcoef(table[:, :64].T[:32]) - np.eye(32)).max() < 0.6


@pytest.mark.parametrize("init", ["normal", "truncated", "fixed"])
def test_the_starts_of_many_rows_are_those_of_single_rows(init: str) -> None:
    model = Reasoner(ModelConfig(task="sudoku4", block="mixer", channels=8, init=init, scratch_std=0.5))
    streams = Streams.numbered(3, range(6))
    together = model.init(streams)
    assert all(torch.equal(model.init(streams[row : row + 1])[0], together[row]) for row in range(6))
    assert torch.equal(together, model.init(streams))
    assert torch.equal(together, model.init(streams, draw=1)) == (init == "fixed")
