"""Puzzles x model x SolveConfig -> Report."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.metadata import version

import torch
from jaxtyping import Int
from torch import Tensor

from eqr.data import Puzzles
from eqr.engine import SolveConfig, gather, select
from eqr.model import Reasoner
from eqr.report import Report, pass_at_k
from eqr.runtime import can_compile
from eqr.types import Evidence


@dataclass
class _Sums:
    puzzles: int = 0
    exact: int = 0
    blanks: int = 0
    right_blanks: int = 0
    any_correct: int = 0
    converged: int = 0
    restarts: int = 0
    segments: int = 0
    pass_at: dict[int, float] = field(default_factory=dict)

    def add(self, found: Evidence, inputs: Int[Tensor, " L"], labels: Int[Tensor, " L"], rule: str) -> None:
        """Compare one puzzle's restarts, and the one chosen by ``rule``, with its label."""
        solution, right = select(found, rule), found.answers == labels
        blank, exact = inputs == 0, right.all(-1)
        self.puzzles += 1
        self.exact += int(exact[solution.restart])
        self.blanks += int(blank.sum())
        self.right_blanks += int(right[solution.restart, blank].sum())
        self.any_correct += int(exact.any())
        self.converged += solution.converged
        self.restarts += solution.restarts
        self.segments += int(found.depth.sum())
        for k, share in pass_at_k(len(exact), int(exact.sum())).items():
            self.pass_at[k] = self.pass_at.get(k, 0.0) + share


def evaluate(
    model: Reasoner,
    puzzles: Puzzles,
    config: SolveConfig,
    model_name: str,
    data_name: str,
    compile: bool = False,
    progress: Callable[[int, int], None] = lambda done, right: None,
) -> Report:
    """Solve all ``puzzles`` and compare with their answers; ``progress`` is told puzzles done and right so far."""
    compile = compile and can_compile(model.answer_head.device)
    batch, sums, threads = puzzles.batch(), _Sums(), torch.get_num_threads()
    if compile:  # set-up, not part of the time taken
        next(gather(model, batch.inputs[:1], replace(config, depth=1, breadth=1), compile))
    started = time.perf_counter()
    gathered = gather(model, batch.inputs, config, compile)
    for found, inputs, labels in zip(gathered, batch.inputs, batch.labels, strict=True):
        sums.add(found, inputs, labels, config.select)
        progress(sums.puzzles, sums.exact)
    seconds = time.perf_counter() - started
    thresholds = config.thresholds(model.calibration)
    updates = sums.segments * model.config.updates_per_segment / sums.puzzles
    return Report(
        model=model_name,
        data=data_name,
        puzzles=sums.puzzles,
        depth=config.depth,
        breadth=config.breadth,
        select=config.select,
        halt=config.halt,
        tol=thresholds.tol,
        window=config.window,
        delta=thresholds.delta,
        solver=config.solver,
        history=config.history,
        damping=config.damping,
        noise=config.noise,
        seed=config.seed,
        exact_accuracy=sums.exact / sums.puzzles,
        token_accuracy=sums.right_blanks / max(1, sums.blanks),
        any_correct=sums.any_correct / sums.puzzles,
        # With a breadth that depends on the outcome the estimator would be biased.
        pass_at_k={} if config.adaptive else {k: total / sums.puzzles for k, total in sums.pass_at.items()},
        converged=sums.converged / sums.puzzles,
        restarts_per_puzzle=sums.restarts / sums.puzzles,
        updates_per_puzzle=updates,
        layer_evals_per_puzzle=updates * model.config.layers,
        seconds=seconds,
        puzzles_per_second=sums.puzzles / seconds,
        threads=threads,
        compiled=compile,
        device=str(model.answer_head.device),
        torch=torch.__version__,
        eqr_version=version("eqr"),
    )
