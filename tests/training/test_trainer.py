"""Training runs of seconds on 4x4 boards, through the same entry point as the command line."""

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from eqr.cli import main
from eqr.data.files import collect
from eqr.engine import SolveConfig, evidence_stream
from eqr.errors import InputError
from eqr.measure.evaluate import evaluate
from eqr.model import ModelConfig, Reasoner
from eqr.paper.presets import changed
from eqr.presets import PRESETS, configured
from eqr.random import Streams
from eqr.storage.checkpoint import load
from eqr.tasks import task_named
from eqr.training.config import Preset
from eqr.training.optim import learning_rate_scale
from eqr.training.run import Trained, locked, train
from eqr.training.trainer import Diverged, Trainer

TASK = task_named("sudoku4")
PRESET = changed(PRESETS["sudoku4_tiny"], pool=100)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def run(
    folder: Path,
    steps: int,
    resume: bool = False,
    preset: Preset = PRESET,
    start_from: str | None = None,
    **options: Any,
) -> Trained:
    config = replace(preset.train, steps=steps, **options)
    return train(preset.model, config=config, out=folder, start_from=start_from, resume=resume)


def interrupt_at(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """Press Ctrl-C in the middle of the next run's step ``steps``."""
    original = Trainer._refuse_divergence

    def press(self: Trainer, step: int, loss: float, norm: float) -> None:
        if step == steps:
            monkeypatch.setattr(Trainer, "_refuse_divergence", original)
            os.kill(os.getpid(), signal.SIGINT)
        original(self, step, loss, norm)

    monkeypatch.setattr(Trainer, "_refuse_divergence", press)


@pytest.mark.slow
def test_the_tiny_preset_learns_4x4_boards_and_its_halting_head_when_answers_are_right(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    main(["train", "sudoku4_tiny", "--out", str(folder), "--steps", "300", "--threads", "1"])
    unseen, model = collect(TASK, TASK.generate(seed=123), 200), load(folder)
    report = evaluate(model, unseen, SolveConfig(depth=32))
    assert report.exact_accuracy >= 0.95
    assert report.token_accuracy >= report.exact_accuracy
    solved = list(
        evidence_stream(model, collect(TASK, TASK.generate(seed=5), 100).batch().inputs, SolveConfig(depth=32))
    )
    assert sum(bool(found.halt_logit > 0) for found in solved) > 95


@pytest.mark.slow
def test_a_resumed_run_ends_with_the_weights_of_an_unbroken_one_whatever_the_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"rows": 8, "noise": 0.3}
    run(tmp_path / "whole", 40, **options)
    interrupt_at(monkeypatch, 16)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "broken", 40, **options)
    torch.set_num_threads(2)
    with (tmp_path / "broken" / "log.jsonl").open("a") as log:
        log.write('{"event": "train", "step": 23}\n{"event": "tra')  # a kill after the checkpoint
    run(tmp_path / "broken", 40, resume=True, **options)
    whole, broken = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "broken"))
    assert all(torch.equal(whole[name], broken[name]) for name in whole)
    log = [json.loads(line) for line in (tmp_path / "broken" / "log.jsonl").read_text().splitlines()]
    others = [(line["event"], line["step"]) for line in log if line["event"] != "train"]
    assert others == [("start", 0), ("start", 19), ("eval", 40)]
    assert all("loss" in line for line in log if line["event"] == "train")
    assert log[-2]["step"] == 40


def test_a_run_starts_from_trained_weights(tmp_path: Path, tiny_run: Path) -> None:
    tuned = run(tmp_path, 2, start_from=str(tiny_run), lr=1e-9)
    trained = load(tiny_run).state_dict()
    for name, value in tuned.model.state_dict().items():
        torch.testing.assert_close(value, trained[name])
    with pytest.raises(InputError, match="its answer_head does not fit the preset's network"):
        run(tmp_path / "other", 2, start_from=str(tiny_run), preset=configured("sudoku4_tiny", ["model.channels=8"]))


def test_more_blocks_than_the_trained_network_has_change_nothing_at_first(tmp_path: Path, tiny_run: Path) -> None:
    deeper = configured("sudoku4_tiny", ["model.layers=3", "lr=1e-12", "pool=100"])
    grown, trained = run(tmp_path, 1, start_from=str(tiny_run), preset=deeper).model, load(tiny_run)
    x = trained.embed(TASK.encode("1..............."))
    z = trained.init(Streams.numbered(0, range(1)))
    assert len(grown.blocks) == 3
    assert len(trained.blocks) == 1
    torch.testing.assert_close(grown.segment(z, x), trained.segment(z, x), atol=1e-4, rtol=1e-4)


def test_interruption_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupt_at(monkeypatch, 3)
    with pytest.raises(SystemExit) as stop:
        main(["train", "sudoku4_tiny", "--out", str(tmp_path), "--steps", "9", "--set", "pool=50", "--threads", "1"])
    assert stop.value.code == 130
    assert "--resume" in capsys.readouterr().err


def test_a_diverging_run_stops_and_keeps_the_last_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", "sudoku4_tiny", "--out", str(tmp_path), "--threads", "1", "--set", "pool=50"]
    main([*arguments, "--steps", "5"])
    good = (tmp_path / "state.pt").read_bytes()
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "lr=1e30", "--steps", "9", "--resume"])
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert "the loss is nan" in error
    assert "step 6:" in error
    assert (tmp_path / "state.pt").read_bytes() == good


def test_a_folder_is_not_trained_in_twice(tmp_path: Path) -> None:
    run(tmp_path, 2)
    with pytest.raises(InputError, match="already holds a run: continue with --resume"):
        run(tmp_path, 2)
    with locked(tmp_path), pytest.raises(InputError, match="another process is training"):
        run(tmp_path, 2, resume=True)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_run_replaces_no_model(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("of another run")
    with pytest.raises(InputError, match="already holds a model, which the run would replace: choose another --out"):
        run(tmp_path, 2)
    assert (tmp_path / name).read_text() == "of another run"


@pytest.mark.parametrize(
    ("change", "said"),
    [({"slots": 64}, "trained with slots 32, this command says 64"), ({"pool": 50}, "trained with pool 100")],
)
def test_another_run_is_not_resumed(tmp_path: Path, change: dict[str, int], said: str) -> None:
    run(tmp_path, 2)
    with pytest.raises(InputError, match=said):
        run(tmp_path, 4, resume=True, **change)
    assert run(tmp_path, 4, resume=True, lr=1e-3).step == 4
    with pytest.raises(InputError, match="the budget is spent"):
        run(tmp_path, 4, resume=True)


def test_a_gradient_that_is_not_finite_never_reaches_the_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda parameters, norm: torch.tensor(torch.nan))
    with pytest.raises(Diverged, match="its gradient is nan"):
        run(tmp_path, 2)
    assert not (tmp_path / "state.pt").exists()


def test_an_unwritable_log_stops_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").mkdir()
    with pytest.raises(InputError, match="cannot write"):
        run(tmp_path, 2)


def test_a_share_of_hard_puzzles_that_are_not_there_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = ["pool=8", "hard_share=0.1", "hard_guesses=1000000", "evaluated=1"]
    with pytest.raises(SystemExit, match="2"):
        main(["train", "sudoku4_tiny", "--out", str(tmp_path / "run"), "--steps", "1", "--set", *changes])
    (said,) = capsys.readouterr().err.splitlines()
    assert "hard_guesses is 1,000,000, and the hardest of the 8 generated puzzles is rated" in said
    assert said.endswith(": lower it, raise pool, or set hard_share=0")
    main(["train", "sudoku4_tiny", "--out", str(tmp_path / "run"), "--steps", "1", "--set", *changes, "hard_share=0"])


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--steps 0", "steps is 0"),
        ("--minutes -1", "minutes is -1"),
        ("--minutes 1 --steps 1", "give one of them"),
        ("--steps 1 --seed -1", "training seeds are 0 to"),
        ("--steps 1 --set rows=-5", "rows is -5"),
        ("--steps 1 --set ema=1.5", "ema is 1.5: a share lies between 0 and 1"),
        ("--steps 1 --set hard_share=0.9", "hard_share + extra_share is 1.25"),
    ],
)
def test_budgets_and_options_out_of_range_are_refused(
    tmp_path: Path, option: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["train", "sudoku4_tiny", "--out", str(tmp_path / "run"), *option.split()])
    assert stop.value.code == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_damaged_state_is_named(tmp_path: Path) -> None:
    run(tmp_path, 2)
    state = tmp_path / "state.pt"
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"state\.pt is damaged"):
        run(tmp_path, 4, resume=True)


def test_passes_of_a_step_add_up_to_the_whole(tmp_path: Path) -> None:
    # One puzzle in every slot, so that every pass has as many blanks and the means agree.
    weights = []
    for rows in (8, 32):
        run(tmp_path / str(rows), 1, rows=rows, pool=1, reveal_share=0.0, weight_decay=0.0)
        weights.append(load_file(tmp_path / str(rows) / "model.safetensors"))
    start = Reasoner(PRESET.model, torch.Generator().manual_seed(0)).state_dict()
    for name, value in start.items():
        moved = [other[name] - value for other in weights]
        torch.testing.assert_close(moved[0], moved[1], atol=2e-6, rtol=1e-3)


def test_the_learning_rate_warms_up_holds_and_falls_to_zero() -> None:
    def scale(step: int, progress: float) -> float:
        return learning_rate_scale(step, progress, warmup_steps=100, decay_share=0.25)

    assert [scale(0, 0.0), scale(49, 0.1), scale(500, 0.75)] == [0.01, 0.5, 1.0]
    assert scale(500, 0.875) == pytest.approx(0.5)
    assert scale(500, 1.0) == 0.0


@pytest.mark.parametrize(
    ("preset", "changes", "said"),
    [
        ("sudoku_cpuu", [], "did you mean 'sudoku_cpu'"),
        ("sudoku_cpu", ["learning=1"], "option 'learning' is not known"),
        ("sudoku_cpu", ["model.chanels=1"], "did you mean 'channels'"),
        ("sudoku_cpu", ["lr"], "write key=value"),
        ("sudoku_cpu", ["slots=many"], "a value of type int is needed"),
        ("sudoku_cpu", ["save_minutes=1"], "write --save-minutes 1 instead"),
    ],
)
def test_unknown_presets_and_options_suggest_the_nearest(preset: str, changes: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        configured(preset, changes)


def test_changes_reach_the_network_and_the_run() -> None:
    preset = configured("sudoku_cpu", ["lr=0.01", "compile=false", "model.channels=16", "model.halt_bias=-2.5"])
    assert (preset.train.lr, preset.train.compile, preset.model.channels) == (0.01, False, 16)
    assert preset.model.halt_bias == -2.5


def growing() -> Preset:
    model = ModelConfig(task="maze5", block="conv", channels=8, updates_per_segment=2)
    options = {"pool": 50, "slots": 4, "max_segments": 1, "grow_to": 7, "grow_at": 0.0, "evaluated": 2}
    return Preset(model=model, train=replace(PRESET.train, **options))


def test_boards_grow_with_success_and_a_resumed_run_grows_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eqr.training.trainer.RECENT", 10)
    whole = run(tmp_path / "whole", 24, preset=growing())
    assert whole.model.task.name == "maze7"  # 9 is beyond grow_to
    assert torch.load(tmp_path / "whole" / "state.pt", weights_only=True)["slots"]["inputs"].shape == (4, 49)
    interrupt_at(monkeypatch, 16)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "broken", 24, preset=growing())
    run(tmp_path / "broken", 24, resume=True, preset=growing())
    ends = [load_file(tmp_path / name / "model.safetensors") for name in ("whole", "broken")]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
    assert load(tmp_path / "whole").task.name == "maze7"


def test_boards_that_cannot_grow_are_told_before_training(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="sudoku4 has no larger boards"):
        run(tmp_path, 24, grow_to=9)


def test_data_of_one_size_is_refused_for_boards_that_grow(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["train", "maze_cpu", "--data", "mazes.csv", "--out", str(tmp_path / "run"), "--steps", "1"])
    assert stopped.value.code == 2
    assert "grow_to=15 lets boards grow" in capsys.readouterr().err
