"""The verdict on each row after a segment: halting and suppositions, decided on the device, read by the host at once.

Knows no job. The host waits for the device in ``on_host`` only.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool
from numpy.typing import NDArray
from torch import Tensor

from eqr.engine.policy.halting import HaltingRule, HaltInputs, Thresholds, settled
from eqr.engine.policy.suppose import Due
from eqr.engine.tensors import RowTensors
from eqr.types import Layout

Column = NDArray[np.float32]
"""Values of R rows on the host, (R,) or (R, n)."""


class Verdict(NamedTuple):
    """The facts about R rows after a segment that the host needs."""

    residuals: Column
    """Residuals of the last W segments."""
    logit_changes: Column
    """Changes of the logits in each of these segments."""
    halt_logit: Column
    halts: Column
    """1 for a row that its halting rule ends, else 0."""
    converged: Column
    """1 for a row whose residuals are below the threshold and which supposed nothing, else 0."""
    changed: Column
    """1 for a row whose suppositions have changed, else 0."""
    due: Column
    """1 for a row that may make a supposition after its next segment, else 0."""
    answers: Column
    """Symbol ids, clues included where they are fixed."""

    def of(self, rows: list[int]) -> "Verdict":
        """The facts about some of the rows."""
        return Verdict(*(column[rows] for column in self))


def judge(
    held: RowTensors,
    count: int,
    layout: Layout,
    rules: Mapping[int, HaltingRule],
    thresholds: Thresholds,
    suppose: bool,
    due: Due | None,
) -> Verdict:
    """Applies the halting rules to the first ``count`` slots, and updates the suppositions there.

    Args:
        held: The numbers of all rows.
        count: Number of rows under way.
        layout: The task's layout.
        rules: The halting rules of the rows, by number.
        thresholds: The thresholds that the rules see.
        suppose: Whether any row may suppose.
        due: The rows that may make a supposition now.
    """
    rows = slice(0, count)
    inputs = HaltInputs(
        residuals=held.residuals[rows],
        logit_changes=held.changes[rows],
        halt_logit=held.halt_logit[rows],
        depth=held.age[rows],
        thresholds=thresholds,
    )
    halts, converged = _sure(inputs, held.rule[rows], rules), settled(inputs)
    changed = due_next = torch.zeros_like(converged)
    if suppose:
        before = held.suppositions(rows)
        now = before.after(halts, held.logits[rows], layout.to_find(held.puzzle[rows]), due)
        halts, converged = torch.where(now.hold > 0, now.done, halts), converged & (before.held == 0)
        changed, due_next = (now.symbols != before.symbols).any(1), now.due
        held.supposed[rows], held.left[rows], held.sure_for[rows] = now.symbols, now.left, now.sure_for
    figures = (inputs.residuals, inputs.logit_changes, inputs.halt_logit)
    return Verdict(*on_host((*figures, halts, converged, changed, due_next, held.answers(layout, rows))))


def _sure(inputs: HaltInputs, rule: Tensor, rules: Mapping[int, HaltingRule]) -> Bool[Tensor, " R"]:
    """True for the rows that their own halting rules would stop."""
    (_, first), *others = rules.items()
    sure = first(inputs)
    for number, other in others:
        sure = torch.where(rule == number, other(inputs), sure)
    return sure


def on_host(columns: Sequence[Tensor]) -> list[Column]:
    """Copies columns of R values, or (R, n), to the host as float32 in one transfer; exact up to 2**24."""
    wide = [column.unsqueeze(1) if column.dim() == 1 else column for column in columns]
    table = torch.cat(wide, 1).cpu().numpy()
    parts = np.split(table, np.cumsum([column.shape[1] for column in wide])[:-1], 1)
    return [part[:, 0] if column.dim() == 1 else part for part, column in zip(parts, columns, strict=True)]
