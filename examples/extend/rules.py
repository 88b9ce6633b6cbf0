"""A halting rule, a selection rule and a solver of one's own; importing this module registers them.

    eqr --import futoshiki --import block --import rules eval --model runs/futoshiki --data test.csv \\
        --halt calm --breadth 4 --select quickest --solver momentum:beta=0.2
"""

from dataclasses import dataclass

import torch

import eqr


def calm(rows):
    """(R,) rows that may stop: their logits have hardly changed in each of the last segments."""
    return (rows.logit_changes < 0.05).all(-1)


def quickest(evidence):
    """The restart that stopped first. `evidence` holds all restarts of one puzzle; no rule sees the answer."""
    return int(evidence.depth.argmin())


@dataclass(frozen=True, kw_only=True)
class Momentum(eqr.Solver):
    """Heavy ball: z <- f(z) + beta * (the last step). Fields are options, as in `momentum:beta=0.2`."""

    beta: float = 0.2

    def init(self, z):
        return (torch.zeros_like(z),)  # what is carried from step to step: tensors with one row for each row of z

    def step(self, f, z, memory):
        fz = f(z)
        moved = fz - z + self.beta * memory[0]
        return z + moved, fz, (moved,)


# A plain function will do. eqr.HaltingRule and eqr.SelectionRule say more, for instance needs_checker=True.
eqr.HALTING["calm"] = calm
eqr.SELECTION["quickest"] = quickest
eqr.SOLVERS["momentum"] = Momentum
