"""The same code on a GPU: streams, answers and a training step agree with the CPU, and a step waits for nothing."""

from dataclasses import replace
from typing import Any

import pytest
import torch

import eqr
from eqr.data.files import collect, read_labelled
from eqr.distributed import Ranks
from eqr.model import Reasoner
from eqr.presets import configured
from eqr.random import NOISE, START, Streams
from eqr.runtime import RowWorkers
from eqr.tasks import task_named
from eqr.training.gradients import Passes
from eqr.training.run import train
from eqr.training.slots import Slots
from eqr.training.trainer import Trainer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
TINY = configured("sudoku4_tiny", ["pool=200", "model.channels=8", "slots=8", "hint_every=2", "noise=0.1"])


def gpu() -> torch.device:
    return torch.device("cuda")


@pytest.mark.parametrize("law", [Streams.normal, Streams.truncated])
@pytest.mark.parametrize("shape", [(1,), (7, 11), (3, 1001)])
def test_streams_are_equal_to_the_last_bit(law: Any, shape: tuple[int, ...]) -> None:
    """Of one block, of a part of one, and of more than one program of the kernel draws."""
    places = torch.tensor([0, 5, 2**33 + 1, 1, 2])
    for purpose, at, there in ((START, 3, 3), (NOISE, places, places.to(gpu()))):
        draws = law(Streams.of(range(-2, 3)), purpose, at, *shape)
        assert torch.equal(draws, law(Streams.of(range(-2, 3), gpu()), purpose, there, *shape).cpu())


def test_the_bundled_model_answers_as_on_the_cpu() -> None:
    here, there = eqr.load("sudoku"), eqr.load("sudoku").to(gpu())
    puzzles = read_labelled("examples/sudoku/puzzles.csv", here.task).batch().inputs
    config = eqr.SolveConfig(depth=32, breadth=1, halt="residual", suppose=0)
    answers = [eqr.solve(model, puzzles, config) for model in (here, there)]
    assert [mine.text for mine in answers[0]] == [other.text for other in answers[1]]


@pytest.mark.parametrize("compile", [False, True])
def test_a_run_learns_as_on_the_cpu(compile: bool) -> None:
    config = replace(TINY.train, steps=20, compile=compile, bf16=False, log_seconds=1e-9, evaluated=4)
    here, there = (
        [record["loss"] for record in train(TINY.model, config=config, device=device).log if "loss" in record]
        for device in (torch.device("cpu"), gpu())
    )
    assert there == pytest.approx(here, rel=1e-2)


@pytest.mark.parametrize("optimizer", ["muon", "adam_atan2"])
@pytest.mark.parametrize("init", ["normal", "fixed"])
def test_a_step_waits_only_for_the_numbers_of_the_step_before(
    optimizer: str, init: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those arrive by an event, which is no wait for all work: from the third step on nothing else waits."""
    steps: list[int] = []
    begin, apply = Passes.begin, Trainer._apply

    def strict(passes: Passes, workers: RowWorkers, model: Reasoner, slots: Slots, step: int) -> Any:
        if step >= 3:  # tables, kernels and moments are there
            torch.cuda.set_sync_debug_mode("error")
        return begin(passes, workers, model, slots, step)

    def ended(run: Trainer) -> None:
        apply(run)
        torch.cuda.set_sync_debug_mode("default")
        steps.append(run.step)

    monkeypatch.setattr(Passes, "begin", strict)
    monkeypatch.setattr(Trainer, "_apply", ended)
    config = replace(TINY.train, steps=9, evaluated=4, optimizer=optimizer, leave_probability=1.0)
    try:
        train(replace(TINY.model, init=init), config=config, device=gpu())
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert steps == list(range(9))


def test_puzzles_of_slots_are_those_of_the_cpu() -> None:
    task = task_named("sudoku4")
    puzzles = collect(task, task.generate(seed=0), 20)
    config = replace(TINY.train, steps=4, evaluated=4)
    models = [
        train(TINY.model, (puzzles.questions, puzzles.answers), config=config, device=device, ranks=Ranks()).model
        for device in (torch.device("cpu"), gpu())
    ]
    for mine, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(mine, other.cpu(), rtol=1e-2, atol=1e-3)
