"""What a stranger writes in a folder of his own, beside an installed package: the files of examples/extend."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from importlib import import_module
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from filelock import FileLock
from safetensors.torch import load_file

import eqr

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples" / "extend"
PUZZLE = "._.>._._______._.>._.____v__._.<._._______._._._3"
BOARD_3X3 = "._._._____._._.__v__.<._."
MODEL = ("--model", "runs/futoshiki")
ONE = ("--threads", "1")
FEW = (*MODEL, "--data", "few.csv", *ONE)
SMALL = ("pool=20", "slots=4", "evaluated=4", "warmup_steps=1", "model.channels=8", "model.layers=1")
DRIVER = """
import contextlib, io, json, sys
import eqr
from eqr.cli import main

done = []
for arguments in json.loads(sys.argv[1]):
    out, error, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        try:
            main(arguments)
        except SystemExit as stop:
            code = stop.code or 0
    done.append({"code": code, "out": out.getvalue(), "error": error.getvalue()})
print(json.dumps({"package": eqr.__file__, "done": done}))
"""
COUNTED = """
import atexit, json, sys
from collections import Counter
from functools import wraps
import eqr, rules

calls = Counter()

def counted(function):
    @wraps(function)
    def called(*given):
        calls[function.__name__] += 1
        return function(*given)
    return called

eqr.HALTING["calm"] = counted(rules.calm)
eqr.SELECTION["quickest"] = counted(rules.quickest)
rules.Momentum.step = counted(rules.Momentum.step)
atexit.register(lambda: print(json.dumps(calls), file=sys.stderr))
"""


@dataclass(frozen=True)
class Typed:
    """What is left of commands typed one after the other."""

    package: Path
    done: list[dict[str, Any]]
    stderr: str
    """Of the process, at its end."""


def python(folder: Path, path: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )


def typed(folder: Path, path: Path | str, *commands: tuple[str, ...]) -> Typed:
    """Commands typed in a folder, in one process that knows the installed package alone."""
    done = python(folder, str(path), "-c", DRIVER, json.dumps(commands))
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    return Typed(Path(told["package"]), told["done"], done.stderr)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with copies of the examples; the processes that run the tests share it."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "stranger"


COMMANDS: dict[str, tuple[str, ...]] = {
    "train": ("train", "futoshiki", "--steps", "6", *ONE, *(part for change in SMALL for part in ("--set", change))),
    "generate": ("generate", "futoshiki4", "--count", "4", "--out", "few.csv"),
    "solve": ("solve", *MODEL, PUZZLE, "--json", "--depth", "4", *ONE),
    "solve by rules": (
        *("solve", *MODEL, "--file", "few.csv", "--halt", "calm", "--select", "quickest", "--breadth", "2"),
        *("--solver", "momentum:beta=0.1", "--depth", "4", "--png", "pictures", *ONE),
    ),
    "eval": ("eval", *FEW, "--no-compile", "--depth", "4", "--json", "-", "--halt", "calm", "--select", "quickest"),
    "sweep": ("sweep", *FEW, "--no-compile", "--depths", "1,2", "--breadths", "1,2", "--out", "swept"),
    "calibrate": ("calibrate", "runs/futoshiki", *FEW[2:], "--no-compile", "--depth", "4"),
    "analyse": ("analyse", *FEW, "--depth", "4", "--breadth", "2", "--starts", "4", "--out", "analysed"),
    "export": ("export", *MODEL, "--out", "futoshiki.onnx", *ONE),
    "push": ("push", *MODEL, "--to", "copy"),
}


@pytest.fixture(scope="module")
def run(folder: Path, unpacked: Path) -> tuple[dict[str, dict[str, Any]], Typed]:
    """Every command on a model of the stranger's task and block, with the stranger's rules at hand."""
    kept = folder.with_suffix(".json")
    with FileLock(folder.with_suffix(".lock")):
        if not kept.exists():
            folder.mkdir()
            for example in EXAMPLES.glob("*.py"):
                shutil.copy(example, folder)
            (folder / "counted.py").write_text(COUNTED)
            brought = ("--import", "preset", "--import", "counted")
            first = typed(folder, unpacked, *((*brought, *command) for command in COMMANDS.values()))
            assert first.package.is_relative_to(unpacked)
            kept.write_text(json.dumps([str(first.package), first.done, first.stderr]))
    package, commands, stderr = json.loads(kept.read_text())
    return dict(zip(COMMANDS, commands, strict=True)), Typed(Path(package), commands, stderr)


@pytest.mark.slow
def test_every_command_works_with_a_task_and_a_block_of_ones_own(
    run: tuple[dict[str, dict[str, Any]], Typed], folder: Path
) -> None:
    done, _ = run
    for name, command in done.items():
        assert command["code"] == 0, (name, command["error"])
    answer = json.loads(done["solve"]["out"])
    assert answer["question"] == PUZZLE
    assert isinstance(answer["valid"], bool)
    assert json.loads(done["eval"]["out"])["puzzles"] == 4
    assert len(list((folder / "pictures").iterdir())) == 4
    assert (folder / "few.csv").read_text().count("\n") == 5
    assert "calm" in (folder / "swept" / "halting.csv").read_text()
    assert (folder / "runs" / "futoshiki" / "calibration.json").exists()
    assert (folder / "analysed" / "summary.json").exists()
    assert "futoshiki4" in done["export"]["out"]
    config = json.loads((folder / "copy" / "config.json").read_text())
    assert (config["task"], config["block"]) == ("futoshiki4", "lines")


@pytest.mark.slow
@pytest.mark.usefixtures("run")
def test_a_block_with_biases_trains_under_muon(folder: Path) -> None:
    weights = load_file(folder / "runs" / "futoshiki" / "model.safetensors")
    biases = [weight for name, weight in weights.items() if re.fullmatch(r"blocks\.\d\.(heard|out)\.bias", name)]
    assert len(biases) == 2
    assert all(bias.ndim == 1 and bool(bias.any()) for bias in biases)  # they start at 0


@pytest.mark.slow
def test_rules_and_a_solver_of_ones_own_are_called(run: tuple[dict[str, dict[str, Any]], Typed]) -> None:
    calls = json.loads(run[1].stderr.splitlines()[-1])
    assert calls["quickest"] == 8  # once for each puzzle of `solve` and of `eval`
    assert calls["step"] == 4 * 4  # the updates of four segments; all rows of `solve` go together
    assert calls["calm"] >= 4 + 4 + 4  # once a segment of `solve` and of `eval`, once a row of `sweep`


@pytest.mark.slow
@pytest.mark.usefixtures("run")
def test_a_folder_that_needs_a_plugin_says_which_and_runs_no_code(folder: Path, unpacked: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "runs" / "futoshiki", tmp_path / "mine")
    for name in ("__init__", "futoshiki", "block", "config", "sitecustomize"):
        (tmp_path / "mine" / f"{name}.py").write_text("open('ran', 'w')")
    shutil.copy(folder / "futoshiki.py", tmp_path)
    shutil.copy(folder / "block.py", tmp_path)
    solve = ("solve", "--model", "mine", PUZZLE, "--depth", "1")
    brought = ("--import", "futoshiki", *solve)
    no_task, no_block, both = typed(tmp_path, unpacked, solve, brought, ("--import", "block", *brought)).done
    assert [no_task["code"], no_block["code"], both["code"]] == [2, 2, 0], both
    cure = r"eqr --import MODULE COMMAND.*eqr\.load\(FOLDER, task=\.\.\., block=\.\.\.\)"
    assert re.search(rf"config\.json: task 'futoshiki4' is not known.*{cure}", no_task["error"])
    assert re.search(rf"config\.json: block 'lines' is not known.*{cure}", no_block["error"])
    assert not list(tmp_path.rglob("ran"))


@pytest.mark.slow
@pytest.mark.usefixtures("run")
def test_an_installed_package_brings_its_plugin_by_an_entry_point(folder: Path, unpacked: Path, tmp_path: Path) -> None:
    installed = tmp_path / "installed"
    about = installed / "stranger-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[eqr.plugins]\nstranger = preset\n")
    for name in ("preset", "futoshiki", "block"):
        shutil.copy(folder / f"{name}.py", installed)
    command = ("solve", "--model", str(folder / "runs" / "futoshiki"), PUZZLE, "--depth", "1")
    (done,) = typed(tmp_path, f"{unpacked}{os.pathsep}{installed}", command).done
    assert done["code"] == 0, done["error"]
    assert "depth 1" in done["out"]
    (installed / "preset.py").write_text("1 / 0")
    (done,) = typed(tmp_path, f"{unpacked}{os.pathsep}{installed}", command).done
    assert done["code"] == 2
    assert (
        "the installed plugin stranger (preset) cannot be loaded, ZeroDivisionError: division by zero" in done["error"]
    )


@pytest.mark.slow
@pytest.mark.usefixtures("run")
def test_the_service_answers_a_task_of_ones_own(folder: Path, unpacked: Path) -> None:
    serve = ("serve", "--models", "runs/futoshiki", "--port", "0", *ONE)
    process = subprocess.Popen(
        [sys.executable, "-m", "eqr", "--import", "preset", "--import", "rules", *serve],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(unpacked), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        address = process.stdout.readline().split(" on ")[1].split()[0]
        asked = {"task": "futoshiki", "puzzles": [PUZZLE], "depth": 4, "halt": "calm", "select": "quickest"}
        body, kind = json.dumps(asked).encode(), {"content-type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(f"{address}/v1/solve", body, kind), timeout=60) as reply:
            (answer,) = json.load(reply)["answers"]
        with urllib.request.urlopen(f"{address}/openapi.json", timeout=60) as reply:
            schema = reply.read().decode()
    finally:
        process.send_signal(signal.SIGTERM)
        _, error = process.communicate(timeout=30)
    assert answer["question"] == PUZZLE
    assert all(f'"{name}"' in schema for name in ("futoshiki", "calm", "quickest"))
    assert process.returncode == 0, error


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports an example in this process, which is afterwards as it was before."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    with patch.dict(eqr.TASKS), patch.dict(eqr.BLOCKS):
        yield import_module
    for example in EXAMPLES.glob("*.py"):
        sys.modules.pop(example.stem, None)


def test_futoshiki_is_a_sound_task(modules: Any) -> None:
    task = modules("futoshiki").Futoshiki(4)
    puzzles, again = ([*islice(task.generate(seed=5), 6)] for _ in range(2))
    assert all(
        np.array_equal(a.question, b.question) and a.rating == b.rating for a, b in zip(puzzles, again, strict=True)
    )
    assert all(puzzle.rating > 0 for puzzle in puzzles)
    (rated,) = islice(task.generate(5, least=puzzles[1].rating, most=puzzles[1].rating), 1)
    assert rated.rating == puzzles[1].rating
    questions, answers = (np.array([getattr(puzzle, side) for puzzle in puzzles]) for side in ("question", "answer"))
    rng = np.random.default_rng(0)
    for _ in range(20):
        symmetry = task.symmetries(len(puzzles), rng)
        moved, solved = (torch.from_numpy(symmetry.apply(side)).long() for side in (questions, answers))
        assert bool(task.is_solved(moved, solved).all())
        for board in (*moved, *solved):
            assert np.array_equal(task.parse(task.format(board)), board.numpy())
            assert task._search(board.numpy())[0] == 1
    wrong = torch.from_numpy(answers).long()
    wrong[:, [0, 2]] = wrong[:, [2, 0]]  # two digits of a row change places
    assert not bool(task.is_solved(torch.from_numpy(questions).long(), wrong).any())
    against = torch.from_numpy(answers).long()
    rows = against.view(-1, 7, 7)
    rows[:, 0, 1] = torch.where(rows[:, 0, 0] < rows[:, 0, 2], task.written.index(">"), task.written.index("<"))
    assert not bool(task.is_solved(torch.zeros_like(against), against).any())
    with pytest.raises(eqr.InputError, match="row 1, column 2 holds '2'"):
        task.parse(PUZZLE[0] + "2" + PUZZLE[2:])
    with pytest.raises(eqr.InputError, match="3 to 5 are"):
        task.__class__(9)


def test_loggers_keep_the_figures_of_every_record(modules: Any, tmp_path: Path) -> None:
    loggers: ModuleType = modules("loggers")
    written = []

    class SummaryWriter:
        def __init__(self, folder: str) -> None:
            assert folder == "logs"

        def add_scalar(self, name: str, value: float, step: int) -> None:
            written.append((name, value, step))

        def flush(self) -> None:
            pass

    tensorboard = ModuleType("torch.utils.tensorboard")
    vars(tensorboard)["SummaryWriter"] = SummaryWriter
    with patch.dict(sys.modules, {"torch.utils.tensorboard": tensorboard}):
        to = [loggers.to_csv(tmp_path / "log.csv"), loggers.to_tensorboard("logs")]
    futoshiki = modules("futoshiki").Futoshiki(3)
    config = eqr.TrainConfig(
        **{"pool": 4, "steps": 2, "slots": 2, "evaluated": 2, "log_seconds": 1e-9, "warmup_steps": 1},
        **{"compile": False, "bf16": False, "max_segments": 2},
    )
    trained = eqr.train(
        eqr.ModelConfig(task=futoshiki, block=modules("block").LinesBlock, channels=4),
        config=config,
        on_record=lambda record: [log(record) for log in to],
    )
    losses = [record["loss"] for record in trained.log if record["event"] == "train"]
    assert [value for name, value, _ in written if name == "train/loss"] == losses
    lines = [line.split(",") for line in (tmp_path / "log.csv").read_text().splitlines()]
    assert [float(line[4]) for line in lines if line[2:4] == ["train", "loss"]] == losses
    assert any(line[2:4] == ["eval", "generated"] for line in lines)


def test_the_bundled_model_is_fine_tuned_on_arrays(
    modules: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finetune = modules("finetune")
    config = eqr.TrainConfig(steps=1, slots=2, max_segments=2, compile=False, bf16=False, log_seconds=1e-9)
    model = finetune.finetune(finetune.generated(0, 4), finetune.generated(1, 4), config, tmp_path / "tuned")
    assert re.search(r"before: \d.*\nafter 1 steps: \d", capsys.readouterr().out)
    ours, theirs = (dict(kept.named_parameters()) for kept in (model, eqr.load(tmp_path / "tuned")))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    bundled = dict(eqr.load("sudoku").named_parameters())
    assert any(not torch.equal(ours[name], bundled[name]) for name in ours)


# The example takes more than a minute for boards of 4x4. Boards of 3x3 are learned in seconds.
SHRUNK = {
    "preset.py": {
        "Futoshiki(4)": "Futoshiki(3)",
        "channels=64": "channels=32",
        "pool=4000": "pool=300",
        "=600": "=250",
    },
    "train.py": {"Futoshiki(4)": "Futoshiki(3)", "._.>._. _______ ._.>._. ____v__ ._.<._. _______ ._._._3": BOARD_3X3},
}


@pytest.mark.slow
def test_the_story_of_the_example_ends_with_a_model_that_solves_new_boards(unpacked: Path, tmp_path: Path) -> None:
    for example in EXAMPLES.glob("*.py"):
        code = example.read_text()
        for long, short in SHRUNK.get(example.name, {}).items():
            assert long in code
            code = code.replace(long, short)
        (tmp_path / example.name).write_text(code)
    done = python(tmp_path, str(unpacked), "train.py")
    assert done.returncode == 0, done.stderr
    exact = re.search(r"([\d.]+)% of 200 new puzzles", done.stdout)
    assert exact
    assert float(exact[1]) >= 90
    assert "valid, converged" in done.stdout
    assert "latent states: (4, 32, 1, 25, 32)" in done.stdout
