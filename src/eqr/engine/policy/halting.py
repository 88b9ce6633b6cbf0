"""May this row stop? Each rule is one small function of ``HaltInputs``; a new rule is one line in the dict."""

from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType
from typing import NamedTuple, TypeAlias

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from eqr.errors import InputError, registered


class Thresholds(NamedTuple):
    """Residual and halting logit at which a row ends."""

    tol: float
    """Residual below which a row is settled."""
    delta: float
    """Halting logit above which a row is done."""


# At 1e-5 rows are at rest: no row was seen to change its answer afterwards. At 1e-3, one row in twelve of a model
# trained without hints did, all of them wrong (docs/compute.md). The delta is EqR's (section 6.3).
UNCALIBRATED = Thresholds(tol=1e-5, delta=0.0)
"""Thresholds of models without calibration."""


@dataclass(frozen=True, kw_only=True)
class HaltInputs:
    """The input of a halting rule: R rows after a segment, with figures of their last W segments."""

    residuals: Float[Tensor, "R W"]
    """Residuals of the last W segments; infinite where a row has had fewer."""
    logit_changes: Float[Tensor, "R W"]
    """L2 change of a cell's logits in each of these segments, mean over cells; infinite where a row has had fewer."""
    halt_logit: Float[Tensor, " R"]
    """Score of the learned halting head."""
    depth: Int[Tensor, " R"]
    """Segments so far."""
    thresholds: Thresholds


Halts = Callable[[HaltInputs], Bool[Tensor, " R"]]


@dataclass(frozen=True, kw_only=True)
class HaltingRule:
    """A function that says which rows may stop, and the properties of it that the engine needs."""

    name: str
    halts: Halts
    ends_early: bool = True
    """Whether rows can stop before full depth; auto breadth requires it."""
    knows_right: bool = False
    """Whether the rule stops a row only if it believes the answer to be right; suppositions require it."""

    def __call__(self, rows: HaltInputs) -> Bool[Tensor, " R"]:
        """Returns which rows may stop; raises InputError if the function returns anything else."""
        ends = self.halts(rows)
        if not isinstance(ends, Tensor) or ends.dtype != torch.bool or ends.shape != rows.depth.shape:
            form = f"{ends.dtype} of shape {tuple(ends.shape)}" if isinstance(ends, Tensor) else type(ends).__name__
            raise InputError(
                f"the halting rule {self.name} returned {form}: it must return a bool tensor of shape "
                f"{tuple(rows.depth.shape)}, one value for each row"
            )
        return ends


Halting: TypeAlias = HaltingRule | Halts | str
"""A rule, a function to make one from, or a name in HALTING."""


def settled(rows: HaltInputs) -> Bool[Tensor, " R"]:
    """True where the residual stayed below ``tol`` over the last W segments."""
    return (rows.residuals < rows.thresholds.tol).all(-1)


def learned(rows: HaltInputs) -> Bool[Tensor, " R"]:
    """True where the halting head calls the answer right: its logit is above ``delta`` (EqR section 6.3)."""
    return rows.halt_logit > rows.thresholds.delta


def never(rows: HaltInputs) -> Bool[Tensor, " R"]:
    """False for every row: all rows run to full depth (the reference protocol)."""
    return torch.zeros_like(rows.halt_logit, dtype=torch.bool)


def either(rows: HaltInputs) -> Bool[Tensor, " R"]:
    """True where the head calls the answer right, or the row has settled and will not change any more."""
    return settled(rows) | learned(rows)


HALTING: dict[str, HaltingRule | Halts] = {
    "residual": HaltingRule(name="residual", halts=settled),
    "learned": HaltingRule(name="learned", halts=learned, knows_right=True),
    "either": HaltingRule(name="either", halts=either),
    "fixed": HaltingRule(name="fixed", halts=never, ends_early=False),
}


def halting_rule(rule: Halting) -> HaltingRule:
    """Makes a rule from a rule, a function or a name; raises InputError for an unknown name."""
    known = registered("halting rule", rule, HALTING)
    name = rule if isinstance(rule, str) else named(known)
    return known if isinstance(known, HaltingRule) else HaltingRule(name=name, halts=known)


def named(function: object) -> str:
    """The name of a function in reports."""
    return function.__name__ if isinstance(function, FunctionType) else type(function).__name__
