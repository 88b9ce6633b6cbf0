"""Runs that are killed by -9 at random moments, while they train, save and solve, and go on each time.

EQR_KILLS sets the number of kills of each kind, such as 20. Without it nothing runs: kills at chosen moments are in
test_survival.py and, of solving, in test_batch.py.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from alike import eqr
from safetensors.torch import load_file

pytestmark = [pytest.mark.slow, pytest.mark.skipif("EQR_KILLS" not in os.environ, reason="EQR_KILLS is not set")]
KILLS = int(os.environ.get("EQR_KILLS", "0"))
STEPS = 16 + 12 * KILLS
PUZZLES = 300 + 200 * KILLS
TRAIN = (
    f"train sudoku4_tiny --steps {STEPS} --threads 1 --device cpu --log-seconds 0.001 "
    "--set slots=16 pool=50 decay_share=0 evaluated=2 --save-minutes "
)
# Importing torch takes longer than all that follows, so one process imports it and forks a new one for each run.
STARTER = """
import json, os, signal, sys, time, traceback
import torch._dynamo, eqr.cli, eqr.training.run, eqr.commands.train, eqr.commands.solve
from eqr.tasks.sudoku import units_of
from eqr.tasks.sudoku_search import generate_one, geometry
generate_one(geometry(units_of(2, 2)), seed=0, index=0)
for line in sys.stdin:
    arguments, said, seconds = json.loads(line)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            said = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(said, 1), os.dup2(said, 2)
            eqr.cli.main(arguments)
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush(), sys.stderr.flush()
            os._exit(code)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)  # no harm if it has ended: its number is kept until somebody waits for it
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@dataclass
class Starter:
    """Starts commands in processes of their own, and kills some."""

    process: subprocess.Popen[str]
    said: Path
    moments: random.Random

    def run(self, command: str, longest: float | None = None) -> int:
        """Runs a command; kills it after a random time of up to ``longest`` seconds. Returns its exit status."""
        assert self.process.stdin
        assert self.process.stdout
        seconds = None if longest is None else self.moments.uniform(0, longest)
        print(json.dumps([command.split(), str(self.said), seconds]), file=self.process.stdin, flush=True)
        return int(self.process.stdout.readline())


@pytest.fixture(scope="module")
def starter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starter]:
    command = [sys.executable, "-c", STARTER]
    said = tmp_path_factory.mktemp("said") / "said"
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Starter(process, said, random.Random(KILLS))
        assert process.stdin
        process.stdin.close()


def test_training_killed_at_random_moments_ends_bit_equal(
    starter: Starter, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    started = time.monotonic()
    assert starter.run(f"{TRAIN} 5 --out {tmp_path / 'unbroken'}") == 0
    longest = (time.monotonic() - started) * 30 / STEPS
    # The second saves after every step, so that most kills hit a save.
    for kind, minutes in (("training", "0.003"), ("saving", "0.00001")):
        killed = resumed = runs = 0
        while True:
            folder = tmp_path / f"{kind}_{runs}"
            going = any((folder / name).exists() for name in ("state.pt", "state.previous.pt"))
            command = f"{TRAIN} {minutes} --out {folder}{' --resume' if going else ''}"
            code = starter.run(command, longest if killed < KILLS else None)
            resumed += going
            if code == -signal.SIGKILL:
                killed += 1
                continue
            said = starter.said.read_text()
            assert code == 0 or "the budget is spent" in said, said
            check(folder, tmp_path / "unbroken")
            runs += 1
            if killed == KILLS:
                break
            longest *= 0.6  # it ended before it was killed
        with capsys.disabled():
            print(f"\n{kind}: {killed} kills, {resumed} resumed, {runs} runs ended, each bit-equal to the unbroken one")


def check(folder: Path, unbroken: Path) -> None:
    """Fails unless a run ended with the weights of the unbroken one, and each of its steps is in the log once."""
    mine, theirs = (load_file(place / "model.safetensors") for place in (folder, unbroken))
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)
    records = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    # A run that was killed before its first save begins anew, behind the records of its first steps.
    begun = max(at for at, record in enumerate(records) if record["event"] == "start" and record["step"] == 0)
    steps = [record["step"] for record in records[begun:] if record["event"] == "train"]
    assert steps == list(range(1, STEPS + 1))
    assert not list(folder.glob(".*.part"))


def test_solving_killed_at_random_moments_loses_no_record(
    starter: Starter, tmp_path: Path, tiny_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    puzzles, out = tmp_path / "puzzles.csv", tmp_path / "out.jsonl"
    assert eqr("generate", "sudoku4", "--count", str(PUZZLES), "--out", str(puzzles)).returncode == 0
    command = f"solve --file {puzzles} --model {tiny_run} --depth 8 --threads 1 --device cpu --out "
    started = time.monotonic()
    assert starter.run(f"{command}{tmp_path / 'unbroken.jsonl'}") == 0
    longest = (time.monotonic() - started) * 500 / PUZZLES
    killed = resumed = lost = records = 0
    wanted = answers(tmp_path / "unbroken.jsonl")
    assert len(wanted) == PUZZLES
    while True:
        going = out.exists()
        code = starter.run(f"{command}{out}{' --resume' if going else ''}", longest if killed < KILLS else None)
        resumed += going
        now = answers(out) if out.exists() else []
        lost += max(0, records - len(now))
        records = len(now)
        assert now == wanted[:records]
        if code == -signal.SIGKILL:
            killed += 1
            continue
        assert code == 0, starter.said.read_text()
        assert records == PUZZLES
        if killed == KILLS:
            break
        out.unlink()
        records, longest = 0, 0.6 * longest
    assert lost == 0
    with capsys.disabled():
        print(f"\nsolving: {killed} kills, {resumed} resumed, {lost} of {PUZZLES} records lost")


def answers(path: Path) -> list[dict[str, object]]:
    """Returns the whole records of a file, without the times that they took."""
    whole = path.read_bytes().rpartition(b"\n")[0].splitlines()
    return [{key: value for key, value in json.loads(line).items() if key != "seconds"} for line in whole]
