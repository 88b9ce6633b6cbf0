"""Thresholds are measured, kept with the model, and used."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from eqr.cli import main
from eqr.measure.calibrate import _first_precise
from eqr.storage.checkpoint import load, save


def test_the_most_permissive_threshold_that_stops_right_rows_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 0 is stopped wrong below 2, too early below 4 is row 1; from 4 on all is well."""
    monkeypatch.setattr("eqr.measure.calibrate.LEAST", 2)
    score = torch.tensor([[0.0, 2.0, 2.0], [3.0, 4.0, 9.0], [5.0, 6.0, 7.0], [8.0, 8.0, 8.0]])
    correct = torch.tensor([[False] * 3, [False, False, True], [True] * 3, [True] * 3])
    thresholds = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 20.0]
    assert _first_precise(thresholds, score, correct, precision=0.99) == (4.0, 3)
    assert _first_precise(thresholds, score, correct, precision=0.5) == (0.0, 4)
    assert _first_precise(thresholds, score, ~correct, precision=0.99) == (None, 0)
    monkeypatch.setattr("eqr.measure.calibrate.LEAST", 4)
    assert _first_precise(thresholds, score, correct, precision=0.99) == (None, 0)


def test_calibration_is_written_beside_the_model_and_loaded_with_it(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_run, folder)
    main(["generate", "sudoku4", "--count", "150", "--out", str(tmp_path / "data.csv")])
    main(["calibrate", str(folder), "--data", str(tmp_path / "data.csv"), "--depth", "16", "--no-compile"])
    said = capsys.readouterr().out
    written = json.loads((folder / "calibration.json").read_text())
    assert written["puzzles"] == 150
    assert written["delta_rows"] >= 100
    assert f"halting logit above {written['delta']:.4g}: stops {written['delta_rows']} of 150 rows" in said
    calibration = load(folder).calibration
    assert calibration is not None
    assert calibration.delta == written["delta"]
    assert load(tiny_run).calibration is None
    save(load(folder), folder)  # other weights, perhaps
    assert load(folder).calibration is None
