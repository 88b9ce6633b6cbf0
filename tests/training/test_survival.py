"""Runs that are killed, run out of space, or find damaged files: real processes, real signals."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch
from alike import Done, eqr
from safetensors.torch import load_file

pytestmark = pytest.mark.slow
OPTIONS = [
    "--threads",
    "1",
    "--device",
    "cpu",
    "--log-seconds",
    "0.001",
    "--set",
    "slots=16",
    "pool=100",
    "decay_share=0",
]
PRELUDE = "import os, signal, sys\nfrom pathlib import Path\nfrom eqr.cli import main\n"


def train(folder: Path, *arguments: str, before: str = "", wait: bool = True) -> subprocess.Popen[str] | Done:
    """``eqr train sudoku4_tiny``; if something is to befall it, in a process of its own, after Python statements."""
    command = [*("train", "sudoku4_tiny", "--out", str(folder)), *OPTIONS, *arguments]
    if wait and not before:
        done = eqr(*command)
        said_in(folder).write_text(done.stderr)
        return done
    code = f"{PRELUDE}{textwrap.dedent(before)}\nmain({command!r})"
    with said_in(folder).open("w") as said:
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=said, text=True)
    if wait:
        process.wait(timeout=120)
    return process


def said_in(folder: Path) -> Path:
    """What the last run in ``folder`` wrote to standard error."""
    return folder.with_suffix(".said")


def steps(folder: Path) -> list[int]:
    lines = (folder / "log.jsonl").read_text().splitlines()
    return [json.loads(line)["step"] for line in lines if '"train"' in line]


def same_weights(one: Path, other: Path) -> bool:
    first, second = (load_file(folder / "model.safetensors") for folder in (one, other))
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken")
    assert train(folder, "--steps", "40").returncode == 0
    return folder


def test_a_killed_run_loses_no_more_than_the_time_between_saves(tmp_path: Path, unbroken: Path) -> None:
    process = train(tmp_path, "--steps", "40", "--save-minutes", "0.005", wait=False)
    log = tmp_path / "log.jsonl"
    while not ((tmp_path / "state.pt").exists() and len(steps(tmp_path)) > 15):
        assert process.poll() is None, said_in(tmp_path).read_text()
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    reached = max(steps(tmp_path))
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    last = [json.loads(line) for line in log.read_text().splitlines() if f'"step": {reached},' in line]
    lost = last[-1]["minutes"]
    assert 60 * lost - state["seconds"] < 0.3 + 1.0  # --save-minutes, and a step and a save
    assert train(tmp_path, "--steps", "40", "--resume").returncode == 0
    assert same_weights(tmp_path, unbroken)
    assert steps(tmp_path) == list(range(1, 41))


@pytest.mark.parametrize(
    ("file", "moment"),
    [("model.safetensors", "fsync"), ("config.json", "replace"), ("state.pt", "fsync"), ("state.pt", "replace")],
)
def test_a_run_killed_while_it_saves_goes_on_as_if_nothing_was(
    tmp_path: Path, unbroken: Path, file: str, moment: str
) -> None:
    # The second time that `file` is flushed (half of its bytes are gone then), or is about to be renamed.
    kill = f"""
        flush, rename, seen = os.fsync, Path.replace, []
        def fsync(number):
            path = Path(os.readlink(f"/proc/self/fd/{{number}}"))
            if path.name == ".{file}.part" and {moment == "fsync"}:
                seen.append(path)
                if len(seen) == 2:
                    os.truncate(path, path.stat().st_size // 2)
                    os.kill(os.getpid(), signal.SIGKILL)
            flush(number)
        def replace(self, target):
            if self.name == ".{file}.part" and {moment == "replace"}:
                seen.append(self)
                if len(seen) == 2:
                    os.kill(os.getpid(), signal.SIGKILL)
            return rename(self, target)
        os.fsync, Path.replace = fsync, replace
    """
    process = train(tmp_path, "--steps", "40", "--save-minutes", "0.002", before=kill)
    assert process.returncode == -signal.SIGKILL
    resumed = train(tmp_path, "--steps", "40", "--resume")
    assert resumed.returncode == 0, said_in(tmp_path).read_text()
    assert same_weights(tmp_path, unbroken)


def test_a_full_disk_says_so_and_keeps_the_last_checkpoint(tmp_path: Path, unbroken: Path) -> None:
    assert train(tmp_path, "--steps", "20").returncode == 0
    good = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.suffix != ".jsonl"}
    # No file may grow beyond 60 kB: the model's weights fit, the state does not.
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))"
    process = train(tmp_path, "--steps", "40", "--resume", before=limit)
    assert process.returncode == 2
    assert f"cannot write {tmp_path}" in (said := said_in(tmp_path).read_text()), said
    assert "the earlier file, if any, is intact" in said
    assert "Traceback" not in said
    assert (tmp_path / "state.pt").read_bytes() == good["state.pt"]
    assert not list(tmp_path.glob(".*.part"))
    assert train(tmp_path, "--steps", "40", "--resume").returncode == 0
    assert same_weights(tmp_path, unbroken)


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: data[:2000] + b"?" + data[2001:]])
def test_a_damaged_state_is_named_and_the_one_before_it_is_used(tmp_path: Path, unbroken: Path, damage: object) -> None:
    assert train(tmp_path, "--steps", "20").returncode == 0
    assert train(tmp_path, "--steps", "30", "--resume").returncode == 0
    state = tmp_path / "state.pt"
    state.write_bytes(damage(state.read_bytes()))
    resumed = train(tmp_path, "--steps", "40", "--resume")
    assert resumed.returncode == 0
    said = said_in(tmp_path).read_text()
    assert f"{state} is damaged" in said
    assert "continuing from the state before it, step 20" in said
    assert same_weights(tmp_path, unbroken)
    assert steps(tmp_path) == list(range(1, 41))


def test_a_second_process_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    first = train(tmp_path, "--steps", "100000", wait=False)
    while not (tmp_path / "log.jsonl").exists():
        assert first.poll() is None, said_in(tmp_path).read_text()
        time.sleep(0.05)
    second = train(tmp_path, "--steps", "5")
    assert second.returncode == 2
    assert "another process is training in" in said_in(tmp_path).read_text()
    first.send_signal(signal.SIGTERM)
    assert first.wait(timeout=60) == 130
    assert os.path.exists(tmp_path / "state.pt")
