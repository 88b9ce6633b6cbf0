"""``eqr claims`` from the command line, on 4x4 boards and with trainings of a few steps."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from eqr.claims import CLAIMS
from eqr.claims.base import FAILS, HOLDS, UNDECIDED, Measured
from eqr.claims.report import kept, page
from eqr.claims.training import CONSTRUCTION, SHAPING, construction
from eqr.cli import main
from eqr.presets import PRESETS


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, config in list(PRESETS.items()):
        if name.startswith("small_"):
            monkeypatch.setitem(PRESETS, name, replace(config, pool=40, compile=False, evaluated=2))
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def claims(folder: Path, model: Path, *options: str) -> None:
    settings = [
        "--model",
        str(model),
        "--limit",
        "4",
        "--seeds",
        "1",
        "--train-steps",
        "2",
        "--boards",
        "2",
        "--threads",
        "1",
    ]
    main(["claims", "--out", str(folder), *settings, *options])


def test_what_does_not_need_training_is_measured_and_reported(tmp_path: Path, tiny_run: Path) -> None:
    claims(tmp_path, tiny_run, "--only", "3,4,5,6,8,9,13,14")
    report = (tmp_path / "claims.md").read_text()
    for number in (3, 4, 5, 6, 8, 9, 13, 14):
        result = kept(number, tmp_path)
        assert result is not None
        assert result.why in report
    assert "| 1 | The construction | not run: out of time |" in report
    assert (tmp_path / "03.png").read_bytes().startswith(b"\x89PNG")
    depths = kept(3, tmp_path)
    assert depths is not None
    assert depths.rows[-1]["exact %"] == 100  # what the tiny model is known to reach on these boards
    assert depths.rows[-1]["mean residual"] < depths.rows[0]["mean residual"]


def test_training_claims_train_what_they_compare_once(
    tmp_path: Path, tiny_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    claims(tmp_path, tiny_run, "--only", "2")
    assert capsys.readouterr().out.count("training small_") == len(SHAPING)
    claims(tmp_path, tiny_run, "--only", "2,7")
    said = capsys.readouterr().out
    assert "training small_" not in said
    assert "claim 7" in said
    assert json.loads((tmp_path / "07.json").read_text())["rows"][0]["variant"] == "TRM"


def test_a_shorter_training_goes_on_to_the_steps_asked_for(tmp_path: Path, tiny_run: Path) -> None:
    claims(tmp_path, tiny_run, "--only", "2")
    (tmp_path / "02.json").unlink()
    claims(tmp_path, tiny_run, "--only", "2", "--train-steps", "3")
    log = (tmp_path / "runs" / "small_trm-0" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in log if '"start"' in line] == [0, 2]
    assert json.loads(log[-1])["step"] == 3


def test_a_spent_budget_leaves_the_rest_for_later(
    tmp_path: Path, tiny_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    claims(tmp_path, tiny_run, "--only", "3", "--budget", "1e-9")
    assert "out of time; the same command goes on" in capsys.readouterr().out
    assert kept(3, tmp_path) is None
    claims(tmp_path, tiny_run, "--only", "3")
    assert kept(3, tmp_path) is not None


def test_verdicts_follow_the_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    def verdict(*accuracies: float) -> Measured:
        by_variant = dict(zip(CONSTRUCTION, accuracies, strict=True))
        table = {name: [dict.fromkeys((1, 4, 16, 64), share)] for name, share in by_variant.items()}
        monkeypatch.setattr("eqr.claims.training.compared", lambda lab, variants: ([], table))
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
    assert "--only 3,99: numbers of claims, 1 to 14" in capsys.readouterr().err
