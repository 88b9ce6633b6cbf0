"""A smaller budget is read off the largest run exactly as it would have run."""

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from eqr.checkpoint import load
from eqr.engine import SolveConfig, gather
from eqr.model import Reasoner
from eqr.sweep import cut, halts_at
from eqr.tasks import TASKS

CONFIG = SolveConfig(depth=20, breadth=3, halt="fixed", tol=0.05, noise=0.02)


@pytest.fixture(scope="module")
def model(tiny_run: Path) -> Reasoner:
    return load(tiny_run)


@pytest.fixture(scope="module")
def puzzles() -> torch.Tensor:
    return torch.stack(
        [torch.from_numpy(p.question).long() for p in itertools.islice(TASKS["sudoku4"].generate(5), 12)]
    )


@pytest.mark.parametrize(("depth", "breadth"), [(1, 1), (2, 3), (7, 2), (20, 3)])
def test_a_cut_is_the_smaller_run(model: Reasoner, puzzles: torch.Tensor, depth: int, breadth: int) -> None:
    smaller = gather(model, puzzles, replace(CONFIG, depth=depth, breadth=breadth))
    largest = gather(model, puzzles, CONFIG, record=True)
    for puzzle, found, run in zip(puzzles, largest, smaller, strict=True):
        mine = cut(found, depth, breadth, model, puzzle, CONFIG)
        for name in ("answers", "halt_logit", "depth", "converged", "valid"):
            assert torch.equal(getattr(mine, name), getattr(run, name)), name
        torch.testing.assert_close(mine.residual, run.residual)
        torch.testing.assert_close(mine.logit_change, run.logit_change)


@pytest.mark.parametrize("halt", ["residual", "learned"])
def test_a_rule_would_have_halted_a_row_where_it_does(model: Reasoner, puzzles: torch.Tensor, halt: str) -> None:
    halted = gather(model, puzzles, replace(CONFIG, halt=halt))
    for found, run in zip(gather(model, puzzles, CONFIG, record=True), halted, strict=True):
        for history, depth in zip(found.histories, run.depth.tolist(), strict=True):
            assert (halts_at(history, halt, CONFIG.window, CONFIG.thresholds(None)) or 20) == depth
