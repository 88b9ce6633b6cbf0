"""An exported model answers as the model does, under onnxruntime and without torch."""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor

import eqr
from eqr.cli import main
from eqr.engine import evidence_stream
from eqr.errors import InputError
from eqr.model import ModelConfig, Reasoner
from eqr.model.blocks import BLOCKS
from eqr.random import Streams, row_key
from eqr.storage.onnx import METADATA, description, difference, export
from eqr.tasks import task_named

EXAMPLE = Path(__file__).parents[1] / "examples" / "onnx" / "solve.py"
EASY = "..3.2.6..9..3.5..1..18.64....81.29..7.......8..67.82....26.95..8..2.3..9..5.1.3.."
ANSWER = "483921657967345821251876493548132976729564138136798245372689514814253769695417382"
SHAPES = {
    # Of each block, and of each recursion and start.
    "relation": {"task": "sudoku4"},
    "symbol": {"task": "sudoku4", "damping": 0.2},
    "axial": {"task": "maze7"},
    "conv": {"task": "maze7"},
    "mixer": {
        "task": "sudoku4",
        "recursion": "hierarchical",
        "cycles": 1,
        "prefix_tokens": 2,
        "init": "fixed",
        "updates_per_segment": 1,
    },
    "synthesizer": {"task": "sudoku4", "prefix_tokens": 1},
    "attention": {
        "task": "sudoku4",
        "recursion": "two_modules",
        "cycles": 1,
        "init": "truncated",
        "scratch_std": 0.5,
        "updates_per_segment": 1,
    },
}


def tiny(block: str, **changes: object) -> Reasoner:
    sizes = {"channels": 8, "token_hidden": 8, "heads": 2, "updates_per_segment": 2}
    config = ModelConfig(block=block, **{**sizes, **SHAPES[block], **changes})
    return Reasoner(config, torch.Generator().manual_seed(1))


def boards(model: Reasoner, count: int) -> Tensor:
    puzzles = itertools.islice(model.task.generate(seed=7), count)
    return torch.stack([torch.from_numpy(puzzle.question).long() for puzzle in puzzles])


def run(path: Path, model: Reasoner, ids: Tensor, depth: int) -> tuple[Tensor, Tensor]:
    """Answers and residuals (B,) after ``depth`` segments of the file from the engine's own starts."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    z = model.init(Streams.of(row_key(0, model.task.identity(puzzle), 0) for puzzle in ids)).numpy()
    for _ in range(depth):
        z, logits, halt_logit, residual = session.run(None, {"z": z, "ids": ids.numpy()})
    assert halt_logit.shape == (len(ids),)
    found = torch.from_numpy(logits.argmax(-1) + 1)
    return torch.where(model.task.layout.to_find(ids), found, ids), torch.from_numpy(residual)


def assert_same_answers(path: Path, model: Reasoner, ids: Tensor, depth: int) -> None:
    answers, residual = run(path, model, ids, depth)
    found = list(evidence_stream(model, ids, eqr.SolveConfig(depth=depth, halt="fixed", window=1)))
    assert torch.equal(answers, torch.cat([evidence.answers for evidence in found]))
    torch.testing.assert_close(residual, torch.cat([evidence.residual for evidence in found]), rtol=1e-3, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("block", list(BLOCKS))
def test_every_block_answers_alike_under_onnxruntime(block: str, tmp_path: Path) -> None:
    model, path = tiny(block), tmp_path / "model.onnx"
    export(model, path)
    assert difference(model, path) < 1e-4
    assert_same_answers(path, model, boards(model, 5), depth=2)
    assert_same_answers(path, model, boards(model, 1), depth=2)  # any number of rows
    about = json.loads(onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map[METADATA])
    assert about == json.loads(json.dumps(description(model)))
    assert about["state_shape"] == list(model.state_shape)
    assert b"site-packages" not in path.read_bytes()  # nothing of the machine that wrote it
    if block == "mixer":
        assert torch.equal(torch.tensor(about["start"]["state"]), model.start)
    if block == "attention":
        assert about["start"] == {"kind": "truncated", "std": [1.0, 0.5]}


@pytest.mark.slow
def test_boards_with_a_header_are_exported(tmp_path: Path) -> None:
    model = tiny("axial", task="arc3x12")
    path = tmp_path / "model.onnx"
    export(model, path)
    ids = torch.from_numpy(np.stack([model.task.board(number, [[1, 2], [3, 4]]) for number in (0, 11)])).long()
    assert_same_answers(path, model, ids, depth=2)
    assert json.loads(json.dumps(description(model)))["symbols"] == ".0123456789_"


@pytest.fixture(scope="module")
def sudoku(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    main(["export", "--model", "sudoku", "--out", str(path), "--threads", "1"])
    return path


@pytest.mark.slow
def test_the_bundled_sudoku_model_answers_alike(sudoku: Path) -> None:
    model = eqr.load("sudoku")
    assert_same_answers(sudoku, model, boards(model, 8), depth=8)
    assert sudoku.stat().st_size < 600_000  # each matrix once


@pytest.mark.slow
def test_the_bundled_maze_model_answers_alike_on_a_board_of_another_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "maze.onnx"
    main(["export", "--model", "maze", "--task", "maze11", "--out", str(path), "--threads", "1"])
    assert "maze11" in capsys.readouterr().out
    model = eqr.load("maze").for_task(task_named("maze11"))
    assert_same_answers(path, model, boards(model, 4), depth=8)


@pytest.mark.slow
def test_the_example_solves_a_sudoku_without_torch(sudoku: Path) -> None:
    code = f"import sys; sys.argv = ['solve.py', {str(sudoku)!r}, {EASY!r}]; exec(open({str(EXAMPLE)!r}).read()); "
    code += "print(sorted({'torch', 'eqr'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    *rows, told, imported = done.stdout.splitlines()
    assert "".join(rows).replace(" ", "") == ANSWER
    assert told.startswith("settled after ")
    assert imported == "[]"


@pytest.mark.slow
def test_the_example_says_when_a_board_does_not_settle(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    export(tiny("relation", updates_per_segment=1), path)  # untrained
    command = [sys.executable, str(EXAMPLE), str(path), "12.............1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    rows = done.stdout.splitlines()
    assert rows[0].startswith("1 2 ")
    assert rows[4].startswith("NOT settled after 64 segments")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--out", "."], "is a folder"),
        (["--model", "sudok"], "did you mean 'sudoku'"),
        (["--task", "maze9"], "this model answers sudoku, not maze9"),
    ],
)
def test_what_cannot_be_exported_is_told(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["export", *arguments])
    assert said in capsys.readouterr().err


def test_without_the_libraries_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx_ir.passes.common", None)
    with pytest.raises(InputError, match=r"pip install 'equilibrium-reasoners\[export\]'"):
        export(tiny("relation"), tmp_path / "model.onnx")
