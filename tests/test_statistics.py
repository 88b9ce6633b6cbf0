"""Rank statistics against their definitions."""

import math

import numpy as np
import pytest

from eqr.measure.statistics import auroc, spearman


def test_auroc_is_the_share_of_pairs_in_order_with_ties_counted_half() -> None:
    rng = np.random.default_rng(0)
    scores, positive = rng.integers(0, 6, 60).tolist(), (rng.random(60) < 0.4).tolist()
    pairs = [
        (a > b) + 0.5 * (a == b)
        for a, is_a in zip(scores, positive, strict=True)
        for b, is_b in zip(scores, positive, strict=True)
        if is_a and not is_b
    ]
    assert auroc(scores, positive) == pytest.approx(np.mean(pairs))


def test_spearman_sees_order_alone() -> None:
    values = [3.0, 1.0, 4.0, 1.5, 9.0]
    assert spearman(values, [math.exp(v) for v in values]) == pytest.approx(1)
    assert spearman(values, [-v for v in values]) == pytest.approx(-1)
    assert spearman([1, 2, 2, 3], [1, 3, 2, 4]) == pytest.approx(0.9486833)


def test_what_does_not_vary_has_no_correlation() -> None:
    assert math.isnan(spearman([1, 1, 1], [1, 2, 3]))
    assert math.isnan(auroc([1, 2], [True, True]))
