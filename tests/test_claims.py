"""``eqr claims`` from the command line, on 4x4 boards and with trainings of a few steps."""

import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from eqr.analysis import trajectory
from eqr.analysis.traces import turned_wrong
from eqr.cli import main
from eqr.data.files import collect
from eqr.engine import SolveConfig
from eqr.paper.claims import CLAIMS, trained_depth
from eqr.paper.claims.base import FAILS, HOLDS, UNDECIDED, Gain, Measured, gain
from eqr.paper.claims.report import keep, kept, page
from eqr.paper.claims.residual import verdict_of
from eqr.paper.claims.training import CONSTRUCTION, SHAPING, construction
from eqr.paper.presets import SMALL, changed
from eqr.storage.checkpoint import WEIGHTS, load
from eqr.training.run import HELD_OUT_STREAM


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, config in SMALL.items():
        monkeypatch.setitem(SMALL, name, changed(config, pool=40, compile=False, evaluated=2))
    monkeypatch.setattr("eqr.paper.claims.attractors.MANY", 4)
    monkeypatch.setattr("eqr.paper.claims.scaling.NOISES", (0.1, 0.5))
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def claims(folder: Path, model: Path, *options: str) -> None:
    settings = {"model": str(model), "limit": "4", "seeds": "1", "train-steps": "2", "boards": "2", "threads": "1"}
    given = dict(zip(options[::2], options[1::2], strict=True))
    said = {**{f"--{name}": value for name, value in settings.items()}, "--out": str(folder), **given}
    main(["claims", *(word for option in said.items() for word in option)])


def test_what_does_not_need_training_is_measured_and_reported(tmp_path: Path, tiny_run: Path) -> None:
    claims(tmp_path, tiny_run, "--only", "3,5,8,9,13,14")
    report = (tmp_path / "claims.md").read_text()
    for number in (3, 5, 8, 9, 13, 14):
        result = kept(number, tmp_path)
        assert result is not None
        assert result.why in report
    assert "| 1 | The construction | not run: out of time |" in report
    assert (tmp_path / "images" / "claim_03.png").read_bytes().startswith(b"\x89PNG")
    assert "![Depth beyond training](images/claim_03.png)" in report
    depths = kept(3, tmp_path)
    assert depths is not None
    assert "From depth 16 (the longest it was trained with) to 128" in depths.why  # what `train` wrote into its log
    assert depths.rows[-1]["exact %"] == 100  # what the tiny model is known to reach on these boards
    assert depths.rows[-1]["mean residual"] < depths.rows[0]["mean residual"]


@pytest.mark.slow
def test_training_claims_train_what_they_compare_once(
    tmp_path: Path, tiny_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    claims(tmp_path, tiny_run, "--only", "2")
    assert capsys.readouterr().out.count("training small_") == len(SHAPING)
    claims(tmp_path, tiny_run, "--only", "2,4,6,7")
    said = capsys.readouterr().out
    assert "training small_" not in said
    assert all(f"claim {number}" in said for number in (4, 6, 7))
    assert "claim 2" not in said  # kept
    compared = json.loads((tmp_path / "06.json").read_text())["rows"]
    assert {row["model"] for row in compared} == {"large", "TRM", "EqR"}
    assert json.loads((tmp_path / "07.json").read_text())["rows"][0]["variant"] == "TRM"


def test_what_was_measured_with_other_settings_is_measured_anew_and_each_claim_tells_its_own(
    tmp_path: Path, tiny_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    claims(tmp_path, tiny_run, "--only", "3,14")
    claims(tmp_path, tiny_run, "--only", "3,14", "--seeds", "2")  # neither depends on trainings
    assert "claim 3," not in capsys.readouterr().out.split("report in")[1]
    claims(tmp_path, tiny_run, "--only", "3", "--limit", "3")
    assert "claim 3," in capsys.readouterr().out
    (three, fourteen) = (kept(number, tmp_path) for number in (3, 14))
    assert three is not None
    assert fourteen is not None
    assert three.settings["puzzles"].startswith("the first 3 of generated puzzles")
    assert fourteen.settings["puzzles"].startswith("the first 4 of generated puzzles")
    report = (tmp_path / "claims.md").read_text()
    assert all(f"puzzles: {result.settings['puzzles']}." in report for result in (three, fourteen))


def test_other_puzzles_and_other_weights_of_the_same_name_are_other_settings(
    tmp_path: Path, tiny_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "again" / tiny_run.name
    shutil.copytree(tiny_run, model)
    rows = ["question,answer", "12..34..........,1234341221434321", ".2..34..........,1234341221434321"]
    data = tmp_path / "data.csv"
    measured = []
    for change in ("first", "puzzles", "weights", "none"):
        data.write_text("\n".join([rows[0], *(rows[:0:-1] if change == "puzzles" else rows[1:])]) + "\n")
        if change == "weights":
            tensors = load_file(model / WEIGHTS)
            save_file({name: value * 0.99 for name, value in tensors.items()}, model / WEIGHTS)
        capsys.readouterr()
        claims(tmp_path, model, "--only", "14", "--data", str(data))
        measured.append("claim 14," in capsys.readouterr().out)
    assert measured == [True, True, True, False]


def test_a_shorter_training_goes_on_to_the_steps_asked_for(tmp_path: Path, tiny_run: Path) -> None:
    claims(tmp_path, tiny_run, "--only", "2")
    (tmp_path / "02.json").unlink()
    claims(tmp_path, tiny_run, "--only", "2", "--train-steps", "3")
    log = (tmp_path / "runs" / "small_trm-0" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in log if '"start"' in line] == [0, 2]
    assert json.loads(log[-1])["step"] == 3


def test_a_longer_training_is_not_taken_for_a_shorter_one(
    tmp_path: Path, tiny_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    claims(tmp_path, tiny_run, "--only", "2")
    with pytest.raises(SystemExit) as stop:
        claims(tmp_path, tiny_run, "--only", "2", "--train-steps", "1")
    assert stop.value.code == 2
    assert "small_trm-0 holds a training of 2 steps that is not the one needed (1 steps" in capsys.readouterr().err


def test_the_report_and_its_pictures_go_where_they_are_asked_for(tmp_path: Path, tiny_run: Path) -> None:
    claims(tmp_path / "kept", tiny_run, "--only", "3", "--report", str(tmp_path / "docs" / "page.md"))
    assert "(images/claim_03.png)" in (tmp_path / "docs" / "page.md").read_text()
    assert (tmp_path / "docs" / "images" / "claim_03.png").exists()
    assert not (tmp_path / "kept" / "claims.md").exists()


def test_the_depth_of_training_is_that_of_the_last_start_in_the_log(tmp_path: Path) -> None:
    assert trained_depth(tmp_path) is None
    starts = [{"event": "start", "config": {"max_segments": 16}}, {"event": "start", "run": {"max_segments": 32}}]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in [*starts, {"event": "eval"}]))
    assert trained_depth(tmp_path) == 32


def test_a_gain_is_sure_when_it_is_more_than_two_standard_errors() -> None:
    sure = gain(torch.tensor([1.0] * 9 + [0.0] * 91))
    assert sure.points == pytest.approx(9)
    assert sure.sure
    chance = gain(torch.tensor([1.0, 1.0, -1.0] + [0.0] * 97))
    assert chance.points == pytest.approx(1)
    assert not chance.sure


def test_right_cells_that_turn_wrong_are_counted_by_segment() -> None:
    right = torch.tensor([[True, True, False], [False, True, True], [False, False, True]])
    assert turned_wrong(right).tolist() == [0, 1, 1]
    assert turned_wrong(right[:1]).tolist() == [0]


def test_the_claim_of_the_way_to_a_solution_counts_what_analyse_counts(tmp_path: Path, tiny_run: Path) -> None:
    claims(tmp_path, tiny_run, "--only", "14", "--limit", "6")
    found, model = kept(14, tmp_path), load(tiny_run)
    assert found is not None
    assert len(found.rows) == 6  # the tiny model solves all of them
    batch = collect(model.task, model.task.generate(HELD_OUT_STREAM + 2), 6).batch()
    for row, puzzle, label in zip(found.rows, batch.inputs, batch.labels, strict=True):
        path = trajectory(model, puzzle, label, SolveConfig(depth=128))
        assert row["right cells that turned wrong"] == path.headline()["right_cells_that_turned_wrong"]
        assert row["segments to the solution"] == path.last_change


def test_only_trm_may_lose_to_the_vote() -> None:
    better, worse = Gain(points=1.0, error=0.1), Gain(points=-1.0, error=0.1)
    assert verdict_of({"large": better, "EqR": better, "TRM": worse}) == HOLDS
    assert verdict_of({"large": better, "EqR": better, "TRM": better}) == UNDECIDED
    assert verdict_of({"large": worse, "EqR": better, "TRM": better}) == FAILS


def test_a_spent_budget_leaves_the_rest_for_later(
    tmp_path: Path, tiny_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    claims(tmp_path, tiny_run, "--only", "3", "--budget", "1e-9")
    assert "out of time; the same command continues" in capsys.readouterr().out
    assert kept(3, tmp_path) is None
    claims(tmp_path, tiny_run, "--only", "3")
    assert kept(3, tmp_path) is not None


def test_verdicts_follow_the_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    def verdict(*accuracies: float) -> Measured:
        by_variant = dict(zip(CONSTRUCTION, accuracies, strict=True))
        table = {name: [dict.fromkeys((1, 4, 16, 64), share)] for name, share in by_variant.items()}
        monkeypatch.setattr("eqr.paper.claims.training.compared", lambda lab, variants: ([], table))
        return construction(None)  # type: ignore[arg-type]

    assert verdict(10, 20, 30, 40, 50).verdict == HOLDS
    assert verdict(50, 40, 30, 20, 10).verdict == FAILS
    mixed = verdict(10, 90, 30, 40, 50)
    assert mixed.verdict == UNDECIDED
    assert "Not as in the paper: weight-tied 90.0% -> + segments 30.0%" in mixed.why


def test_all_fourteen_claims_are_listed() -> None:
    assert [claim.number for claim in CLAIMS] == list(range(1, 15))
    assert page(CLAIMS, {}, {}, "settings").count("**Not run**") == 14


def test_unknown_claims_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["claims", "--out", str(tmp_path), "--only", "3,99"])
    assert stop.value.code == 2
    assert "--only 3,99: give numbers of claims, 1 to 14" in capsys.readouterr().err


def test_a_figure_that_does_not_exist_is_null_in_the_file_and_nan_again_when_read(tmp_path: Path) -> None:
    keep(Measured(verdict=HOLDS, why="", rows=[{"budget": 4, "auroc": math.nan}]), 4, tmp_path)
    assert json.loads((tmp_path / "04.json").read_text())["rows"] == [{"budget": 4, "auroc": None}]
    again = kept(4, tmp_path)
    assert again is not None
    assert again.rows[0]["budget"] == 4
    assert math.isnan(again.rows[0]["auroc"])
