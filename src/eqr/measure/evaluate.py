"""Evaluates a model on puzzles: puzzles x model x SolveConfig -> Report."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.metadata import version

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from eqr.data.files import Labelled, labelled
from eqr.data.serialise import Record, as_record
from eqr.distributed import Ranks
from eqr.engine import SolveConfig, solve_stream
from eqr.engine.policy.breadth import enough_restarts
from eqr.engine.segment import Compile, fastest
from eqr.errors import DISTRIBUTION
from eqr.evidence import Solution
from eqr.measure.report import Report, pass_at_k
from eqr.model import Reasoner
from eqr.runtime import rows_under_way


@dataclass
class _Sums:
    """Counts that add up over puzzles, and so over processes."""

    puzzles: int = 0
    exact: int = 0
    valid: int = 0
    blanks: int = 0
    right_blanks: int = 0
    converged: int = 0
    halted: int = 0
    restarts: int = 0
    segments: int = 0
    right_restarts: Counter[int] = field(default_factory=Counter)
    """Number of puzzles, by their number of right restarts."""

    def add(self, solution: Solution, blank: Bool[Tensor, " L"], labels: Int[Tensor, " L"]) -> None:
        """Compares a puzzle's restarts, and the selected restart, with the label; ``blank`` marks cells to find."""
        right = solution.evidence.answers == labels
        exact = right.all(-1)
        self.puzzles += 1
        self.exact += int(exact[solution.restart])
        self.valid += solution.valid
        self.blanks += int(blank.sum())
        self.right_blanks += int(right[solution.restart, blank].sum())
        self.converged += solution.converged
        self.halted += solution.halted
        self.restarts += solution.restarts
        self.segments += int(solution.evidence.depth.sum())
        self.right_restarts[int(exact.sum())] += 1

    def merged(self, ranks: Ranks, restarts: int, device: torch.device) -> "_Sums":
        """Returns the sums over all processes."""
        counts = [self.right_restarts[right] for right in range(restarts + 1)]
        plain = {name: value for name, value in vars(self).items() if isinstance(value, int)}
        values = ranks.sum(torch.tensor([*plain.values(), *counts], device=device)).tolist()
        right_restarts = Counter(dict(enumerate(values[len(plain) :])))
        return _Sums(**dict(zip(plain, values, strict=False)), right_restarts=right_restarts)

    def pass_at_k(self, restarts: int) -> dict[int, float]:
        """Returns the chance that one of k restarts is right, by k; mean over the puzzles."""
        counted = sorted(self.right_restarts.items())
        shares = {right: pass_at_k(restarts, right) for right, _ in counted}
        return {k: sum(shares[right][k] * n for right, n in counted) / self.puzzles for k in pass_at_k(restarts, 0)}


def judged(model: Reasoner, solution: Solution, label: Int[Tensor, " L"]) -> Record:
    """Returns the record of a puzzle with its label: that of ``eqr solve --json``, and

    - ``label``: the answer of the file, and ``right``: whether every cell of the answer is that of the label;
    - ``sure``: whether more restarts are unlikely to change the answer (``enough_restarts``).
    """
    return as_record(model.task, solution) | {
        "label": model.task.as_json(label),
        "right": torch.equal(solution.answer, label),
        "sure": enough_restarts(solution.evidence, model.calibration),
    }


def evaluate(
    model: Reasoner,
    puzzles: Labelled,
    config: SolveConfig | None = None,
    *,
    model_name: str = "model",
    data_name: str = "puzzles",
    compile: Compile = False,
    progress: Callable[[int, int], None] = lambda done, right: None,
    on_record: Callable[[int, Record], None] | None = None,
    ranks: Ranks = Ranks(),  # noqa: B008 - frozen
) -> Report:
    """Solves all ``puzzles`` and compares the solutions with the labels; returns the figures that ``eqr eval`` prints.

    Args:
        model: A trained reasoner.
        puzzles: A path, a pair of arrays (questions, answers) of ids (B, L), or a set of puzzles.
        config: How much compute each puzzle gets.
        model_name: Name of the model in the report.
        data_name: Name of the puzzles in the report.
        compile: That of ``solve_stream``; its set-up is not part of the seconds.
        progress: Called with the number of puzzles done, and the number right, so far.
        on_record: Called with the number, from 0, and the record of each puzzle that this process solves.
        ranks: The processes that share the work; each returns the report on all puzzles.

    Raises InputError if the puzzles cannot be read or are of another task.
    """
    config, puzzles = (config or SolveConfig()).completed(model.settings), labelled(puzzles, model.task)
    model, device = model.for_task(puzzles.task), model.answer_head.device
    config = replace(config, rows=config.rows or rows_under_way(device))
    fast = fastest(model, compile, config.bf16).fast
    batch, sums, threads = puzzles.batch(), _Sums(), torch.get_num_threads()
    inputs, labels = batch.inputs[ranks.rank :: ranks.size], batch.labels[ranks.rank :: ranks.size]
    if fast:  # compiles now, so that ``seconds`` does not include it
        next(solve_stream(model, batch.inputs[:1], replace(config, depth=1, breadth=1, views=1), compile=compile))
    ranks.wait()
    started = time.perf_counter()
    for solution, label in zip(solve_stream(model, inputs, config, compile=compile), labels, strict=True):
        if on_record:
            on_record(ranks.rank + sums.puzzles * ranks.size, judged(model, solution, label))
        sums.add(solution, model.task.layout.to_find(solution.evidence.puzzle), label)
        progress(sums.puzzles * ranks.size, sums.exact * ranks.size)
    sums = sums.merged(ranks, config.starts, device)
    seconds = time.perf_counter() - started
    updates = sums.segments * model.config.updates_per_segment / sums.puzzles
    return Report(
        model=model_name,
        data=data_name,
        puzzles=sums.puzzles,
        config=config,
        thresholds=config.thresholds(model.calibration),
        exact_accuracy=sums.exact / sums.puzzles,
        valid_accuracy=sums.valid / sums.puzzles if model.task.has_rules else None,
        token_accuracy=sums.right_blanks / max(1, sums.blanks),
        any_correct=1 - sums.right_restarts[0] / sums.puzzles,
        # If the breadth depends on the outcome, the estimator is biased.
        pass_at_k={} if config.adaptive else sums.pass_at_k(config.starts),
        converged=sums.converged / sums.puzzles,
        halted=sums.halted / sums.puzzles,
        restarts_per_puzzle=sums.restarts / sums.puzzles,
        updates_per_puzzle=updates,
        layer_evals_per_puzzle=updates * model.calls_per_update * model.config.layers,
        seconds=seconds,
        puzzles_per_second=sums.puzzles / seconds,
        processes=ranks.size,
        threads=threads,
        compiled=fast,
        device=str(device),
        torch=torch.__version__,
        eqr_version=version(DISTRIBUTION),
    )
