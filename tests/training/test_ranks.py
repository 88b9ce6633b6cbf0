"""Two processes on one machine, by torchrun and gloo: the numbers of one process."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from alike import eqr
from safetensors.torch import load_file

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
RUN = [
    *("train", "sudoku4_tiny", "--log-seconds", "0.001", "--threads", "1", "--device", "cpu"),
    *("--set", "slots=16", "rows=4", "pool=100", "noise=0.05", "decay_share=0", "loss_cells=all"),
]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "eqr"]


def start(arguments: list[str], cwd: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*TORCHRUN, *arguments],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finished(arguments: list[str], cwd: Path, processes: int = 2) -> None:
    if processes == 1:
        done = eqr(*arguments, cwd=cwd)
        assert done.returncode == 0, done.stderr
        return
    process = start(arguments, cwd)
    _, error = process.communicate(timeout=240)
    assert process.returncode == 0, error


def losses(folder: Path) -> list[tuple[int, float]]:
    records = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [(record["step"], record["loss"]) for record in records if record["event"] == "train"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same 24 steps by one process, by two, and by two that went on alone."""
    folder = tmp_path_factory.mktemp("ranks")
    finished([*RUN, "--out", "one", "--steps", "24"], folder, processes=1)
    finished([*RUN, "rows=8", "--out", "two", "--steps", "24"], folder)
    finished([*RUN, "--out", "changed", "--steps", "12"], folder)
    finished([*RUN, "--out", "changed", "--steps", "24", "--resume"], folder, processes=1)
    return folder


def test_two_processes_have_the_loss_curve_of_one(runs: Path) -> None:
    assert_same_run(runs / "one", runs / "two")


def test_a_run_of_two_processes_is_resumed_by_one(runs: Path) -> None:
    assert_same_run(runs / "one", runs / "changed")


def assert_same_run(one: Path, other: Path) -> None:
    """The same draws, starts and noise, however slots were shared; gradients are added in another order."""
    assert [step for step, _ in losses(other)] == list(range(1, 25))
    for (_, expected), (_, found) in zip(losses(one), losses(other), strict=True):
        assert found == pytest.approx(expected, abs=2e-5)
    weights = load_file(other / "model.safetensors")
    for name, weight in load_file(one / "model.safetensors").items():
        assert (weights[name] - weight).abs().max() < 1e-3, name


def test_two_processes_evaluate_like_one(runs: Path, tmp_path: Path) -> None:
    finished(["generate", "sudoku4", "--count", "31", "--out", str(tmp_path / "p.csv")], tmp_path, processes=1)
    options = ["eval", "--model", str(runs / "one"), "--data", "p.csv", "--no-compile", "--breadth", "3", "--depth=5"]
    reports = []
    for processes in (1, 2):
        finished([*options, "--json", f"{processes}.json", "--device", "cpu", "--threads", "1"], tmp_path, processes)
        reports.append(json.loads((tmp_path / f"{processes}.json").read_text()))
    assert [report["processes"] for report in reports] == [1, 2]
    for report in reports:
        for key in ("seconds", "puzzles_per_second", "processes"):
            del report[key]
    assert reports[0] == reports[1]
    assert reports[0]["puzzles"] == 31


def test_slots_that_cannot_be_shared_equally_are_refused(tmp_path: Path) -> None:
    process = start(["train", "sudoku4_tiny", "--set", "slots=15", "--steps", "2", "--device", "cpu"], tmp_path)
    _, error = process.communicate(timeout=120)
    assert process.returncode != 0
    assert "15 slots cannot be divided evenly among 2 processes" in error
    assert not list(tmp_path.rglob("*.pt"))


def test_a_process_that_dies_ends_the_other_with_an_error_and_the_run_goes_on(tmp_path: Path) -> None:
    options = [*RUN, "--out", "run", "--save-minutes", "0.02"]
    process = start([*options, "--steps", "100000"], tmp_path)
    while not (tmp_path / "run" / "state.pt").exists():
        assert process.poll() is None
        time.sleep(0.1)
    children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True)
    os.kill(int(children.stdout.split()[-1]), signal.SIGKILL)
    started = time.monotonic()
    _, error = process.communicate(timeout=60)
    assert time.monotonic() - started < 45
    assert process.returncode != 0
    assert "lost another process" in error
    last = losses(tmp_path / "run")[-1][0]
    finished([*options, "--steps", str(last + 5), "--resume"], tmp_path)
    assert losses(tmp_path / "run")[-1][0] == last + 5
