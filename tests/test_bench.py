"""The sizes that are timed are those of the mathematics."""

import torch

from eqr.bench import SIZES, products
from eqr.model import Reasoner


def test_the_products_of_a_relation_update_are_counted() -> None:
    """23.2 MFLOP a row: 2 blocks x (729 pairs x 3hC + 324 groups x 2hC) x 2, with C = 32 and h = 64."""
    model = Reasoner(SIZES["relation"])
    flops = sum(2 * m * k * n for m, k, n in products(model, rows=3)) / 3
    assert flops == 2 * 2 * (729 * 3 * 64 * 32 + 324 * 2 * 64 * 32)


def test_every_product_of_a_mixer_update_is_counted() -> None:
    model = Reasoner(SIZES["mixer"])
    rows, cells, width, token_hidden, hidden = 2, 81, 512, 512, 2048
    flops = sum(2 * m * k * n for m, k, n in products(model, rows))
    tokens = 3 * token_hidden * cells * width
    channels = 3 * hidden * width * cells
    assert flops == model.config.layers * 2 * rows * (tokens + channels)
    assert torch.is_grad_enabled()
