"""May this row stop? Each rule is one small function of the rows' signs; a new rule is a line in the dict."""

from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType
from typing import NamedTuple, TypeAlias

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from eqr.errors import unknown


class Thresholds(NamedTuple):
    """Values beyond which a sign ends a row."""

    tol: float
    """Residual below which a row is at rest."""
    delta: float
    """Halting logit above which a row is done."""


# At 1e-5 rows are at rest: none was seen to change its answer afterwards, while at 1e-3 one in twelve of a model
# trained without hints did, all of them wrong (docs/compute.md). The delta is EqR's (section 6.3).
UNCALIBRATED = Thresholds(tol=1e-5, delta=0.0)
"""Thresholds of models without calibration."""


@dataclass(frozen=True, kw_only=True)
class HaltInputs:
    """What a halting rule sees of R rows after a segment; W segments are remembered."""

    residuals: Float[Tensor, "R W"]
    """Residuals of the last W segments; infinite where there was none yet."""
    logit_changes: Float[Tensor, "R W"]
    """Mean L2 change of a cell's logits in each of them; infinite where there was none."""
    halt_logit: Float[Tensor, " R"]
    """Score of the learned halting head."""
    depth: Int[Tensor, " R"]
    """Segments so far."""
    thresholds: Thresholds


Halts = Callable[[HaltInputs], Bool[Tensor, " R"]]


@dataclass(frozen=True, kw_only=True)
class HaltingRule:
    """A function that says which rows may stop, and what the engine must know of it."""

    name: str
    halts: Halts
    ends_early: bool = True
    """Whether rows can stop before full depth; auto breadth needs rows that do."""
    knows_right: bool = False
    """Whether a row stops only if the rule takes its answer for right; suppositions rest on that."""


Halting: TypeAlias = HaltingRule | Halts | str
"""A rule, a function that is to be one, or a name in HALTING."""


def settled(rows: HaltInputs) -> Bool[Tensor, " R"]:
    """The residual stayed below ``tol`` over the last W segments."""
    return (rows.residuals < rows.thresholds.tol).all(-1)


def learned(rows: HaltInputs) -> Bool[Tensor, " R"]:
    """The halting head says that the answer is right: its logit is above ``delta`` (EqR section 6.3)."""
    return rows.halt_logit > rows.thresholds.delta


def never(rows: HaltInputs) -> Bool[Tensor, " R"]:
    """Every row runs to full depth (the reference protocol)."""
    return torch.zeros_like(rows.halt_logit, dtype=torch.bool)


def either(rows: HaltInputs) -> Bool[Tensor, " R"]:
    """The head says that the answer is right, or the row has settled and nothing more will come."""
    return settled(rows) | learned(rows)


HALTING: dict[str, HaltingRule | Halts] = {
    "residual": HaltingRule(name="residual", halts=settled),
    "learned": HaltingRule(name="learned", halts=learned, knows_right=True),
    "either": HaltingRule(name="either", halts=either),
    "fixed": HaltingRule(name="fixed", halts=never, ends_early=False),
}


def halting_rule(rule: Halting) -> HaltingRule:
    """The rule that is given or named; a plain function becomes a rule. Raises InputError for an unknown name."""
    name = ""
    if isinstance(rule, str):
        if rule not in HALTING:
            raise unknown("halting rule", rule, HALTING, plugins=True)
        name, rule = rule, HALTING[rule]
    return rule if isinstance(rule, HaltingRule) else HaltingRule(name=name or named(rule), halts=rule)


def named(function: Callable[..., object]) -> str:
    """What a function is called in reports."""
    return function.__name__ if isinstance(function, FunctionType) else type(function).__name__
