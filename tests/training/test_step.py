"""What a training step costs: waits for the device, operators, and the state on disk. Needs no GPU."""

import ctypes
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import nullcontext
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from counting import Operators, Syncs, without_numbers
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from eqr.cli import main
from eqr.data.files import collect
from eqr.data.sampler import PuzzleSampler
from eqr.distributed import Ranks
from eqr.errors import InputError
from eqr.model import Reasoner
from eqr.presets import configured
from eqr.random import streams
from eqr.runtime import RowWorkers
from eqr.tasks import task_named
from eqr.training import gradients, trainer
from eqr.training.carried import whole
from eqr.training.gradients import Passes
from eqr.training.optim import Muon, make_average, muon, orthogonalised, update_average
from eqr.training.run import train
from eqr.training.trainer import Run, Trainer

TINY = configured("sudoku4_tiny", ["pool=60", "model.channels=8", "slots=8", "hint_every=2", "noise=0.1"])


PASS_BUDGET, STEP_BUDGET = 763, 136
"""Operators of the passes of a step, and of all else in it."""


def waits(steps: int) -> Counter[str]:
    """Calls that wait for a value on the device, by line, in a run without log and checkpoints."""
    syncs = Syncs("measure/", "engine/", "storage/", "data/", "tasks/")
    with syncs:
        train(TINY.model, config=replace(TINY.train, steps=steps, evaluated=1))
    return syncs.lines


def test_a_step_waits_once() -> None:
    more = waits(30) - waits(10)
    assert sum(more.values()) <= 20, more
    assert all(line.startswith("training/trainer.py:") for line in more)


def operators_of_a_step(monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """Operators of the passes of one step, and of all else in it."""
    inside, counts = Operators(), []
    plain = Passes._pass

    def counted(*arguments: object) -> object:
        with inside:
            return plain(*arguments)  # type: ignore[arg-type]

    apply = Trainer._apply

    def applied(run: Trainer) -> None:
        counts.append(outside.total)
        apply(run)

    monkeypatch.setattr(Passes, "_pass", counted)
    monkeypatch.setattr(Trainer, "_apply", applied)
    outside = Operators()
    with outside:
        train(TINY.model, config=replace(TINY.train, steps=12, evaluated=1))
    gaps = sorted(later - earlier for earlier, later in pairwise(counts))
    return inside.total // len(counts), gaps[len(gaps) // 2]


def test_operators_of_a_step_stay_within_their_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each starts a kernel on a device; the counts are those of today and may not rise."""
    of_passes, beside = operators_of_a_step(monkeypatch)
    assert of_passes <= PASS_BUDGET
    assert beside <= STEP_BUDGET


def test_the_loss_is_one_graph_without_breaks() -> None:
    from eqr.training.loss import segment_loss

    preset = configured("paper_sudoku", ["model.channels=16", "model.token_hidden=16"])
    model, config = Reasoner(preset.model), preset.train
    z = torch.zeros(2, *model.state_shape)
    ids = torch.ones(2, model.task.layout.width, dtype=torch.long)
    noise = torch.zeros(2, *model.noise_shape)
    explained = torch._dynamo.explain(segment_loss)(model, z, ids, ids, noise, config)
    assert (explained.graph_count, explained.graph_break_count) == (1, 0)


def test_a_state_without_slots_is_small_and_a_run_goes_on_from_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = replace(TINY.train, steps=6, save_slots=False, save_minutes=1e-9)
    train(TINY.model, config=replace(config, steps=3), out=tmp_path)
    kept = torch.load(tmp_path / "state.pt", weights_only=True)
    assert kept["average"]["module.answer_head"].dtype == torch.bfloat16
    drawn = kept["slots"]
    assert drawn.keys() == {"drawn"}
    assert (drawn["drawn"] >= 1).all()
    trained = train(TINY.model, config=config, out=tmp_path, resume=True)
    assert trained.step == 6
    assert "keeps no slots: each goes on with its next puzzle" in capsys.readouterr().err
    after = torch.load(tmp_path / "state.pt", weights_only=True)["slots"]["drawn"]
    assert (after > drawn["drawn"]).all()


def test_a_command_line_may_leave_the_slots_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--out", str(tmp_path), "--threads", "1", "--set", "pool=20", "slots=4", "evaluated=1"]
    main(["train", "sudoku4_tiny", *options, "--steps", "2", "--no-save-slots"])
    assert torch.load(tmp_path / "state.pt", weights_only=True)["slots"].keys() == {"drawn"}
    main(["train", "sudoku4_tiny", *options, "--steps", "4", "--resume"])  # the option may change
    assert "keeps no slots: each goes on with its next puzzle" in capsys.readouterr().err
    assert "z" in torch.load(tmp_path / "state.pt", weights_only=True)["slots"]


def test_the_average_is_that_of_the_library() -> None:
    models = [Reasoner(TINY.model) for _ in range(2)]
    ours, theirs = (make_average(model, 0.9) for model in models)
    for step in range(4):
        for model, generator in ((model, torch.Generator().manual_seed(step)) for model in models):
            for weight in model.parameters():
                weight.data.normal_(generator=generator)
        update_average(ours, models[0], first=step == 0)
        theirs.update_parameters(models[1])
    for name, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], value), name


def test_the_small_form_of_a_state_keeps_weights_to_the_bit_and_the_rest_closely(tmp_path: Path) -> None:
    trained = train(TINY.model, config=replace(TINY.train, steps=30, save_slots=False), out=tmp_path)
    state = whole(torch.load(tmp_path / "state.pt", weights_only=True))
    for name, value in trained.model.state_dict().items():
        torch.testing.assert_close(state["average"][f"module.{name}"], value, rtol=1e-3, atol=1e-4)
        assert state["model"][name].dtype == torch.float32
    state["optimizers"][0]["state"] = "damaged"
    with pytest.raises(InputError, match="its small form does not fit"):
        whole(state)


def test_the_state_of_the_largest_preset_without_slots_is_below_60_megabytes(tmp_path: Path) -> None:
    preset, task = configured("paper_sudoku", ["slots=2"]), task_named("sudoku")
    puzzles = collect(task, task.generate(seed=0), 2)
    config = replace(preset.train, steps=1, save_slots=False, compile=False, evaluated=1, eval_depth=1)
    train(preset.model, (puzzles.questions, puzzles.answers), config=config, out=tmp_path)
    assert (tmp_path / "state.pt").stat().st_size < 60e6


@pytest.mark.parametrize("shape", [(128, 32), (16, 48), (8, 8)])
def test_matrices_that_move_together_move_as_those_of_torch_do_one_by_one(shape: tuple[int, int]) -> None:
    options = {"lr": 0.02, "momentum": 0.95, "weight_decay": 0.1, "adjust_lr_fn": "match_rms_adamw"}
    generator = torch.Generator().manual_seed(0)
    ours = [torch.nn.Parameter(torch.randn(shape, generator=generator)) for _ in range(3)]
    theirs = [torch.nn.Parameter(matrix.detach().clone()) for matrix in ours]
    together, alone = Muon(ours, **options), torch.optim.Muon(theirs, **options)  # type: ignore[arg-type]
    for _ in range(4):
        for mine, other in zip(ours, theirs, strict=True):
            mine.grad = torch.randn(shape, generator=generator)
            other.grad = mine.grad.clone()
        together.step()
        alone.step()
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=2e-3)  # torch orthogonalises in bfloat16
    momenta = [[state["momentum_buffer"] for state in optimizer.state.values()] for optimizer in (together, alone)]
    torch.testing.assert_close(momenta[0], momenta[1])


def test_orthogonalised_matrices_have_singular_values_close_to_1() -> None:
    matrices = torch.randn(5, 40, 12, generator=torch.Generator().manual_seed(1))
    values = torch.linalg.svdvals(orthogonalised(matrices))
    assert 0.5 < values.min() < values.max() < 1.5


class Inline(Executor):
    """Runs everything in the caller's thread, where tensors without numbers are made."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        future = Future[Any]()
        future.set_result(function(*arguments, **named))
        return future


def plain_optimizers(model: Reasoner, lr: float, decay: float) -> list[torch.optim.Optimizer]:
    """Muon, and instead of AdamW, which is fused only on devices that exist, another."""
    chosen, rest = muon(model, lr, decay)
    return [chosen, torch.optim.SGD(rest.param_groups[0]["params"], lr=lr)]


SMALL = ["model.channels=8", "model.heads=2", "slots=6", "rows=3", "noise=0.1", "compile=false", "bf16=false"]
PAPER = ["model.task=sudoku4", "model.token_hidden=8", "model.cycles=2", "model.layers=1"]


@pytest.mark.parametrize(("preset", "changes"), [("sudoku4_tiny", ["hint_every=2"]), ("paper_sudoku", PAPER)])
def test_a_step_mixes_no_devices_and_waits_for_no_number(
    preset: str, changes: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On tensors without numbers: an operator that mixes devices fails, and so does one that needs a number."""
    meta, reads = torch.device("meta"), []
    tiny, task = configured(preset, [*SMALL, *changes]), task_named("sudoku4")
    sampler = PuzzleSampler(task, [(collect(task, task.generate(seed=0), 20), 1.0)], True, 0.5, 0.5)

    def sent_home(values: torch.Tensor) -> Callable[[], Any]:
        assert isinstance(values, FakeTensor)
        reads.append((values.device.type, *values.shape))
        # Loss, left, solved, stop, seconds and norm; then the slots that puzzles left.
        return lambda: SimpleNamespace(tolist=lambda: [1.0, 2.0, 1.0, 0.0, 0.1, 0.5, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0])

    monkeypatch.setattr(trainer, "sent_home", sent_home)
    monkeypatch.setattr(trainer, "row_workers", lambda device: nullcontext(RowWorkers(1, device, Inline())))
    monkeypatch.setattr(gradients, "mixed_precision", lambda device, bf16: nullcontext())
    monkeypatch.setattr(Trainer, "save", lambda self: None)
    monkeypatch.setattr(Reasoner, "to", lambda self, device: self)  # it is there
    streams._quantiles.cache_clear()
    config = replace(tiny.train, steps=5, save_minutes=1e9, eval_minutes=1e9, optimizer=plain_optimizers)
    parts: dict[str, Any] = {"held_out": {}, "folder": tmp_path, "seed": 0, "identity": {}}
    model = Reasoner(tiny.model)
    average = make_average(model, 0.9)
    monkeypatch.setattr(trainer, "make_average", lambda model, decay: average)
    # The first update of an average is the library's, which waits.
    monkeypatch.setattr(trainer, "update_average", lambda average, model, first: update_average(average, model, False))
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        without_numbers(model, mode)
        without_numbers(average.module, mode)
        run = Run(model=model, config=config, sampler_for=lambda task: sampler, **parts)
        Trainer(run, Ranks(), meta, lambda record: None).train()
    streams._quantiles.cache_clear()
    assert reads == [("meta", 6 + 6)] * 5


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc")
def test_a_process_keeps_the_memory_that_it_frees() -> None:
    script = """
import resource
import torch
from eqr.runtime import keep_freed_memory

def pages_fetched() -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        parts = [torch.ones(2_000_000) for _ in range(4)]
        del parts
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

before = pages_fetched()
keep_freed_memory()
pages_fetched()
print(before, pages_fetched())
"""
    before, after = map(
        int, subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    )
    assert before > 10_000, "memory is given back"
    assert after < before / 10
