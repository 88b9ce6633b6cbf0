"""What a training step costs: waits for the device, operators, and the state on disk. Needs no GPU."""

import inspect
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from counting import Operators, Syncs

from eqr.data.files import collect
from eqr.errors import InputError
from eqr.model import Reasoner
from eqr.presets import configured
from eqr.tasks import task_named
from eqr.training import trainer
from eqr.training.carried import whole
from eqr.training.gradients import Passes
from eqr.training.optim import Muon, orthogonalised
from eqr.training.run import train
from eqr.training.trainer import Trainer

TINY = configured("sudoku4_tiny", ["pool=60", "model.channels=8", "slots=8", "hint_every=2", "noise=0.1"])


PASS_BUDGET, STEP_BUDGET = 756, 432
"""Operators of the passes of a step, and of all else in it."""


def waits(steps: int) -> Counter[str]:
    """Calls that wait for a value on the device, by line, in a run without log and checkpoints."""
    syncs = Syncs("measure/", "engine/", "storage/", "data/", "tasks/")
    with syncs:
        train(TINY.model, config=replace(TINY.train, steps=steps, evaluated=1))
    source = inspect.getsource(trainer).splitlines()
    lines = {call: source[int(call.split(":")[1].split()[0]) - 1] for call in syncs.lines if "trainer.py" in call}
    # The average counts its updates on the host.
    averaged = [call for call, line in lines.items() if "self.average.update_parameters(" in line]
    return Counter({call: count for call, count in syncs.lines.items() if call not in averaged})


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
