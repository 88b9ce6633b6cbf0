"""Rank statistics of paired values. Knows nothing of rows or puzzles."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def ranks(values: Sequence[float]) -> NDArray[np.float64]:
    """Returns the rank of each value, from 1; equal values share the mean of their ranks."""
    _, which, count = np.unique(np.asarray(values, float), return_inverse=True, return_counts=True)
    last = np.cumsum(count)  # a group of equal values has the ranks last - count + 1 to last
    return (last - (count - 1) / 2)[which]


def spearman(first: Sequence[float], second: Sequence[float]) -> float:
    """Returns Spearman's rank correlation, -1 to 1; NaN if the values of either sequence are all equal."""
    a, b = ranks(first), ranks(second)
    a, b = a - a.mean(), b - b.mean()
    spread = math.sqrt(float((a @ a) * (b @ b)))
    return float(a @ b) / spread if spread else math.nan


def auroc(scores: Sequence[float], positive: Sequence[bool]) -> float:
    """Returns the chance that a positive scores higher than a negative, ties counted half; NaN if either is missing.

    This is the area under the ROC curve, computed from the Mann-Whitney statistic.
    """
    is_positive = np.asarray(positive, bool)
    positives, negatives = int(is_positive.sum()), int((~is_positive).sum())
    if not positives or not negatives:
        return math.nan
    above = float(ranks(scores)[is_positive].sum()) - positives * (positives + 1) / 2
    return above / (positives * negatives)
