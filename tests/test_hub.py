"""Models on the hub: sent and fetched by its own client, to and from a server of ours that speaks like it."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants as constants
import pytest
import torch
from alike import eqr as typed
from hub_server import Hub, serving

import eqr
from eqr.cli import main
from eqr.errors import InputError
from eqr.model import ModelConfig, Reasoner
from eqr.storage.checkpoint import PUBLISHED, save, save_calibration
from eqr.types import Calibration

PICKLE = b"\x80\x04 what loading must not touch"
SENT = ["README.md", "calibration.json", "config.json", "model.safetensors"]
CALIBRATION = Calibration(
    delta=2.0, tol=1e-3, precision=0.999, delta_rows=100, tol_rows=100, puzzles=200, data="x.csv", depth=16, window=3
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model with all that a model can have, and things that are nobody's business."""
    folder = tmp_path / "model"
    save(Reasoner(ModelConfig(task="sudoku4", channels=8)), folder)
    save_calibration(CALIBRATION, folder)
    (folder / "card.md").write_text("# a model\n")
    (folder / "state.pt").write_bytes(PICKLE)
    return folder


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub without models, to which this process and those it starts are pointed."""
    with serving(Hub("user/name")) as hub:
        cache = tmp_path / "cache"
        settings = {"HF_ENDPOINT": hub.address, "HF_HOME": str(cache), "HF_TOKEN": "right"}
        settings |= {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "0", "HF_HUB_OFFLINE": "0"}
        monkeypatch.delenv("HUGGING_FACE_HUB_TOKEN", raising=False)
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(constants, "ENDPOINT", hub.address)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.address + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache / "hub"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(cache / "token"))
        yield hub


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".pt"}


@pytest.mark.slow
def test_a_model_that_is_sent_solves_where_it_is_fetched_and_offline_afterwards(hub: Hub, folder: Path) -> None:
    sent = typed("push", "--model", str(folder), "--to", "hf:user/name")
    assert sent.returncode == 0, sent.stderr
    assert f"sent to {hub.address}/user/name/commit/{hub.branches['main']}" in sent.stdout
    assert sorted(hub.commits[hub.branches["main"]]) == sorted([*SENT, ".gitattributes"])
    solving = ("solve", "1..............2", "--json", "--depth", "2", "--model")
    command = [sys.executable, "-m", "eqr", *solving, "hf:user/name"]  # the hub's library reads its settings at start
    online = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert online.returncode == 0, online.stderr
    assert online.stderr == ""
    hub.commits.clear()
    alone = os.environ | {"HF_HUB_OFFLINE": "1"}
    offline = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=alone)
    assert offline.returncode == 0, offline.stderr
    answers = [json.loads(done.stdout)["answer"] for done in (online, offline, typed(*solving, str(folder)))]
    assert answers[0] == answers[1] == answers[2]


def test_what_is_fetched_is_the_model_and_nothing_else(hub: Hub, folder: Path) -> None:
    extra = {"state.pt": PICKLE, "pytorch_model.bin": PICKLE, "sub/config.json": b"{}", "README.md": b"# a model"}
    hub.commit(files_of(folder) | extra)
    model = eqr.load("hf:user/name")
    assert sorted(set(hub.asked)) == SENT
    assert model.calibration == CALIBRATION
    original = eqr.load(folder)
    assert all(torch.equal(value, original.state_dict()[name]) for name, value in model.state_dict().items())
    hub.asked.clear()
    eqr.load("hf:user/name")
    assert hub.asked == []  # from the cache


def test_a_fetched_model_is_sent_on_although_the_cache_is_made_of_links(hub: Hub, folder: Path, tmp_path: Path) -> None:
    hub.commit({name: data for name, data in files_of(folder).items() if name != "card.md"})
    done = typed("push", "--model", "hf:user/name", "--to", str(tmp_path / "copy"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "copy" / "config.json").read_bytes() == (folder / "config.json").read_bytes()


def test_a_file_too_large_for_a_model_is_refused_before_it_is_fetched(
    hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.commit(files_of(folder) | {"config.json": b" " * (2**20 + 1)})
    with pytest.raises(InputError, match=r"its config\.json has 1,048,577 bytes, at most 1,048,576 are fetched"):
        eqr.load("hf:user/name")
    assert not list(Path(constants.HF_HUB_CACHE).rglob("config.json"))
    monkeypatch.setitem(PUBLISHED, "model.safetensors", 1000)
    hub.commit(files_of(folder))
    with pytest.raises(InputError, match=r"its model\.safetensors has [\d,]+ bytes, at most 1,000 are fetched"):
        eqr.load("hf:user/name")


def test_a_revision_is_a_branch_or_a_commit(hub: Hub, folder: Path) -> None:
    first = hub.commit(files_of(folder))
    save(Reasoner(ModelConfig(task="sudoku4", channels=4)), folder)
    hub.commit(files_of(folder), "narrow")
    assert eqr.load("hf:user/name").config.channels == 8
    assert eqr.load("hf:user/name@narrow").config.channels == 4
    assert eqr.load(f"hf:user/name@{first}").config.channels == 8


def test_a_hub_out_of_reach_leaves_what_is_cached(hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.commit(files_of(folder))
    eqr.load("hf:user/name")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert eqr.load("hf:user/name").config.channels == 8
    with pytest.raises(InputError, match=r"hf:user/other is not in the cache, and the hub is out of reach"):
        eqr.load("hf:user/other")
    with pytest.raises(SystemExit, match="2"):
        main(["push", "--model", str(folder), "--to", "hf:user/name"])


def test_a_cache_that_cannot_be_written_is_told(hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.commit(files_of(folder))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder / "config.json" / "cache"))
    with pytest.raises(InputError, match=r"cannot be saved in the hub's cache \(Not a directory\)"):
        eqr.load("hf:user/name")


def test_new_weights_take_the_calibration_of_the_old_ones_away(hub: Hub, folder: Path) -> None:
    main(["push", "--model", str(folder), "--to", "hf:user/name", "--private"])
    assert hub.created[0]["visibility"] == "private"
    save(Reasoner(ModelConfig(task="sudoku4", channels=4)), folder)
    main(["push", "--model", str(folder), "--to", "hf:user/name"])
    assert sorted(hub.commits[hub.branches["main"]]) == [
        ".gitattributes",
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    assert eqr.load("hf:user/name").calibration is None


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("hf:user/other", "is not on the hub: correct the name"),
        ("hf:user/name@nowhere", "there is no such branch, tag or commit"),
        ("hf:name", "write hf:user/name"),
        ("hf:user/na..me", "is no name on the hub"),
        ("hf:user/name", "is not a model folder"),  # it is there, and holds something else
    ],
)
def test_what_cannot_be_fetched_is_told_in_one_sentence(
    name: str, said: str, hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.commit({"README.md": b"# no model"})
    with pytest.raises(SystemExit, match="2"):
        main(["solve", "." * 16, "--model", name])
    (told,) = capsys.readouterr().err.splitlines()
    assert said in told


@pytest.mark.parametrize(
    ("token", "to", "said"),
    [
        (None, "hf:user/name", "sending hf:user/name needs a token: log in with `hf auth login`"),
        ("wrong", "hf:user/name", r"refuses hf:user/name (HTTP status 401): its owner's token is needed"),
        ("right", "hf:user/other", r"refuses hf:user/other (HTTP status 403)"),
        ("right", "hf:user/name@main", "leave out @main"),
    ],
)
def test_what_cannot_be_sent_is_told_in_one_sentence(
    token: str | None,
    to: str,
    said: str,
    hub: Hub,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("HF_TOKEN") if token is None else monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(SystemExit, match="2"):
        main(["push", "--model", str(folder), "--to", to])
    (told,) = capsys.readouterr().err.splitlines()
    assert said in told
    assert not hub.commits


def test_a_folder_shows_what_would_be_sent(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there = tmp_path / "there"
    main(["push", "--model", str(folder), "--to", str(there)])
    assert sorted(path.name for path in there.iterdir()) == SENT
    assert (
        there / "README.md"
    ).read_text() == "---\nlibrary_name: eqr\ntags: [equilibrium-reasoner]\n---\n\n# a model\n"
    assert "model.safetensors: " in capsys.readouterr().out
    assert eqr.load(there).calibration == CALIBRATION
    with pytest.raises(SystemExit, match="2"):
        main(["push", "--model", str(folder), "--to", str(there)])
    assert "already holds a model" in capsys.readouterr().err
    shutil.rmtree(folder)
    main(["push", "--model", str(there), "--to", str(tmp_path / "again")])
    assert (tmp_path / "again" / "README.md").read_bytes() == (there / "README.md").read_bytes()


def test_a_model_without_a_card_gets_one_that_says_what_is_known(folder: Path, tmp_path: Path) -> None:
    (folder / "card.md").unlink()
    main(["push", "--model", str(folder), "--to", str(tmp_path / "there")])
    text = (tmp_path / "there" / "README.md").read_text()
    count = sum(weight.numel() for weight in eqr.load(folder).parameters())
    assert f"relation block, flat recursion, {count:,} parameters" in text


def test_a_model_on_the_hub_is_not_calibrated_in_the_cache(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["calibrate", "hf:user/name", "--data", "x.csv"])
    assert "eqr push --model hf:user/name --to FOLDER" in capsys.readouterr().err


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(
        InputError, match=r"hf:user/name needs the extra 'hub': pip install 'equilibrium-reasoners\[hub\]'"
    ):
        eqr.load("hf:user/name")
