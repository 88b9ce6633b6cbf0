"""How many restarts does a puzzle need? Waves of them, until the evidence enough_restarts. No rule sees a label."""

from collections.abc import Iterator

from eqr.engine.policy.selection import agreement
from eqr.evidence import Evidence
from eqr.types import Calibration


def waves(restarts: int, adaptive: bool) -> Iterator[int]:
    """Sizes of the waves that start a puzzle's rows: all at once, or a quarter of what was tried so far, at least one.

    So at most a quarter of the rows are started in vain, and many restarts do not wait for each other one by one.
    """
    tried = 0
    while tried < restarts:
        size = min(max(1, tried // 4), restarts - tried) if adaptive else restarts
        yield size
        tried += size


def enough_restarts(evidence: Evidence, calibration: Calibration | None) -> bool:
    """True if more restarts are unlikely to change the answer (``--breadth auto:K``):

    - two rows that their halting rule ended give the same answer;
    - or one such row is surely right: its residual or its halting logit is beyond the threshold at which 99.9% of the
      rows were right when the model was calibrated (``eqr calibrate``; without calibration no row is sure).
    """
    halted = evidence.only(evidence.halted.nonzero().flatten())
    if any(count > 1 for count in agreement(halted)):
        return True
    if calibration is None:
        return False
    rests = calibration.tol is not None and bool((halted.residual < calibration.tol).any())
    says_so = calibration.delta is not None and bool((halted.halt_logit > calibration.delta).any())
    return rests or says_so
