"""kill -9 at random moments: of a run that trains and saves, and of ``eqr solve --out``. EQR_KILLS says how many."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from alike import eqr
from safetensors.torch import load_file

pytestmark = pytest.mark.slow
KILLS = int(os.environ.get("EQR_KILLS", "2"))


def progress_of(folder: Path) -> int:
    """Bytes of the files that a command writes in ``folder``."""
    return sum(path.stat().st_size for path in folder.glob("*.jsonl*"))


def killed(command: list[str], folder: Path, rng: random.Random) -> bool:
    """Starts a command, and kills it at a random moment once it writes; returns False if it has ended before."""
    program = [sys.executable, "-m", "eqr", *command]
    process = subprocess.Popen(program, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    before = progress_of(folder)
    while progress_of(folder) <= before and process.poll() is None:
        time.sleep(0.005)
    time.sleep(rng.random() ** 2 / 2)
    process.kill()
    return process.wait(60) == -signal.SIGKILL


def test_a_run_that_is_killed_while_it_trains_and_saves_ends_as_an_unbroken_one(tmp_path: Path) -> None:
    options = ["train", "sudoku4_tiny", "--steps", str(250 * KILLS + 100), "--threads", "1", "--log-seconds", "1e-9"]
    options += ["--set", "pool=100", "evaluated=4", "slots=8", "model.channels=8"]
    assert eqr(*options, "--out", str(tmp_path / "whole")).returncode == 0
    broken = tmp_path / "broken"
    broken.mkdir()
    options += ["--out", ".", "--save-minutes", "0.0005"]  # about every second step
    rng, kills = random.Random(KILLS), 0
    while kills < KILLS:
        resume = ["--resume"] if (broken / "state.pt").exists() else []
        assert killed([*options, *resume], broken, rng), "it ended before it was killed"
        kills += 1
    assert eqr(*options, "--resume", cwd=broken).returncode == 0
    weights = [load_file(folder / "model.safetensors") for folder in (tmp_path / "whole", broken)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_answers_that_are_killed_while_they_are_written_end_as_unbroken_ones(tmp_path: Path, tiny_run: Path) -> None:
    task = ["generate", "sudoku4", "--count", str(600 * KILLS), "--out", str(tmp_path / "puzzles.csv")]
    assert eqr(*task).returncode == 0
    command = ["solve", "--model", str(tiny_run), "--file", "puzzles.csv", "--depth", "8", "--protocol", "paper"]
    command += ["--threads", "1"]
    assert eqr(*command, "--out", "whole.txt", cwd=tmp_path).returncode == 0
    rng, kills = random.Random(KILLS), 0
    while kills < KILLS:
        kills += killed([*command, "--out", "out.jsonl", *["--resume"] * bool(kills)], tmp_path, rng)
    assert eqr(*command, "--out", "out.jsonl", "--resume", cwd=tmp_path).returncode == 0
    whole, broken = (
        [{key: value for key, value in json.loads(line).items() if key != "seconds"} for line in path.open()]
        for path in (tmp_path / "whole.txt", tmp_path / "out.jsonl")
    )
    assert whole == broken
