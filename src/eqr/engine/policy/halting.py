"""May this row stop? One small function a rule, from the row's evidence alone; a new rule is a line in the dict."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor


class Thresholds(NamedTuple):
    """Beyond which a sign ends a row."""

    tol: float
    """Residual below which a row is at rest."""
    delta: float
    """Halting logit above which a row is done."""


UNCALIBRATED = Thresholds(tol=1e-5, delta=0.0)
"""For models without calibration. At 1e-5 rows are at rest: none was seen to change its answer afterwards, while at
1e-3 one in twelve of a model trained without hints did, all of them wrong (docs/compute.md). delta is EqR's (section
6.3)."""


@dataclass(frozen=True, kw_only=True)
class HaltInputs:
    """What a halting rule sees of the rows after a segment."""

    residuals: Float[Tensor, "R W"]
    """Residuals of the last W segments; infinite where there was none yet."""
    halt_logit: Float[Tensor, " R"]
    """Score of the learned halting head."""
    thresholds: Thresholds


def settled(signs: HaltInputs) -> Bool[Tensor, " R"]:
    """The residual stayed below ``tol`` over the last W segments."""
    return (signs.residuals < signs.thresholds.tol).all(-1)


def learned(signs: HaltInputs) -> Bool[Tensor, " R"]:
    """The halting head says that the answer is right: its logit is above ``delta`` (EqR section 6.3)."""
    return signs.halt_logit > signs.thresholds.delta


def never(signs: HaltInputs) -> Bool[Tensor, " R"]:
    """Every row runs to full depth (the reference protocol)."""
    return torch.zeros_like(signs.halt_logit, dtype=torch.bool)


def either(signs: HaltInputs) -> Bool[Tensor, " R"]:
    """The head says that the answer is right, or the row has settled and nothing more will come."""
    return settled(signs) | learned(signs)


HALTING: dict[str, Callable[[HaltInputs], Bool[Tensor, " R"]]] = {
    "residual": settled,
    "learned": learned,
    "either": either,
    "fixed": never,
}
