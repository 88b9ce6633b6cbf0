"""Thresholds and settings are measured, chosen by one rule, kept with the model, and used."""

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from alike import eqr as typed

import eqr
from eqr.engine import SolveConfig
from eqr.engine.policy.halting import HALTING, UNCALIBRATED
from eqr.errors import InputError
from eqr.measure.calibrate import (
    RUNS,
    Calibrated,
    _first_precise,
    _strictest,
    best_of,
    calibrate,
    candidates,
)
from eqr.measure.report import Report
from eqr.storage.checkpoint import load, save, save_calibration, save_settings
from eqr.tasks import task_named
from eqr.types import Calibration, Settings

FAST = ("--no-compile", "--threads", "1")
CALIBRATION = Calibration(
    delta=1.0, tol=0.01, precision=0.999, delta_rows=100, tol_rows=100, puzzles=100, data="x", depth=24, window=3
)


def report(exact: float, updates: float, **setting: Any) -> Report:
    """A report with these figures on a run with these settings."""
    return Report(
        model="model",
        data="puzzles",
        puzzles=1000,
        config=SolveConfig(**{**asdict(Settings()), **setting}),
        thresholds=UNCALIBRATED,
        exact_accuracy=exact,
        valid_accuracy=None,
        token_accuracy=1.0,
        any_correct=1.0,
        pass_at_k={},
        converged=1.0,
        halted=1.0,
        restarts_per_puzzle=1.0,
        updates_per_puzzle=updates,
        layer_evals_per_puzzle=updates,
        seconds=1.0,
        puzzles_per_second=1.0,
        processes=1,
        threads=1,
        compiled=False,
        device="cpu",
        torch="",
        eqr_version="",
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("calibrate") / "data.csv"
    assert typed("generate", "sudoku4", "--count", "150", "--out", str(path)).returncode == 0
    return path


@pytest.fixture
def folder(tiny_run: Path, tmp_path: Path) -> Path:
    shutil.copytree(tiny_run, tmp_path / "model")
    return tmp_path / "model"


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_most_permissive_threshold_that_stops_right_rows_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 0 is stopped wrong below 2, too early below 4 is row 1; from 4 on all is well."""
    monkeypatch.setattr("eqr.measure.calibrate.LEAST", 2)
    score = torch.tensor([[0.0, 2.0, 2.0], [3.0, 4.0, 9.0], [5.0, 6.0, 7.0], [8.0, 8.0, 8.0]])
    correct = torch.tensor([[False] * 3, [False, False, True], [True] * 3, [True] * 3])
    thresholds = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 20.0]
    assert _first_precise(thresholds, score, correct, precision=0.99) == (4.0, 3)
    assert _strictest(thresholds, score, 3) == 5.0
    assert _strictest(thresholds, score.index_fill(1, torch.tensor([0]), torch.nan), 3) == 5.0
    assert _first_precise(thresholds, score, correct, precision=0.5) == (0.0, 4)
    assert _first_precise(thresholds, score, ~correct, precision=0.99) == (None, 0)
    monkeypatch.setattr("eqr.measure.calibrate.LEAST", 4)
    assert _first_precise(thresholds, score, correct, precision=0.99) == (None, 0)


def test_the_highest_accuracy_is_chosen_and_then_the_fewest_updates() -> None:
    residual = report(0.86, 68)
    learned = report(0.85, 40, halt="learned")
    short, long = (report(0.93, updates, halt="learned", suppose=hold) for hold, updates in ((3, 51), (6, 60)))
    assert best_of([residual, learned]) is residual  # fewer updates do not make up for a puzzle
    assert best_of([residual, learned, long, short]) is short
    assert best_of([residual, learned, short, long]) is short
    more = replace(short, config=replace(short.config, breadth="auto:32"), updates_per_puzzle=83.0)
    assert best_of([residual, short, more]) is short  # more starts that solve no more are not kept
    more = replace(more, exact_accuracy=0.931)
    assert best_of([residual, short, more]) is more
    measured = Calibrated(calibration=CALIBRATION, tried=(residual, short, more))
    assert measured.settings == Settings(halt="learned", suppose=3, breadth="auto:32")
    assert residual.config.settings == Settings()


def test_the_halting_head_is_tried_where_a_threshold_was_found_and_suppositions_where_clues_are_fixed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(HALTING, "calm", lambda rows: rows.depth > 2)  # a plugin's rule is not tried
    sudoku, maze = task_named("sudoku").layout, task_named("maze9").layout
    assert candidates(sudoku, replace(CALIBRATION, delta=None)) == (Settings(),)
    assert candidates(maze, CALIBRATION) == (Settings(), Settings(halt="learned"))
    assert candidates(sudoku, CALIBRATION) == (
        Settings(),
        *(Settings(halt="learned", suppose=hold) for hold in (0, 3, 4, 6)),
        Settings(halt="learned", suppose=3, guesses=4),
        Settings(halt="learned", suppose=2, guesses=6),
    )


def test_thresholds_and_settings_are_written_beside_the_weights_and_used(folder: Path, data: Path) -> None:
    before = json.loads((folder / "config.json").read_text())
    done = typed("calibrate", str(folder), "--data", str(data), "--depth", "4", *FAST)
    assert done.returncode == 0, done.stderr
    calibration, config = (json.loads((folder / f"{name}.json").read_text()) for name in ("calibration", "config"))
    assert calibration["puzzles"] == 150
    assert calibration["delta_rows"] >= 100
    threshold = f"halting logit above {calibration['delta']:.4g}: stops {calibration['delta_rows']} of 150 rows"
    assert threshold in done.stdout
    model = load(folder)
    assert model.calibration is not None
    assert model.calibration.delta == calibration["delta"]
    assert config.pop("solve") == asdict(eqr.load(folder).settings)
    assert config == before
    settings = model.settings
    assert settings.halt == "learned"  # at depth 4 hardly a row comes to rest, but the head ends most of them
    supposing = f"suppose {settings.suppose}, guesses {settings.guesses}"
    said = f"written to {folder}: depth {settings.depth}, halt {settings.halt}, {supposing}, breadth {settings.breadth}"
    assert done.stdout.splitlines()[-1] == said
    (chosen,) = re.findall(r"\* (halt .*?) *│", done.stdout)
    assert chosen.startswith(f"halt {settings.halt}")
    used = typed("eval", "--model", str(folder), "--data", str(data), "--depth", "4", "--json", "-", *FAST)
    figures = json.loads(used.stdout)
    assert {name: figures[name] for name in asdict(settings)} == asdict(settings)
    assert (figures["protocol"], figures["delta"]) == ("best", calibration["delta"])
    save(model, folder)  # other weights, perhaps
    assert (load(folder).calibration, load(folder).settings) == (None, None)


def test_every_setting_is_measured_with_the_new_thresholds_and_the_best_one_with_more_starts_and_segments(
    folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eqr.measure.calibrate.thresholds", lambda *_, **__: CALIBRATION)
    accuracy = {"residual": 0.5, "learned": 0.7}, {0: 0.0, 2: 0.1, 3: 0.1, 4: 0.2, 6: 0.2}, {2: 0.01, 4: 0.09, 6: 0.0}

    def evaluate(model: eqr.Reasoner, puzzles: object, config: SolveConfig, **_: object) -> Report:
        assert model.calibration == CALIBRATION
        chosen = config.halting.name, config.suppose or 0, config.guesses or 2
        exact = sum(of[choice] for of, choice in zip(accuracy, chosen, strict=True)) + 0.05 * config.adaptive
        exact += 0.02 * (config.segments >= 128)
        tried = dict(zip(("halt", "suppose", "guesses"), chosen, strict=True))
        return report(exact, 100.0 - chosen[1], breadth=config.breadth, depth=config.depth, **tried)

    monkeypatch.setattr("eqr.measure.calibrate.evaluate", evaluate)
    done = typed("calibrate", str(folder), "--data", str(data), "--breadth", "8", "--json", "-", *FAST)
    told = json.loads(done.stdout)
    assert [[tried[name] for name in asdict(Settings())] for tried in told["tried"]] == [
        [64, "residual", 0, 2, 1],
        *([64, "learned", hold, 2, 1] for hold in (0, 3, 4, 6)),
        *([64, "learned", hold, guesses, 1] for hold, guesses in ((3, 4), (2, 6))),
        *([depth, "learned", 6, 2, "auto:8"] for depth in (64, 128, 256)),
    ]
    assert [tried["chosen"] for tried in told["tried"]] == [False] * 8 + [True, False]
    best = {"depth": 128, "halt": "learned", "suppose": 6, "guesses": 2, "breadth": "auto:8"}
    assert told["solve"] == best == asdict(load(folder).settings)
    assert told["calibration"] == asdict(CALIBRATION) == asdict(load(folder).calibration)
    done = typed("calibrate", str(folder), "--data", str(data), "--breadth", "1", "--json", "-", *FAST)
    assert json.loads(done.stdout)["solve"] == best | {"breadth": 1}


def test_no_settings_are_tried_that_a_model_may_not_have(
    folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eqr.measure.calibrate.thresholds", lambda *_, **__: CALIBRATION)
    monkeypatch.setattr(
        "eqr.measure.calibrate.evaluate",
        lambda *_, **kept: report(0.1 * _[2].segments / 4096, 1.0, depth=_[2].segments, breadth=_[2].breadth),
    )
    done = typed("calibrate", str(folder), "--data", str(data), "--depth", "2048", "--json", "-", *FAST)
    assert json.loads(done.stdout)["solve"]["depth"] == load(folder).settings.depth == 4096
    before = (folder / "config.json").read_text()
    with pytest.raises(InputError, match="depth is 4097, a model may ask for 4096 at most"):
        save_settings(Settings(depth=4097), folder)
    assert (folder / "config.json").read_text() == before


def test_few_puzzles_replace_no_thresholds(folder: Path, data: Path) -> None:
    save_calibration(CALIBRATION, folder)
    before = content(folder)
    done = typed("calibrate", str(folder), "--data", str(data), "--limit", "5", *FAST)
    assert done.returncode == 2
    assert "5 puzzles are too few for thresholds, which need 100, and" in done.stderr
    assert "has those of 100 puzzles: give more puzzles, or delete its calibration.json first" in done.stderr
    assert content(folder) == before


def test_a_bundled_model_is_not_changed(data: Path) -> None:
    done = typed("calibrate", "sudoku", "--data", str(data), *FAST)
    assert done.returncode == 2
    assert "sudoku is a model of the package, which nothing may change: copy it with `eqr push" in done.stderr


def test_few_puzzles_give_no_thresholds_and_the_residual_alone_is_tried(folder: Path, data: Path) -> None:
    file = folder.parent / "figures.json"
    limited = ("--data", str(data), "--limit", "99", "--depth", "4", "--json", str(file))
    done = typed("calibrate", str(folder), *limited, *FAST)
    assert "99 puzzles are too few for thresholds, which need 100: only halting by residual was tried" in done.stdout
    told = json.loads(file.read_text())
    assert {tried["halt"] for tried in told["tried"]} == {"residual"}
    assert (told["calibration"]["delta"], told["calibration"]["tol"]) == (None, None)
    assert load(folder).settings == Settings(**told["solve"])


def test_puzzles_that_are_all_solved_are_said_to_tell_little(folder: Path, data: Path) -> None:
    done = typed("calibrate", str(folder), "--data", str(data), "--depth", "16", *FAST)
    assert "one start solves every puzzle, so more starts were not tried: puzzles on which the model fails" in (
        done.stdout
    )
    assert "auto:32" not in done.stdout
    assert load(folder).settings.breadth == 1


@pytest.mark.parametrize("at", range(1, 4))
def test_an_interrupt_leaves_the_folder_as_it_was(
    folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    assert typed("calibrate", str(folder), "--data", str(data), "--limit", "20", *FAST).returncode == 0
    before, calls = content(folder), 0

    def interrupted(*given: Any, **options: Any) -> Report:
        nonlocal calls
        calls += 1
        if calls == at:
            raise KeyboardInterrupt
        return eqr.evaluate(*given, **options)

    monkeypatch.setattr("eqr.measure.calibrate.evaluate", interrupted)
    monkeypatch.setattr("eqr.measure.calibrate.thresholds", lambda *_, **__: CALIBRATION)
    assert typed("calibrate", str(folder), "--data", str(data), "--limit", "20", *FAST).returncode == 130
    assert calls == at
    assert content(folder) == before


@pytest.mark.parametrize("calibrated", [False, True])
def test_thresholds_and_settings_are_written_both_or_neither(
    folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch, calibrated: bool
) -> None:
    few = ("calibrate", str(folder), "--data", str(data), "--depth", "4", *FAST)
    if calibrated:
        assert typed(*few, "--limit", "30").returncode == 0
    before = content(folder)

    def full(settings: Settings, folder: Path) -> None:
        assert content(folder).get("calibration.json") != before.get("calibration.json")
        raise InputError(f"cannot write {folder}: no space left")

    monkeypatch.setattr("eqr.commands.calibrate.save_settings", full)
    done = typed(*few)
    assert (done.returncode, done.stderr) == (2, f"eqr: cannot write {folder}: no space left\n")
    assert content(folder) == before


def test_a_folder_that_cannot_be_written_is_refused_before_anything_runs(
    folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    able: Callable[..., bool] = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != folder and able(path, mode))
    done = typed("calibrate", str(folder), "--data", "missing.csv", *FAST)
    assert done.returncode == 2
    assert done.stderr == f"eqr: {folder} is not writable: copy the model to a folder of your own first\n"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--breadth", "0"), "breadth is 0: it must be 1 to 4096"),
        (("--depth", "2"), "depth 2 is less than the 3 segments of a window: give more"),
        (("--depth", "4097"), "depth is 4097: a model's own may be 4096 at most, give less"),
        (("--breadth", "4097"), "breadth is 4097: it must be 1 to 4096"),
        (("--json", "nowhere/x.json"), "--json nowhere/x.json: the folder does not exist, create it first"),
    ],
)
def test_options_that_mean_nothing_are_refused(folder: Path, data: Path, options: tuple[str, ...], said: str) -> None:
    before = content(folder)
    done = typed("calibrate", str(folder), "--data", str(data), *options, *FAST)
    assert (done.returncode, done.stderr) == (2, f"eqr: {said}\n")
    assert content(folder) == before


def test_the_progress_of_all_runs_adds_up_and_the_model_stays_as_it_was(folder: Path, data: Path) -> None:
    model, told = load(folder), []
    puzzles = eqr.data.files.read_labelled(str(data), model.task, 120)
    calibrate(model, puzzles, depth=4, progress=lambda amount, text: told.append((amount, text)))
    assert 6 * 120 <= sum(amount for amount, _ in told) <= RUNS * 120  # all, or all but more starts
    assert told[0] == (1, "thresholds, at full depth")
    assert any(re.fullmatch(r"halt residual, depth 4: \d+/120 exact", text) for _, text in told)
    assert (model.calibration, model.settings) == (None, None)
