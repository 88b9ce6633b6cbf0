"""How many restarts does a puzzle need? The first ones that are enough decide. No rule sees a label."""

from collections.abc import Iterator

import torch

from eqr.engine.policy.selection import agreement
from eqr.evidence import Evidence
from eqr.types import Calibration


def waves(restarts: int, adaptive: bool) -> Iterator[int]:
    """Yields wave sizes: all restarts at once or, if ``adaptive``, a quarter of the restarts tried so far (at least 1).

    Waves say when a restart may take a slot that another puzzle needs; ``restarts_needed`` says which restarts count.
    """
    tried = 0
    while tried < restarts:
        size = min(max(1, tried // 4), restarts - tried) if adaptive else restarts
        yield size
        tried += size


def enough_restarts(evidence: Evidence, calibration: Calibration | None) -> bool:
    """True if more restarts are unlikely to change the answer (``--breadth auto:K``):

    - two halted rows give the same answer;
    - or one halted row is almost certainly right: its residual or its halting logit is beyond the threshold at which
      99.9% of the rows were right when the model was calibrated (``eqr calibrate``; without calibration, never).
    """
    halted = evidence.only(evidence.halted.nonzero().flatten())
    if any(count > 1 for count in agreement(halted)):
        return True
    if calibration is None:
        return False
    settled = calibration.tol is not None and bool((halted.residual < calibration.tol).any())
    confident = calibration.delta is not None and bool((halted.halt_logit > calibration.delta).any())
    return settled or confident


def restarts_needed(evidence: Evidence, calibration: Calibration | None, known: int = 0) -> int | None:
    """Returns the fewest first restarts that are enough, or None if all K are not. The first ``known`` are not enough.

    The answer follows from these restarts alone: it does not depend on further ones that happened to run beside them.
    """
    counts = range(known + 1, len(evidence.depth) + 1)
    return next((count for count in counts if enough_restarts(evidence.only(torch.arange(count)), calibration)), None)
