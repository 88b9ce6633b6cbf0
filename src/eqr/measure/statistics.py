"""Rank statistics of paired values, by scipy. Knows nothing of rows or puzzles."""

import math
from collections.abc import Sequence

import numpy as np


def spearman(first: Sequence[float], second: Sequence[float]) -> float:
    """Spearman's rank correlation, -1 to 1; NaN if one of the two does not vary."""
    from scipy.stats import spearmanr  # takes half a second to import

    if len(set(first)) < 2 or len(set(second)) < 2:
        return math.nan
    return float(spearmanr(first, second).statistic)


def auroc(scores: Sequence[float], positive: Sequence[bool]) -> float:
    """Chance that a positive scores higher than a negative, ties counted half; NaN if all are of one kind.

    The area under the ROC curve, by the ranks of the Mann-Whitney statistic.
    """
    from scipy.stats import rankdata

    is_positive = np.asarray(positive, bool)
    positives, negatives = int(is_positive.sum()), int((~is_positive).sum())
    if not positives or not negatives:
        return math.nan
    above = float(rankdata(scores)[is_positive].sum()) - positives * (positives + 1) / 2
    return above / (positives * negatives)
