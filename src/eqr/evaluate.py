"""Puzzles x model x SolveConfig -> Report. The only place where answers meet labels outside training."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

import torch

from eqr.data import Puzzles
from eqr.engine import SolveConfig, run
from eqr.model import Reasoner
from eqr.report import Report
from eqr.selection import SELECTION


@dataclass
class _Sums:
    puzzles: int = 0
    exact: int = 0
    blanks: int = 0
    right_blanks: int = 0
    any_correct: int = 0
    converged: int = 0
    segments: int = 0


def evaluate(
    model: Reasoner,
    puzzles: Puzzles,
    config: SolveConfig,
    model_name: str,
    data_name: str,
    progress: Callable[[int, int], None] = lambda done, right: None,
) -> Report:
    """Solve all ``puzzles`` and compare with their answers; ``progress`` is told puzzles done and right so far."""
    sums, started = _Sums(), time.perf_counter()
    chunk = max(1, config.rows // config.breadth)
    for start in range(0, len(puzzles), chunk):
        _add(sums, model, puzzles, slice(start, start + chunk), config)
        progress(sums.puzzles, sums.exact)
    seconds = time.perf_counter() - started
    updates = sums.segments * model.config.updates_per_segment / sums.puzzles
    return Report(
        model=model_name,
        data=data_name,
        puzzles=sums.puzzles,
        depth=config.depth,
        breadth=config.breadth,
        select=config.select,
        halt=config.halt,
        tol=config.tol,
        noise=config.noise,
        seed=config.seed,
        exact_accuracy=sums.exact / sums.puzzles,
        token_accuracy=sums.right_blanks / max(1, sums.blanks),
        any_correct=sums.any_correct / sums.puzzles,
        converged=sums.converged / sums.puzzles,
        updates_per_puzzle=updates,
        layer_evals_per_puzzle=updates * model.config.layers,
        seconds=seconds,
        puzzles_per_second=sums.puzzles / seconds,
        threads=torch.get_num_threads(),
        device=str(model.answer_head.device),
        torch=torch.__version__,
        eqr_version=version("eqr"),
    )


def _add(sums: _Sums, model: Reasoner, puzzles: Puzzles, part: slice, config: SolveConfig) -> None:
    batch = Puzzles(
        questions=puzzles.questions[part], answers=puzzles.answers[part], ratings=puzzles.ratings[part]
    ).batch()
    found = run(model, batch.inputs, config)
    chosen = SELECTION[config.select](found)
    every = torch.arange(len(batch.inputs))
    right = found.answers == batch.labels.unsqueeze(1)
    blank = batch.inputs == 0
    sums.puzzles += len(every)
    sums.exact += int(right[every, chosen].all(-1).sum())
    sums.blanks += int(blank.sum())
    sums.right_blanks += int((right[every, chosen] & blank).sum())
    sums.any_correct += int(right.all(-1).any(-1).sum())
    sums.converged += int(found.converged[every, chosen].sum())
    sums.segments += int(found.depth.sum())
