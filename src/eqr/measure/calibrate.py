"""Measures how a network answers best: the halting thresholds beyond which it is right, then the best settings.

Use puzzles like those to be solved, held out from training, and hard enough that the network fails on some: puzzles
that it never fails on show nothing. Thresholds measured on generated puzzles need not hold on other puzzles
(docs/compute.md). The figures of the chosen settings are those of the puzzles that chose them, so they are a little too
good: measure on other puzzles what to expect.
"""

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from eqr.data.files import Puzzles
from eqr.engine import SolveConfig, evidence_stream
from eqr.engine.config import AUTO, PLAIN, Dtype
from eqr.errors import InputError
from eqr.measure.evaluate import evaluate
from eqr.measure.report import Report
from eqr.model import Reasoner
from eqr.types import MOST_DEPTH, MOST_RESTARTS, Calibration, Layout, Settings

DELTAS = [step / 4 for step in range(-8, 49)]
"""Halting logits to try, the loosest first."""
TOLS = [10 ** (-step / 4) for step in range(4, 29)]
"""Residuals to try, the loosest first."""
LEAST = 100
"""Fewest halted rows from which a share of right rows is estimated."""
# (3, 2) was best for the bundled Sudoku network, which was trained with hints; (6, 2) and then (4, 2) for the one
# before it, which was trained without. A network that follows a guess less far needs more of them: (2, 6) was best for
# sudoku_untold (docs/record.md).
SUPPOSITIONS = ((3, 2), (4, 2), (6, 2), (3, 4), (2, 6))
"""Values of ``suppose`` and ``guesses`` to try."""
LONGER = (2, 4)
"""Multiples of the depth to try."""
RUNS = 4 + len(SUPPOSITIONS) + len(LONGER)
"""The most runs over all puzzles: thresholds, residual, halting head, SUPPOSITIONS, more starts, more segments."""


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """Halting thresholds of a network, and the reports on all settings tried with them."""

    calibration: Calibration
    tried: tuple[Report, ...]

    @property
    def best(self) -> Report:
        """The report on the settings with which the network answers best."""
        return best_of(self.tried)

    @property
    def settings(self) -> Settings:
        """The settings with which the network answers best."""
        return self.best.config.settings


def calibrate(
    model: Reasoner,
    puzzles: Puzzles,
    *,
    depth: int = 64,
    breadth: int = 32,
    precision: float = 0.999,
    model_name: str = "model",
    data_name: str = "puzzles",
    compile: bool = False,
    dtype: Dtype = "float32",
    progress: Callable[[int, str], None] = lambda amount, text: None,
) -> Calibrated:
    """Measures the halting thresholds that reach ``precision``, then which settings answer best with them.

    The settings tried, from one start each, are those of ``candidates``. The highest exact accuracy wins; of equals,
    the fewest updates per puzzle. The winner is tried with breadth ``auto:breadth`` as well, unless one start solves
    every puzzle; then with LONGER times the segments, as long as puzzles are left and accuracy rises. More starts and
    more segments are kept if exact accuracy is higher. Leaves ``model`` as it is.

    Args:
        model: A trained reasoner.
        puzzles: Puzzles with answers, similar to those to be solved.
        depth: Segments of a row at first.
        breadth: Most restarts of a puzzle; with 1, only one start is tried.
        precision: Share of the halted rows that must be right.
        model_name: Name of the model in the reports.
        data_name: Name of the puzzles in the calibration and the reports.
        compile: That of ``solve_stream``.
        dtype: Numbers of the matrix products (``SolveConfig.dtype``); thresholds need not hold for others.
        progress: Called with a number of puzzles and the name of the run; the numbers add up to RUNS times all puzzles,
            or to less where further runs could gain nothing.

    Raises InputError if ``depth`` is less than a window, ``breadth`` less than 1, or either more than a model may have
    of its own.
    """
    if not 1 <= breadth <= MOST_RESTARTS:
        raise InputError(f"breadth is {breadth}: it must be 1 to {MOST_RESTARTS}")
    if depth > MOST_DEPTH:
        raise InputError(f"depth is {depth}: a model's own may be {MOST_DEPTH} at most, give less")
    config = SolveConfig(depth=depth, dtype=dtype)
    if depth < config.window:
        raise InputError(f"depth {depth} is less than the {config.window} segments of a window: give more")
    model = copy(model.for_task(puzzles.task))  # the same weights; the calibration is set on the copy alone
    model.calibration = thresholds(
        model, puzzles, config, data_name, precision, compile, lambda: progress(1, "thresholds, at full depth")
    )

    def report(settings: Settings) -> Report:
        name = described(settings)
        return evaluate(
            model,
            puzzles,
            replace(config, **vars(settings)),
            model_name=model_name,
            data_name=data_name,
            compile=compile,
            progress=lambda done, right: progress(1, f"{name}: {right}/{done} exact"),
        )

    to_try = [replace(settings, depth=depth) for settings in candidates(model.task.layout, model.calibration)]
    progress((2 + len(SUPPOSITIONS) - len(to_try)) * len(puzzles), "")  # runs that are left out
    tried = [report(settings) for settings in to_try]
    if breadth > 1 and best_of(tried).exact_accuracy < 1:
        tried.append(report(replace(best_of(tried).config.settings, breadth=f"{AUTO}{breadth}")))
    for times in LONGER:
        best = best_of(tried)
        if best.exact_accuracy == 1 or depth * times > MOST_DEPTH:
            break
        tried.append(report(replace(best.config.settings, depth=depth * times)))
        if best_of(tried) is best:
            break
    return Calibrated(calibration=model.calibration, tried=tuple(tried))


def candidates(layout: Layout, calibration: Calibration) -> tuple[Settings, ...]:
    """Returns the settings to try from one start: halting by residual; by the halting head; with suppositions.

    The halting head is tried only if a threshold was found beyond which it can be trusted, and suppositions only if the
    task's clues are fixed as well. Halting rules of plugins have no thresholds here and are not tried.
    """
    if calibration.delta is None:
        return (Settings(halt="residual"),)
    suppositions = SUPPOSITIONS if layout.clues_fixed else ()
    learned = Settings(halt="learned")
    return (
        Settings(halt="residual"),
        learned,
        *(replace(learned, suppose=n, guesses=most) for n, most in suppositions),
    )


def best_of(reports: Sequence[Report]) -> Report:
    """Returns the report with the highest exact accuracy; of equals, the one with the fewest updates per puzzle."""
    return max(reports, key=lambda report: (report.exact_accuracy, -report.updates_per_puzzle))


def described(settings: Settings) -> str:
    """Returns the settings in words, without suppositions, breadth and depth where they are 0, 1 and 64."""
    suppose = f", suppose {settings.suppose}, guesses {settings.guesses}" if settings.suppose else ""
    breadth = f", breadth {settings.breadth}" if settings.breadth != 1 else ""
    depth = f", depth {settings.depth}" if settings.depth != PLAIN.depth else ""
    return f"halt {settings.halt}{suppose}{breadth}{depth}"


def thresholds(
    model: Reasoner,
    puzzles: Puzzles,
    config: SolveConfig,
    data_name: str,
    precision: float,
    compile: bool,
    progress: Callable[[], None],
) -> Calibration:
    """Runs every puzzle once to full depth; returns halting thresholds that reach ``precision``.

    A row is judged at the segment where it first crosses a threshold. A threshold qualifies if a share ``precision`` of
    the rows that it halts is right, and if the same holds for all stricter thresholds; thresholds that halt fewer than
    LEAST rows do not count. Of the qualified thresholds the loosest is chosen; for the halting head, the strictest that
    halts as many rows as the loosest: rows that suppose look right more often than those seen here. A threshold is None
    if no value qualifies.
    """
    config, batch, rows = replace(config, halt="fixed", breadth=1, suppose=0), puzzles.batch(), []
    stream = evidence_stream(model, batch.inputs, config, compile=compile, record=True)
    for evidence, label in zip(stream, batch.labels, strict=True):
        history = evidence.histories[0]
        rows.append((history.halt_logit, history.residual, (history.answers == label).all(-1)))
        progress()
    logits, residuals, correct = (torch.stack(column) for column in zip(*rows, strict=True))
    # A row is at rest if its residual was below the threshold for a whole window, so the highest one decides.
    highest = residuals.unfold(1, config.window, 1).amax(-1)
    delta, delta_rows = _first_precise(DELTAS, logits, correct, precision)
    if delta is not None:
        delta = _strictest(DELTAS, logits, delta_rows)
    # A residual below tol is a score above -tol.
    tol, tol_rows = _first_precise([-tol for tol in TOLS], -highest, correct[:, config.window - 1 :], precision)
    return Calibration(
        delta=delta,
        tol=None if tol is None else -tol,
        precision=precision,
        delta_rows=delta_rows,
        tol_rows=tol_rows,
        puzzles=len(puzzles),
        data=data_name,
        depth=config.segments,
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


def _strictest(thresholds: Sequence[float], score: Float[Tensor, "R T"], rows: int) -> float:
    """Returns the strictest threshold that halts this many rows."""
    return max(threshold for threshold in thresholds if int((score > threshold).any(1).sum()) == rows)
