"""A smaller budget is read off the largest run exactly as it would have run."""

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from eqr.data.files import collect
from eqr.engine import SolveConfig, evidence_stream
from eqr.measure.sweep import cut, halts_at, settings, sweep
from eqr.model import Reasoner
from eqr.storage.checkpoint import load
from eqr.tasks import task_named
from eqr.types import Calibration

LARGEST = SolveConfig(depth=20, breadth=6, halt="fixed", tol=0.05, noise=0.02)


@pytest.fixture(scope="module")
def model(tiny_run: Path) -> Reasoner:
    return load(tiny_run)


@pytest.fixture(scope="module")
def puzzles() -> torch.Tensor:
    return torch.stack(
        [torch.from_numpy(p.question).long() for p in itertools.islice(task_named("sudoku4").generate(5), 12)]
    )


@pytest.mark.parametrize("calibrated", [False, True])
@pytest.mark.parametrize(
    "change",
    [
        {"depth": 1, "breadth": 1},
        {"depth": 2, "breadth": 3},
        {"breadth": 6},
        {"halt": "residual", "breadth": 2},
        {"halt": "learned", "depth": 3, "breadth": 2},
        {"halt": "residual", "breadth": "auto:6"},
        {"halt": "either", "depth": 5, "breadth": "auto:6"},
    ],
    ids=str,
)
def test_a_cut_is_the_smaller_run(
    model: Reasoner,
    puzzles: torch.Tensor,
    change: dict[str, object],
    calibrated: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if calibrated:
        counts = {"precision": 0.999, "delta_rows": 100, "tol_rows": 100, "puzzles": 100}
        calibration = Calibration(delta=2.0, tol=0.04, data="x", depth=20, window=3, **counts)
        monkeypatch.setattr(model, "calibration", calibration)
    smaller = replace(LARGEST, **change)
    largest = evidence_stream(model, puzzles, LARGEST, record=True)
    for puzzle, found, run in zip(puzzles, largest, evidence_stream(model, puzzles, smaller), strict=True):
        halts = [halts_at(row, model, smaller) for row in found.histories]
        mine = cut(found.histories, halts, model, puzzle, smaller)
        for name in ("answers", "halt_logit", "depth", "converged", "halted", "valid"):
            assert torch.equal(getattr(mine, name), getattr(run, name)), name
        torch.testing.assert_close(mine.residual, run.residual)
        torch.testing.assert_close(mine.logit_change, run.logit_change)


def test_every_fixed_budget_and_every_adaptive_setting_is_measured() -> None:
    found = [(s.halting.name, s.depth, s.breadth) for s in settings([4, 8], [1, 3], SolveConfig())]
    assert found[:4] == [("fixed", 4, 1), ("fixed", 4, 3), ("fixed", 8, 1), ("fixed", 8, 3)]
    assert found[4:8] == [("residual", 4, 1), ("residual", 4, "auto:3"), ("residual", 8, 1), ("residual", 8, "auto:3")]
    assert len(found) == 16


def test_a_sweep_measures_one_view(model: Reasoner) -> None:
    puzzles = collect(model.task, model.task.generate(5), 3)
    one, several = (
        sweep(model, puzzles, [4], [2], replace(LARGEST, views=views), False, lambda: None) for views in (1, 3)
    )
    assert one == several
