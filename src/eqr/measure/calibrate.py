"""Measures halting thresholds on puzzles: values of a network's own signals beyond which its answers are right.

Use puzzles like those to be solved, and hard enough that the network fails on some: puzzles that it never fails on show
nothing. Thresholds measured on generated puzzles need not hold on other puzzles (docs/compute.md).
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
"""Halting logits to try, the loosest first."""
TOLS = [10 ** (-step / 4) for step in range(4, 29)]
"""Residuals to try, the loosest first."""
LEAST = 100
"""Fewest halted rows from which a share of right rows is estimated."""


def calibrate(
    model: Reasoner,
    puzzles: Puzzles,
    config: SolveConfig,
    data_name: str,
    precision: float = 0.999,
    compile: bool = False,
    progress: Callable[[], None] = lambda: None,
) -> Calibration:
    """Runs every puzzle once to ``config.depth``; returns the loosest halting thresholds that reach ``precision``.

    A row is judged at the segment where it first crosses a threshold. A threshold qualifies if a share ``precision`` of
    the rows that it halts is right, and if the same holds for all stricter thresholds; thresholds that halt fewer than
    LEAST rows do not count. The result is None if no threshold qualifies.

    Raises InputError if ``config.depth`` is less than ``config.window``.
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
    # A row is at rest if its residual was below the threshold for a whole window, so the highest one decides.
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
    """Returns the loosest threshold that, like all stricter ones, reaches ``precision``, and the rows that it halts."""
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
