"""`eqr solve --file F --out O`: bad rows, kills, several processes; and the records of `eqr eval`."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from alike import Done, eqr


@pytest.fixture(scope="module")
def puzzles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 puzzles of 4x4 with answers."""
    path = tmp_path_factory.mktemp("batch") / "puzzles.csv"
    assert eqr("generate", "sudoku4", "--count", "40", "--seed", "5", "--out", str(path)).returncode == 0
    return path


@pytest.fixture(scope="module")
def mixed(puzzles: Path) -> Path:
    """The same questions, one on each line, and three lines that are no puzzles."""
    lines = [line.split(",")[1] for line in puzzles.read_text().splitlines()[1:]]
    for at, bad in ((3, "11.............."), (17, "1.2."), (31, "1...............9")):
        lines.insert(at, bad)
    path = puzzles.with_name("mixed.txt")
    path.write_text("\n".join(lines) + "\n")
    return path


def solved(model: Path, *arguments: str, cwd: Path) -> Done:
    return eqr("solve", "--model", str(model), "--depth", "12", "--threads", "1", *arguments, cwd=cwd)


def records(path: Path) -> list[dict[str, object]]:
    """The records of a file, without the time they took."""
    found = [json.loads(line) for line in path.read_text().splitlines()]
    for record in found:
        record.pop("seconds", None)
    return found


def test_what_is_no_puzzle_is_reported_in_its_place_and_the_rest_is_answered(
    tiny_run: Path, mixed: Path, tmp_path: Path
) -> None:
    done = solved(tiny_run, "--file", str(mixed), "--json", cwd=tmp_path)
    assert done.returncode == 2
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [at for at, record in enumerate(found) if "error" in record] == [3, 17, 31]
    assert len(found) == 43
    *sentences, summary = done.stderr.splitlines()
    assert [f"eqr: {found[at]['error']}" for at in (3, 17, 31)] == sentences
    assert "line 4: digit 1 is given 2 times in row 1" in sentences[0]
    assert "line 18: puzzle '1.2.' has 4 cells" in sentences[1] or "line 18: the board has 1 rows" in sentences[1]
    assert summary == "eqr: 3 of 43 puzzles cannot be read, the others are answered"


def test_strict_stops_at_the_first(tiny_run: Path, mixed: Path, tmp_path: Path) -> None:
    done = solved(tiny_run, "--file", str(mixed), "--json", "--strict", cwd=tmp_path)
    assert (done.returncode, len(done.stdout.splitlines()), len(done.stderr.splitlines())) == (2, 3, 1)


def test_a_file_cut_anywhere_is_continued_to_the_file_of_an_unbroken_run(
    tiny_run: Path, mixed: Path, tmp_path: Path
) -> None:
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    done = solved(tiny_run, "--file", str(mixed), "--out", whole.name, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout.startswith("40 puzzles in whole.jsonl: ")
    text = whole.read_bytes()
    for at in random.Random(0).sample(range(len(text)), 3):
        cut.write_bytes(text[:at])
        done = solved(tiny_run, "--file", str(mixed), "--out", cut.name, "--resume", cwd=tmp_path)
        assert records(cut) == records(whole)
        assert done.returncode == 2
        assert done.stderr.splitlines()[-1] == "eqr: 3 of 43 puzzles cannot be read, the others are answered"


def test_answers_of_other_puzzles_are_not_continued(tiny_run: Path, mixed: Path, puzzles: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    solved(tiny_run, "--file", str(mixed), "--out", out.name, cwd=tmp_path)
    before = out.read_bytes()
    done = solved(tiny_run, "--file", str(mixed), "--out", out.name, cwd=tmp_path)
    assert "out.jsonl exists: give --resume to go on, or another name with --out" in done.stderr
    lines = out.read_text().splitlines(keepends=True)
    out.write_text("".join(lines[:10]))
    done = solved(tiny_run, "--file", str(puzzles), "--out", out.name, "--resume", cwd=tmp_path)
    assert done.returncode == 2
    assert "out.jsonl was not written for " in done.stderr
    out.write_bytes(before)
    done = solved(tiny_run, "1...............", "--out", out.name, "--resume", cwd=tmp_path)
    assert "out.jsonl holds 43 records, the input 1 puzzles" in done.stderr
    assert out.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--out", "o", "--json"], "both --json and --out are given"),
        (["--watch", "--json"], "both --json and --watch are given"),
        (["--resume"], "--resume needs --out FILE"),
        (["--out", "taken/o"], "cannot write taken/o (File exists): free space or choose another place"),
        (["--out", "."], ". is not a regular file"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    arguments: list[str], said: str, tiny_run: Path, mixed: Path, tmp_path: Path
) -> None:
    (tmp_path / "taken").touch()
    done = solved(tiny_run, "--file", str(mixed), *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr


def test_eval_writes_a_record_of_each_puzzle(tiny_run: Path, puzzles: Path, tmp_path: Path) -> None:
    out = tmp_path / "records.jsonl"
    out.write_text("an older file\n")
    figures = tmp_path / "figures.json"
    options = ["--no-compile", "--depth", "12", "--threads", "1", "--records", str(out), "--json", str(figures)]
    done = eqr("eval", "--model", str(tiny_run), "--data", str(puzzles), *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found, report = records(out), json.loads(figures.read_text())
    rows = [line.split(",") for line in puzzles.read_text().splitlines()[1:]]
    assert [(record["question"], record["label"]) for record in found] == [(row[1], row[2]) for row in rows]
    assert all(record["right"] == (record["answer"] == record["label"]) for record in found)
    assert sum(bool(record["right"]) for record in found) / 40 == report["exact_accuracy"] > 0
    assert {"valid", "sure", "depth", "restarts", "residual"} <= found[0].keys()


def test_a_puzzle_without_a_valid_answer_is_explained_or_offered_more_compute() -> None:
    done = eqr("solve", "." * 81, "--depth", "2", "--breadth", "1")
    assert "NOT valid" in done.stdout
    assert done.stdout.splitlines()[-2].startswith("the puzzle has more than one solution: it has 0 clues, ")
    hard = "4.....8.5.3..........7......2.....6.....8.4......1.......6.3.7.5..2.....1.4......"
    done = eqr("solve", hard, "--depth", "1", "--breadth", "1")
    more = "--breadth auto:32, or --depth 4"
    assert done.stdout.splitlines()[-2] == f"more compute may solve it, if it has a solution: {more}"
    assert done.returncode == 0


LONG = 600


@pytest.fixture(scope="module")
def long(puzzles: Path) -> Path:
    """Many puzzles, some of them none."""
    questions = [line.split(",")[1] for line in puzzles.read_text().splitlines()[1:]]
    lines = [questions[at % 40] if at not in (100, 300, 500) else "no puzzle" for at in range(LONG)]
    path = puzzles.with_name("long.txt")
    path.write_text("\n".join(lines) + "\n")
    return path


def start(arguments: list[str], cwd: Path, processes: int = 1) -> subprocess.Popen[bytes]:
    several = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes)] if processes > 1 else []
    return subprocess.Popen(
        [sys.executable, *several, "-m", "eqr", *arguments],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def lines_in(folder: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in folder.glob("out.jsonl*"))


def killed_at(process: subprocess.Popen[bytes], folder: Path, lines: int, victim: str) -> None:
    """Kills the process, or one of the processes that it has started, once it has written so many lines."""
    deadline = time.monotonic() + 120
    while lines_in(folder) < lines and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert process.poll() is None, "it ended before it was killed"
    if victim == "one of them":
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(children[-1]), signal.SIGKILL)
    else:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(60)


@pytest.mark.slow
def test_killed_runs_of_one_and_of_two_processes_end_as_an_unbroken_run(
    tiny_run: Path, long: Path, tmp_path: Path
) -> None:
    """Killed at random moments: alone, then one of two processes; two processes finish."""
    command = ["solve", "--model", str(tiny_run), "--file", str(long), "--depth", "40", "--protocol", "paper"]
    assert eqr(*command, "--out", "whole.txt", "--threads", "1", cwd=tmp_path).returncode == 2
    command += ["--out", "out.jsonl", "--device", "cpu"]
    rng = random.Random(1)
    killed_at(start(command, tmp_path), tmp_path, rng.randrange(1, 100), "all of them")
    killed_at(start([*command, "--resume"], tmp_path, 2), tmp_path, rng.randrange(110, 400), "one of them")
    assert start([*command, "--resume"], tmp_path, 2).wait(240) != 0  # some pieces are no puzzles
    assert records(tmp_path / "out.jsonl") == records(tmp_path / "whole.txt")
    assert [path.name for path in tmp_path.glob("out.jsonl.part*")] == []
    assert sum("error" in record for record in records(tmp_path / "out.jsonl")) == 3
