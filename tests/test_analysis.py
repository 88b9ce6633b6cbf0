"""What is said of attractors, against definitions on small cases, and ``eqr analyse`` from the command line."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.autograd.functional import jacobian

from eqr.analysis import explore, residual_depth, spectral_radius
from eqr.analysis.basins import mode_of, periods
from eqr.analysis.states import settle
from eqr.analysis.writing import Written
from eqr.cli import main
from eqr.data.files import collect
from eqr.engine import SolveConfig, evidence_stream
from eqr.model import ModelConfig, Reasoner
from eqr.random import Streams
from eqr.storage.checkpoint import load
from eqr.tasks import task_named

TASK = task_named("sudoku4")


@pytest.fixture
def boards() -> torch.Tensor:
    return collect(TASK, TASK.generate(seed=3), 3).batch().inputs


@pytest.mark.parametrize("block", ["relation", "attention"])
def test_the_spectral_radius_is_that_of_the_dense_jacobian(block: str, boards: torch.Tensor) -> None:
    config = ModelConfig(task="sudoku4", block=block, channels=4 if block == "relation" else 8, heads=2)
    model = Reasoner(config, torch.Generator().manual_seed(1))
    z, x = model.init(Streams.numbered(0, range(3))), model.embed(boards)
    found = spectral_radius(model, boards, z, burn_in=100, measured=600)
    for row in range(3):
        dense = jacobian(lambda one, row=row: model.update(one, x[row : row + 1]), z[row : row + 1])
        size = z[row].numel()
        radius = float(torch.linalg.eigvals(dense.reshape(size, size)).abs().max())
        assert float(found[row]) == pytest.approx(radius, rel=0.02)


def test_end_states_are_those_of_the_engine(tiny_run: Path, boards: torch.Tensor) -> None:
    model, config = load(tiny_run), SolveConfig(depth=6, halt="fixed", seed=4)
    ends = settle(model, boards, config)
    for row, found in enumerate(evidence_stream(model, boards, config, record=True)):
        assert torch.equal(ends.answers[row], found.answers[0])
        torch.testing.assert_close(ends.residuals[row], found.histories[0].residual, rtol=1e-3, atol=1e-6)


def test_ways_to_end_are_told_apart_by_recurrence() -> None:
    lags = torch.arange(1, 13)
    cycle = (2 - 2 * torch.cos(2 * math.pi * lags / 4)).sqrt()  # on a circle, back after four updates
    walk = lags.sqrt()
    still = torch.full((12,), 1e-6)
    recurrence = torch.stack([still, cycle, walk])
    stays = torch.tensor([True, True, True])
    assert periods(recurrence, recurrence[:, 0], stays).tolist() == [1, 4, 0]
    # What looks like a return but keeps halving is a spiral into a fixed point, not yet there.
    assert periods(cycle.unsqueeze(0), cycle[:1] / 4, stays[:1]).tolist() == [0]
    # A slow one counts, unless it ends elsewhere.
    assert periods(walk.expand(2, -1), torch.full((2,), 1e-6), torch.tensor([True, False])).tolist() == [1, 0]


def test_landscapes_are_named_by_the_share_of_right_starts() -> None:
    def mode(right: int, rest_wrong: int) -> str:
        period = torch.cat([torch.ones(right + rest_wrong), torch.zeros(20 - right - rest_wrong)]).long()
        return mode_of(torch.arange(20) < right, period)

    assert [mode(0, 20), mode(10, 10), mode(10, 0), mode(20, 0)] == ["a", "b", "c", "d"]


def test_residual_quartiles_keep_right_and_wrong_rows_apart() -> None:
    residual, right = torch.rand(40, 5, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 3 == 0
    found = residual_depth(residual, right)
    np.testing.assert_allclose(found.solved[1], residual[right].median(0).values, rtol=0.2)
    assert bool((found.unsolved[0] <= found.unsolved[2]).all())
    assert (found.solved_rows, found.unsolved_rows) == (14, 26)


def test_a_solved_puzzle_has_one_broad_basin(tiny_run: Path, boards: torch.Tensor) -> None:
    basins, ends = explore(load(tiny_run), boards[0], None, 12, SolveConfig(depth=16))
    assert basins.mode == "d"
    assert sum(basin.mass for basin in basins.basins) == pytest.approx(1)
    assert basins.basins[0].right
    assert len(ends.states) == 12


@pytest.mark.slow
def test_the_command_writes_figures_their_numbers_and_a_summary(tmp_path: Path, tiny_run: Path) -> None:
    data, out = tmp_path / "p.csv", tmp_path / "out"
    main(["generate", "sudoku4", "--count", "4", "--seed", "9", "--out", str(data)])
    sizes = ["--depth", "4", "--breadth", "2", "--starts", "6", "--threads", "1"]
    main(["analyse", "--model", str(tiny_run), "--data", str(data), "--out", str(out), *sizes])
    for name in ("residual_depth", "correlation_budgets", "correlation_rows", "steps", "path_independence", "spectrum"):
        assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (out / f"{name}.svg").read_text()
        assert len(list(csv.DictReader((out / f"{name}.csv").read_text().splitlines()))) > 0
    assert json.loads((out / "summary.json").read_text())
    alone = tmp_path / "alone"
    main(["analyse", "--model", str(tiny_run), "--data", str(data), "--puzzle", "2", "--out", str(alone), *sizes])
    assert (alone / "trajectory_2.gif").read_bytes().startswith(b"GIF8")
    assert len(list(csv.DictReader((alone / "basins_2.csv").read_text().splitlines()))) == 6


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "no puzzles are given"),
        (["--puzzle", "3"], "is the number of a puzzle in --data"),
        (["--data", "x.csv", "--breadth", "1"], "at least 2 are needed"),
        (["--data", "x.csv", "--puzzle", "0"], "--puzzle 0: puzzles count from 1"),
    ],
)
def test_what_cannot_be_analysed_is_said_in_a_sentence(
    options: list[str], said: str, tiny_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["analyse", "--model", str(tiny_run), *options])
    assert stop.value.code == 2
    assert said in capsys.readouterr().err


def test_a_figure_that_means_nothing_is_a_dash(tmp_path: Path) -> None:
    written = Written(folder=tmp_path, title="few rows")
    written.headlines["residuals"] = {"median_residual_wrong": math.nan, "auroc": 0.5, "rows": 3}
    columns = written.summarise({}).columns
    assert list(columns[2].cells) == ["-", "0.5", "3"]
