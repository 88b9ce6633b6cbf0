"""The sizes that are timed are those of the mathematics."""

from dataclasses import replace

import pytest
import torch

from eqr.commands.bench import STEPS, UPDATES
from eqr.measure import bench
from eqr.measure.bench import measure_update, products_of
from eqr.model import ModelConfig, Reasoner
from eqr.random import Streams
from eqr.training.loss import segment_loss


def flops_of_update(config: ModelConfig, rows: int) -> int:
    model = Reasoner(config)
    z, x = model.init(Streams.numbered(0, range(rows))), model.embed(torch.zeros(rows, 81, dtype=torch.long))
    with torch.no_grad():
        return sum(2 * m * k * n for m, k, n in products_of(lambda: model.update(z, x)))


def flops_of_mixer(config: ModelConfig) -> int:
    """Of one layer and one row: three matrices over the cells, three over the width."""
    cells, hidden = config.prefix_tokens + 81, int(config.channels * config.expansion)
    return 2 * 3 * config.channels * cells * (config.token_hidden + hidden)


def test_the_products_of_a_relation_update_are_counted() -> None:
    """23.2 MFLOP a row: 2 blocks x (729 pairs x 3hC + 324 groups x 2hC) x 2, with C = 32 and h = 64."""
    assert flops_of_update(UPDATES["relation"], 3) == 3 * 2 * 2 * (729 * 3 * 64 * 32 + 324 * 2 * 64 * 32)


def test_every_product_of_a_mixer_update_is_counted() -> None:
    config = UPDATES["mixer"]
    assert flops_of_update(config, 2) == 2 * config.layers * flops_of_mixer(config)
    assert torch.is_grad_enabled()


def test_the_backward_pass_of_a_training_step_is_counted() -> None:
    """The paper's segment: 3 x 7 calls of 2 layers forward, and backward, at twice the cost, the last 7 calls."""
    config = replace(STEPS["paper_sudoku"].model, channels=64, token_hidden=64)
    model, rows = Reasoner(config).train(), 2
    z, ids = model.init(Streams.numbered(0, range(rows))), torch.zeros(rows, 81, dtype=torch.long)

    def work() -> None:
        loss = segment_loss(model, z, ids, ids + 1, None, STEPS["paper_sudoku"].train).loss
        torch.autograd.grad(loss, list(model.parameters()), materialize_grads=True)

    flops = sum(2 * m * k * n for m, k, n in products_of(work))
    layers = rows * flops_of_mixer(config) * 2 * (21 + 2 * 7)
    assert layers < flops < 1.03 * layers  # and the heads


def test_the_kernel_is_measured_beside_compiled_updates_with_one_thread_and_with_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bench, "compiled", lambda function: function)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    small = replace(UPDATES["relation"], channels=8)
    speeds = measure_update("relation", small, compile=True, rounds=1)
    ways = [("kernel", 1), ("kernel", 2), ("compiled", 1), ("compiled", 2)]
    assert [(speed.form, speed.threads) for speed in speeds] == ways
    assert [speed.rows for speed in speeds] == [8, 16, 8, 16]
    assert all(speed.share > 0 for speed in speeds)
