"""What are a network's own signs worth? Thresholds of halting beyond which its answers are right, measured on puzzles.

Use puzzles like those to be solved, hard enough that the network fails on some: one it never fails on says nothing, and
what a residual is worth on generated puzzles it need not be worth on others (docs/compute.md).
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from eqr.data.files import Puzzles
from eqr.engine import SolveConfig, evidence_stream
from eqr.errors import InputError
from eqr.model import Reasoner
from eqr.types import Calibration

DELTAS = [step / 4 for step in range(-8, 49)]
"""Halting logits tried, the most permissive first."""
TOLS = [10 ** (-step / 4) for step in range(4, 29)]
"""Residuals tried, the most permissive first."""
LEAST = 100
"""Rows below which a share says too little."""


def calibrate(
    model: Reasoner,
    puzzles: Puzzles,
    config: SolveConfig,
    data_name: str,
    precision: float = 0.999,
    compile: bool = False,
    progress: Callable[[], None] = lambda: None,
) -> Calibration:
    """Run every puzzle once to ``config.depth`` and see which thresholds would have stopped right rows only.

    Of the values tried the most permissive one is taken from which on a share of ``precision`` of the rows it stops, at
    the segment at which it first stops them, is right. It is None where no value does it for LEAST rows or more.
    """
    if config.depth < config.window:
        raise InputError(f"depth {config.depth} is less than the {config.window} segments of a window: give more")
    model, batch, histories, right = model.for_task(puzzles.task), puzzles.batch(), [], []
    stream = evidence_stream(model, batch.inputs, config, compile=compile, record=True)
    for evidence, label in zip(stream, batch.labels, strict=True):
        histories.append(evidence.histories[0])
        right.append((evidence.histories[0].answers == label).all(-1))
        progress()
    correct = torch.stack(right)
    logits = torch.stack([history.halt_logit for history in histories])
    residuals = torch.stack([history.residual for history in histories])
    # At rest is a row that was below the threshold for a whole window.
    highest = residuals.unfold(1, config.window, 1).amax(-1)
    delta, delta_rows = _first_precise(DELTAS, logits, correct, precision)
    tol, tol_rows = _first_precise([-tol for tol in TOLS], -highest, correct[:, config.window - 1 :], precision)
    return Calibration(
        delta=delta,
        tol=None if tol is None else -tol,
        precision=precision,
        delta_rows=delta_rows,
        tol_rows=tol_rows,
        puzzles=len(puzzles),
        data=data_name,
        depth=config.depth,
        window=config.window,
    )


def _first_precise(
    thresholds: Sequence[float], score: Float[Tensor, "R T"], correct: Bool[Tensor, "R T"], precision: float
) -> tuple[float | None, int]:
    """The most permissive threshold that, like all stricter ones, stops right rows only, and the rows it stops."""
    chosen, rows = None, 0
    for threshold in reversed(thresholds):
        beyond = score > threshold
        stopped, at = beyond.any(1), beyond.float().argmax(1)
        right = correct[torch.arange(len(at)), at][stopped]
        if len(right) >= LEAST:
            if right.float().mean() < precision:
                break
            chosen, rows = threshold, len(right)
    return chosen, rows
