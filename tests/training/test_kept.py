"""Runs that go on although a file beside their state is damaged, and states that no run can go on from."""

import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from eqr.errors import InputError
from eqr.model import Reasoner
from eqr.paper.presets import changed
from eqr.presets import PRESETS
from eqr.tasks import task_named
from eqr.training.log import forget_after
from eqr.training.pool import damage_of
from eqr.training.run import Trained, train
from eqr.training.trainer import Diverged

PRESET = changed(PRESETS["sudoku4_tiny"], pool=20, slots=4, evaluated=2, compile=False, bf16=False, decay_share=0.0)


def run(folder: Path, steps: int, resume: bool = True, **options: Any) -> Trained:
    return train(PRESET.model, config=replace(PRESET.train, steps=steps, **options), out=folder, resume=resume)


@pytest.fixture(scope="module")
def two_steps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four steps with its states after two and four steps."""
    folder = tmp_path_factory.mktemp("run")
    run(folder, 2, resume=False)
    run(folder, 4)
    return folder


@pytest.fixture
def folder(two_steps: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(two_steps, tmp_path / "run"))


@pytest.fixture(scope="module")
def weights(two_steps: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """The weights of the unbroken run after six steps."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    shutil.copytree(two_steps, folder)
    run(folder, 6)
    return load_file(folder / "model.safetensors")


def same(folder: Path, weights: dict[str, torch.Tensor]) -> bool:
    ours = load_file(folder / "model.safetensors")
    return all(torch.equal(ours[name], value) for name, value in weights.items())


@pytest.mark.parametrize(
    "end",
    [
        b"\0" * 5000,
        b'{"event": "train", "st',
        b"\xff\xfe\x00\n",
        b"[" * 20_000 + b"\n",
        b'{"event": "train"}\n',
        b'{"step": "x"}\n' + b"\0" * 2**21,
    ],
)
def test_a_damaged_log_keeps_no_run_from_going_on(
    folder: Path, weights: dict[str, torch.Tensor], end: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    log = folder / "log.jsonl"
    before = log.read_bytes()
    log.write_bytes(before + end)
    run(folder, 6)
    said = capsys.readouterr().err
    assert f"notice: {log} has" in said
    assert "which are deleted" in said or "which is deleted" in said
    assert log.read_bytes().startswith(before)
    assert all("event" in json.loads(line) for line in log.read_text().splitlines())
    assert same(folder, weights)


def test_a_whole_log_is_kept_up_to_the_step_and_nothing_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text('{"step": 1}\n{"step": 3}\n')
    forget_after(log, 2)
    assert log.read_text() == '{"step": 1}\n'
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("lines", "said"), [(1, "1 damaged line, which is"), (2, "2 damaged lines, which are")])
def test_damaged_lines_of_a_log_are_counted(
    tmp_path: Path, lines: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.jsonl"
    log.write_bytes(b'{"step": 1}\n' + b"x\n" * lines)
    forget_after(log, 2)
    assert capsys.readouterr().err == f"notice: {log} has {said} deleted\n"
    assert log.read_text() == '{"step": 1}\n'


def without_end(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def with_bomb(path: Path) -> None:
    """Eight thousand million zeros in eight megabytes would take a minute to write; their header alone is as good."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name in ("questions", "answers", "ratings"):
            head = (
                b"\x93NUMPY\x01\x00v\x00"
                + f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({10**13},), }}".encode()
            )
            file.writestr(f"{name}.npy", head.ljust(127) + b"\n" + bytes(2**20))


def with_wrong_answer(path: Path) -> None:
    with np.load(path) as arrays:
        content = dict(arrays)
    content["answers"][3, 0] = 5
    np.savez(path, **content)


def with_objects(path: Path) -> None:
    np.savez(path, questions=np.array([None] * 20), answers=np.array([None] * 20), ratings=np.zeros(20))


@pytest.mark.parametrize(
    "damage", [without_end, with_bomb, with_wrong_answer, with_objects, lambda path: path.write_bytes(b"")]
)
def test_a_damaged_pool_is_made_again(
    folder: Path, weights: dict[str, torch.Tensor], damage: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    (pool,) = folder.glob("pool-*.npz")
    with np.load(pool) as arrays:
        before = dict(arrays)
    damage(pool)
    run(folder, 6)
    assert f"notice: {pool} is damaged (" in capsys.readouterr().err
    with np.load(pool) as arrays:
        assert all(np.array_equal(before[name], arrays[name]) for name in before)
    assert same(folder, weights)


def test_a_good_pool_has_no_damage(two_steps: Path) -> None:
    (pool,) = two_steps.glob("pool-*.npz")
    assert damage_of(pool, task_named("sudoku4"), 20) is None
    assert damage_of(pool, task_named("sudoku4"), 21) == "questions has another shape or type"


def put(*path: str | int) -> Callable[[Any, Any], None]:
    """Returns a function that puts a value at a place in nested containers."""

    def change(state: Any, value: Any) -> None:
        for key in path[:-1]:
            state = state[key]
        state[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (put("model", "halt_bias"), torch.tensor(torch.nan), "'model.halt_bias' holds a number that is not finite"),
        (put("model", "halt_bias"), torch.zeros(2), "'model.halt_bias' does not fit"),
        (put("model", "\x1b[2J"), torch.zeros(2), "'model' does not fit"),
        (put("model"), {}, "'model' does not fit"),
        (put("average", "n_averaged"), 3, "'average.n_averaged' does not fit"),
        (put("average"), None, "'average' does not fit"),
        (put("optimizers"), [], "'optimizers' does not fit"),
        (put("optimizers", 0, "param_groups", 0, "betas"), "x", r"'optimizers\[0\].param_groups' does not fit"),
        (put("optimizers", 0, "param_groups", 0, "params"), [9], r"'optimizers\[0\].param_groups' does not fit"),
        (put("optimizers", 0, "state", 0), {}, r"'optimizers\[0\].state\[0\]' does not fit"),
        (put("optimizers", 0, "state", 77), {}, r"'optimizers\[0\].state' does not fit"),
        (put("optimizers", 0, "state", 0, "momentum_buffer"), torch.zeros(3), "momentum_buffer' does not fit"),
        (put("optimizers", 1, "state", 0, "step"), torch.tensor(torch.inf), "step' holds a number that is not finite"),
        (put("slots", "told"), torch.zeros(4, 16), "'slots.told' does not fit"),
        (put("slots", "told"), torch.full((4, 16), 9), "'slots.told' does not fit"),
        (put("slots", "drawn"), torch.full((4,), -1), "'slots.drawn' does not fit"),
        (put("slots", "z"), torch.zeros(1), "'slots.z' does not fit"),
        (put("slots"), {}, "'slots.inputs' does not fit"),
        (put("losses"), [1.0, "x"], "'losses' does not fit"),
        (put("left"), [(1, 2, 3)], "'left' does not fit"),
        (put("seconds"), float("inf"), "'step or seconds' does not fit"),
        (put("step"), "x", "is not a training state of this program"),
        (put("step"), -1, "'step or seconds' does not fit"),
        (put("task"), "sudoku9999", "its board 'sudoku9999' is not one of this run"),
        (put("bf16"), 0.5, "'bf16' does not fit"),
        (put("identity"), [], "is not a training state of this program"),
        (put("identity", 3), "x" * 10_000, "was trained with 3 x"),
        (put("losses"), [complex(1)], "would call"),
    ],
)
def test_a_state_that_does_not_fit_is_named_and_the_one_before_it_is_used(
    folder: Path,
    weights: dict[str, torch.Tensor],
    place: Callable[[Any, Any], None],
    value: object,
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    state = torch.load(folder / "state.pt", weights_only=True)
    place(state, value)
    torch.save(state, folder / "state.pt")
    alone = Path(shutil.copytree(folder, folder.with_name("alone")))
    run(folder, 6)
    told = capsys.readouterr().err
    assert "continuing from the state before it, step 2" in told
    assert same(folder, weights)
    (alone / "state.previous.pt").unlink()
    with pytest.raises(InputError, match=said) as caught:
        run(alone, 6)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("lr", [float("inf"), float("nan"), -1.0, 0.0])
def test_a_learning_rate_that_is_no_number_is_refused(lr: float) -> None:
    with pytest.raises(InputError, match=f"lr is {lr}: it must be more than 0 and finite, such as 0.005"):
        replace(PRESET.train, lr=lr)


def test_weights_that_are_not_finite_are_neither_trained_nor_saved(tmp_path: Path) -> None:
    model = Reasoner(PRESET.model)
    with torch.no_grad():
        model.halt_bias.fill_(torch.nan)
    with pytest.raises(InputError, match="has a weight 'halt_bias' that is not finite: give another one"):
        train(model, config=PRESET.train, out=tmp_path / "nan")
    with pytest.raises(
        Diverged, match=r"the weight '.*' is not finite; lower the learning rate, e\.g\. --set lr=0.005"
    ):
        run(tmp_path / "far", 1, resume=False, lr=1e38, warmup_steps=0, weight_decay=1e9)
    assert not (tmp_path / "far" / "model.safetensors").exists()
