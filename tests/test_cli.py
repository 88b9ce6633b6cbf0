"""The commands as a user types them, with the bundled model; in a process of their own where that is the point."""

import csv
import json
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from alike import ROOT, Done, eqr

from eqr.commands.bench import STEPS, UPDATES
from eqr.paper.presets import changed
from eqr.tasks import task_named

EXAMPLES = ROOT / "examples" / "sudoku"
EASY = "..3.2.6..9..3.5..1..18.64....81.29..7.......8..67.82....26.95..8..2.3..9..5.1.3.."
ANSWER = "483921657967345821251876493548132976729564138136798245372689514814253769695417382"


def python(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """A process of its own."""
    given = {"capture_output": True, "text": True, "timeout": 240, "cwd": ROOT, "check": False, **options}
    return subprocess.run([sys.executable, *arguments], **given)


def records(done: Done | subprocess.CompletedProcess[str]) -> list[dict[str, object]]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def table(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def commands_of(page: str) -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / page).read_text(), re.S)
    return [line for block in blocks for line in block.splitlines() if line.startswith("eqr ")]


# What the page does at length, a test does in short.
SHRUNK = {
    **{"--minutes 0.3": "--minutes 0.03", "--limit 100": "--limit 5", "sudoku4 --count 100": "sudoku4 --count 40"},
    **{"--count 200": "--count 40", "--subsample 100": "--subsample 40", "150 --count 20": "150 --count 2"},
}


@pytest.mark.parametrize(
    ("page", "least"), [("README.md", 3), pytest.param("docs/commands.md", 15, marks=pytest.mark.slow)]
)
def test_the_commands_of_the_page_run(page: str, least: int, tmp_path: Path) -> None:
    commands = commands_of(page)
    assert len(commands) >= least
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    for command in commands:
        for long, short in SHRUNK.items():
            command = command.replace(long, short)
        arguments = shlex.split(command, comments=True)[1:]
        done = eqr(*arguments, cwd=tmp_path)
        assert done.returncode == 0, (command, done.stderr)
        written = arguments[arguments.index("--out") + 1] if "--out" in arguments else None
        assert (tmp_path / written).exists() if written else done.stdout, command


def test_the_python_of_the_readme_runs(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    assert "valid" in done.stdout


def test_json_lines_hold_the_documented_keys_in_input_order() -> None:
    rows = table(EXAMPLES / "puzzles.csv")
    found = records(eqr("solve", "--file", "examples/sudoku/puzzles.csv", "--json"))
    keys = "question answer valid converged halted residual depth restart restarts seconds"
    assert list(found[0]) == keys.split()
    assert [record["question"] for record in found] == [row["question"] for row in rows]
    assert all(record["answer"] == row["answer"] for record, row in zip(found, rows, strict=True) if record["valid"])


def test_easy_puzzles_and_17_clues_are_solved() -> None:
    rows = table(EXAMPLES / "puzzles.csv")
    found = records(eqr("solve", "--file", "examples/sudoku/puzzles.csv", "--json"))
    kinds = [row["source"] for row in rows]
    assert sum("easy50" in kind or "17 clues" in kind for kind in kinds) == 7
    for kind, record in zip(kinds, found, strict=True):
        assert record["valid"] or not ("easy50" in kind or "17 clues" in kind or "no guess" in kind), kind


def test_at_least_48_of_norvigs_easy_50_are_solved() -> None:
    found = records(eqr("solve", "--file", "examples/sudoku/norvig_easy50.txt", "--json"))
    assert len(found) == 50
    assert sum(bool(record["valid"]) for record in found) >= 48


def test_arguments_nine_lines_and_standard_input_solve_alike() -> None:
    grid = "\n".join(EASY[i : i + 9] for i in range(0, 81, 9))
    for done in (
        eqr("solve", EASY, "--json"),
        eqr("solve", grid, "--json"),
        eqr("solve", "--json", stdin=EASY),
        eqr("solve", "--file", "-", "--json", stdin=grid),
    ):
        (record,) = records(done)
        assert (record["answer"], record["valid"]) == (ANSWER, True)


def test_a_board_as_it_is_printed_reads_back() -> None:
    printed = eqr("solve", EASY).stdout.splitlines()
    board = "\n".join(line.split("->")[0][:21] for line in printed[1:12])
    assert "------+" in board
    (record,) = records(eqr("solve", "--json", stdin=board))
    assert record["question"] == EASY


def test_an_endless_file_streams_and_a_closed_pipe_is_no_error() -> None:
    command = f"yes {EASY} | {shlex.quote(sys.executable)} -m eqr solve --file - --json | head -n 5"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert len(done.stdout.splitlines()) == 5
    assert done.stderr == ""


def test_watching_ends_with_the_answer() -> None:
    done = eqr("solve", EASY, "--watch")
    assert done.returncode == 0, done.stderr
    assert "residual" in done.stdout
    assert "\nvalid, " in done.stdout


def test_a_puzzle_without_one_solution_is_never_answered_unmarked() -> None:
    impossible, ambiguous = "12345678." + "." * 17 + "9" + "." * 54, "." * 81
    none, many = (records(eqr("solve", puzzle, "--json"))[0] for puzzle in (impossible, ambiguous))
    task = task_named("sudoku")
    assert none["valid"] is False
    answer = torch.tensor([[int(digit) for digit in str(many["answer"])]])
    assert many["valid"] == task.is_solved(task.encode([ambiguous]), answer).item()


def test_good_puzzles_before_a_bad_one_are_answered() -> None:
    done = python("-m", "eqr", "solve", "--json", input=f"{EASY}\n{EASY}\n{EASY[:9]}\n")
    assert done.returncode == 2
    assert [sorted(json.loads(line))[:1] for line in done.stdout.splitlines()] == [["answer"], ["answer"], ["error"]]
    assert "line 3" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["solve", EASY[:80]], "has 80 cells"),
        (["solve", "a" + EASY[1:]], "row 1, column 1 holds 'a'"),
        (["solve", "33" + EASY[2:]], "digit 3 is given"),
        (["solve", "--file", "empty.csv"], "empty.csv is empty"),
        (["solve", "--file", "other.csv"], "no 'question'"),
        (["solve", "--file", "broken.csv"], "broken.csv, line 3"),
        (["solve", "--file", "header.csv"], "no puzzles"),
        (["solve", EASY, "--model", "sudku"], "did you mean 'sudoku'"),
        (["solve", EASY, "--depth", "0"], "depth is 0"),
        (["solve", EASY, "--device", "cuda"], "no CUDA device"),
        (["solve", EASY, "--file", "empty.csv"], "give one of them"),
        (["solve", "empty.csv"], "use --file empty.csv"),
        (["solve", "--file", "grid.txt"], "grid.txt, line 3: '..18' has 4 cells, a row has 9"),
        (["train", "sudoku_cpu", "--resume"], "holds no run to resume"),
        (["train", "sudoku_cpu", "--set", "model.task=sudoko4"], "did you mean 'sudoku"),
        (
            ["train", "sudoku_cpu", "--set", "model.task=sudoku5"],
            "a Sudoku of 5x5 is not supported: sides are 4, 6, 9, 16, 25",
        ),
        (["train", "sudoku_cpu", "--set", "model.channels=-3"], "model.channels is -3"),
        (["train", "sudoku_cpu", "--out", "other.csv"], "cannot use other.csv as the run's folder"),
        (["generate", "sudoko"], "did you mean 'sudoku'"),
        (["generate", "sudoku", "--count", "0"], "must be at least 1"),
        (["generate", "sudoku", "--seed", "-1"], "seeds are 0 or more"),
        (
            ["generate", "sudoku4", "--least", "50000"],
            "none of 1,000 puzzles tried in a row needs 50,000 guesses or more: such puzzles are too rare to find",
        ),
        (["eval", "--data", "header.csv", "--json", "nowhere/out.json"], "the folder does not exist"),
        (["solve", EASY, "--json", "--watch"], "give one of them"),
        (["train", "sudoku_gpu"], "did you mean 'sudoku_cpu'"),
        (["eval", "--data", "header.csv"], "no puzzles"),
        (["eval", "--data", "header.csv", "--breadth", "auto"], "or auto:K, where K is a number"),
        (["sweep", "--data", "header.csv", "--out", "o", "--depths", "1,x"], "--depths 1,x: give numbers of 1 or more"),
        (["sweep", "--data", "header.csv", "--out", "broken.csv"], "cannot be used as a folder"),
        (["solve", EASY, "--modle", "sudoku"], "--model"),
    ],
)
def test_bad_input_gets_one_sentence_and_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.setattr("eqr.tasks.sudoku_search.PATIENCE", 1000)
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "other.csv").write_text(f"board,answer\n{EASY},{EASY}\n")
    (tmp_path / "broken.csv").write_text(f"question\n{EASY}\n{EASY[:5]}\n")
    (tmp_path / "grid.txt").write_text("..3.2.6..\n9..3.5..1\n..18\n" + "........1\n" * 6)
    (tmp_path / "header.csv").write_text("question,answer\n")
    done = eqr(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()


def test_generated_files_are_the_same_for_any_number_of_workers(tmp_path: Path) -> None:
    for workers in ("1", "3"):
        done = eqr(
            "generate", "sudoku", "--count", "50", "--min-guesses", "3", "--workers", workers, "--out", workers,
            cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "1").read_bytes() == (tmp_path / "3").read_bytes()
    rows = table(tmp_path / "1")
    assert list(rows[0]) == ["source", "question", "answer", "rating"]
    assert min(int(row["rating"]) for row in rows) >= 3


EVAL = ("eval", "--depth", "16", "--breadth", "2", "--json", "-")


def report_of(done: Done | subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_eval_writes_the_documented_keys() -> None:
    report = report_of(eqr(*EVAL, "--data", "examples/sudoku/puzzles.csv", "--no-compile"))
    documented = {
        *("model", "data", "puzzles", "depth", "breadth", "select", "halt", "noise", "suppose", "seed"),
        *("exact_accuracy", "valid_accuracy", "token_accuracy", "any_correct", "converged"),
        *("updates_per_puzzle", "layer_evals_per_puzzle", "seconds", "puzzles_per_second"),
        *("threads", "device", "torch", "eqr_version"),
    }
    assert documented <= set(report)
    assert report["puzzles"] == 12
    assert report["any_correct"] >= report["exact_accuracy"] == report["valid_accuracy"]
    assert report["layer_evals_per_puzzle"] == 4 * report["updates_per_puzzle"] <= 4 * 2 * 16 * 4
    assert report["compiled"] is False


@pytest.mark.slow
def test_a_compiled_evaluation_says_what_a_plain_one_says(tmp_path: Path, tiny_run: Path) -> None:
    data = tmp_path / "small.csv"
    assert eqr("generate", "sudoku4", "--count", "12", "--out", str(data)).returncode == 0
    options = (*EVAL, "--model", str(tiny_run), "--data", str(data))
    eager, report = report_of(eqr(*options, "--no-compile")), report_of(python("-m", "eqr", *options))
    assert (eager["compiled"], report["compiled"]) == (False, True)
    assert set(report) == set(eager)
    assert report["any_correct"] >= report["exact_accuracy"] == report["valid_accuracy"] == eager["exact_accuracy"]
    assert report["layer_evals_per_puzzle"] == report["updates_per_puzzle"] <= 4 * 2 * 16
    assert eager["updates_per_puzzle"] == pytest.approx(report["updates_per_puzzle"], rel=0.05)


def test_without_a_compiler_there_is_a_notice_and_an_answer(tmp_path: Path) -> None:
    command = ("-m", "eqr", "eval", "--data", "examples/sudoku/puzzles.csv", "--limit", "2", "--depth", "2")
    paths = {"PYTHONPATH": str(ROOT / "src"), "XDG_CACHE_HOME": str(tmp_path)}
    done = python(*command, env={"CXX": "no-such-g++", **paths}, check=True)
    assert "no C++ compiler" in done.stderr
    assert "exact_accuracy" in done.stdout


@pytest.mark.slow
def test_a_sweep_writes_what_evaluations_of_each_budget_would_say(tmp_path: Path) -> None:
    data = "examples/sudoku/puzzles.csv"
    done = eqr(
        "sweep", "--data", data, "--limit", "6", "--depths", "2,6", "--breadths", "1,3", "--out", str(tmp_path / "out"),
        "--no-compile",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    names = ["error.png", "frontier.png", "halting.csv", "residual.png", "sweep.csv"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    cells = table(tmp_path / "out" / "sweep.csv")
    assert len(cells) == 4 + 3 * 4
    for cell in (cells[1], cells[3], cells[-1]):  # (fixed, 2, 3), (fixed, 6, 3), (either, 6, auto:3)
        budget = [f"--{key}={cell[key]}" for key in ("halt", "depth", "breadth")]
        alone = json.loads(eqr("eval", "--data", data, "--limit", "6", "--json", "-", "--no-compile", *budget).stdout)
        for key in ("exact_accuracy", "any_correct", "updates_per_puzzle"):
            assert float(cell[key]) == pytest.approx(alone[key])
    halting = {row["halt"]: row for row in table(tmp_path / "out" / "halting.csv")}
    assert int(halting["learned"]["rows"]) == 18
    assert 0 < int(halting["learned"]["kept"]) <= int(halting["learned"]["halted"]) <= 18


def test_bench_compares_every_block_with_matrix_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """On narrow networks; tests/test_bench.py asks for the sizes of the real ones."""
    for block, model in UPDATES.items():
        monkeypatch.setitem(UPDATES, block, replace(model, channels=16))
    for preset, config in STEPS.items():
        monkeypatch.setitem(STEPS, preset, changed(config, {"channels": 16}, rows=2))
    done = eqr("bench", "--no-compile", "--threads", "2", "--rounds", "1", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert [(row["name"], row["threads"]) for row in report["blocks"]] == [*product(UPDATES, (1, 2))]
    assert [(row["name"], row["threads"]) for row in report["training"]] == [*product(STEPS, (2,))]
    for row in report["blocks"] + report["training"]:
        assert row["per_second"] > 0
        assert row["share"] == pytest.approx(row["gflops"] / row["mm_gflops"])


def test_start_up_imports_nothing_it_does_not_need() -> None:
    """The first answer within 5 s rests on this: numba and the compiler take seconds to import."""
    code = "import sys; from eqr.cli import main; main(sys.argv[1:]); print(sorted(sys.modules))"
    done = python("-c", code, "solve", EASY, "--json", check=True)
    assert "'torch'" in done.stdout
    for heavy in ("numba", "torch._inductor", "matplotlib"):
        assert f"'{heavy}'" not in done.stdout, heavy


def test_garbage_is_collected_again_once_a_command_runs() -> None:
    """Not before: what imports make stays."""
    code = (
        "import gc, sys; from eqr import cli; from eqr.commands.bench import Bench; sys.argv = ['eqr', 'bench'];"
        "Bench.run = lambda self: print(gc.isenabled(), gc.get_freeze_count() > 100_000); cli.start()"
    )
    done = python("-c", code)
    assert (done.stdout, done.stderr) == ("True True\n", "")


def test_records_of_an_earlier_run_stay_until_the_puzzles_are_read(tmp_path: Path) -> None:
    kept = tmp_path / "records.jsonl"
    kept.write_text("{}\n")
    done = eqr("eval", "--data", str(tmp_path / "typo.csv"), "--records", str(kept), "--no-compile")
    assert done.returncode == 2
    assert kept.read_text() == "{}\n"


def test_a_refused_generation_prints_nothing_else() -> None:
    done = eqr("generate", "sudoku16", "--count", "1")
    assert (done.returncode, done.stdout) == (2, "")
    assert "generated with a stated number of clues: `eqr generate sudoku16 --clues N" in done.stderr


def test_own_puzzles_from_a_pipe_are_refused_as_they_are_read_twice() -> None:
    for preset in ("grid", "csp"):
        done = eqr("train", preset, "--data", "-", stdin="question,answer\n")
        assert done.returncode == 2
        assert "--data -: your own puzzles are read more than once, write them to a file first" in done.stderr


def test_a_short_run_ends_with_its_loss(tmp_path: Path) -> None:
    options = ("--steps", "3", "--threads", "1", "--set", "pool=50", "evaluated=4")
    done = eqr("train", "sudoku4_tiny", "--out", str(tmp_path / "run"), *options)
    assert re.search(r"step +3 .*loss \d", done.stdout)


@pytest.mark.parametrize("command", [["generate", "sudoku4", "--count", "2"], ["export"]])
def test_a_file_that_exists_is_not_replaced(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("of hours ago")
    for name, said in (
        ("kept", "already exists: remove it or choose another name"),
        ("", "is a folder: give the name"),
    ):
        done = eqr(*command, "--out", str(tmp_path / name))
        assert done.returncode == 2
        assert said in done.stderr
    assert (tmp_path / "kept").read_text() == "of hours ago"
