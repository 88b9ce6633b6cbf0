"""How many restarts does a puzzle need? Waves of them, until the evidence suffices. No rule sees a label."""

from collections import Counter
from collections.abc import Iterator

from eqr.types import Calibration, Evidence


def waves(restarts: int, adaptive: bool) -> Iterator[int]:
    """Sizes of the waves that start a puzzle's rows: all at once, or a quarter of what was tried so far, at least one.

    So at most a quarter of the rows are started in vain, and many restarts do not wait for each other one by one.
    """
    tried = 0
    while tried < restarts:
        size = min(max(1, tried // 4), restarts - tried) if adaptive else restarts
        yield size
        tried += size


def suffices(found: Evidence, calibration: Calibration | None) -> bool:
    """Whether more restarts are not worth their updates (``--breadth auto:K``). So it is when

    - a row that its halting rule ended is surely right: its residual or its halting logit is beyond the threshold at
      which, on generated puzzles, 99.9% of the rows were right (``eqr calibrate``; without calibration none is sure);
    - or two such rows give the same answer.
    """
    halted = found.halted.nonzero().flatten().tolist()
    answers = Counter(found.answers[restart].numpy().tobytes() for restart in halted)
    agreed = any(count > 1 for count in answers.values())
    return agreed or any(_sure(found, restart, calibration) for restart in halted)


def _sure(found: Evidence, restart: int, calibration: Calibration | None) -> bool:
    if calibration is None:
        return False
    rests = calibration.tol is not None and bool(found.residual[restart] < calibration.tol)
    says_so = calibration.delta is not None and bool(found.halt_logit[restart] > calibration.delta)
    return rests or says_so
