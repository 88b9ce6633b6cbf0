"""Statistics of trajectories against their definitions on traces written by hand; starts; pictures of a trajectory."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from eqr.analysis import (
    Traces,
    correlation_of_budgets,
    correlation_of_rows,
    easy_and_hard,
    from_cold_start,
    from_random_starts,
    path_independence,
    spectral_radius,
    steps,
    traced,
    trajectory,
)
from eqr.analysis.basins import principal_components
from eqr.analysis.frames import animation, frame
from eqr.analysis.traces import turned_wrong
from eqr.data.files import collect
from eqr.engine import SolveConfig, evidence_stream
from eqr.model import ModelConfig, Reasoner
from eqr.random import Streams
from eqr.storage.checkpoint import load
from eqr.tasks import task_named


def by_hand(exact: list[list[str]], residual: torch.Tensor, difficulty: list[float]) -> Traces:
    """Traces of which ``exact`` says, for each puzzle and restart, at which segments the answer is right (``x``)."""
    right = torch.tensor([[[mark == "x" for mark in row] for row in puzzle] for puzzle in exact])
    return Traces(
        residual=residual,
        logit_change=torch.cat([torch.full_like(residual[..., :1], torch.inf), residual[..., 1:]], -1),
        halt_logit=right.float(),
        exact=right,
        token=right.float(),
        lost=turned_wrong(right.unsqueeze(-1)),  # boards of one cell
        answer=(~right).long() * torch.arange(1, right.shape[1] + 1).view(1, -1, 1),
        ends=right[..., -1:].to(torch.uint8),
        difficulty=torch.tensor(difficulty),
        measure="rating",
        window=2,
        tol=0.15,
    )


MIXED = [["..xx", ".x.x"], ["...x", "...."], ["....", "...."]]


def test_steps_count_to_the_answer_that_stays_and_to_rest() -> None:
    residual = torch.tensor([0.5, 0.1, 0.1, 0.1]).expand(3, 2, 4)
    found = steps(by_hand(MIXED, residual, [1.0, 2.0, 3.0]))
    assert found.right_at.tolist() == [[3, 4], [4, 0], [0, 0]]
    assert found.settled_at.eq(3).all()
    assert easy_and_hard(found) == [0, 1]
    assert sum(group.puzzles for group in found.groups) == 3


def test_path_independence_is_that_of_its_formula() -> None:
    traces = by_hand(MIXED, torch.rand(3, 2, 4), [1.0, 2.0, 3.0])
    cold = by_hand([[puzzle[0]] for puzzle in MIXED], torch.rand(3, 1, 4), [1.0, 2.0, 3.0])
    found = path_independence(traces, cold)
    for t in range(4):
        gaps = [
            abs(float(puzzle[:, t].double().mean()) - float(puzzle[one, t]))
            for puzzle, one in itertools.product(traces.exact, range(2))
        ]
        assert float(found.delta[t]) == pytest.approx(np.mean(gaps))
        same = [int(puzzle[0, t] == puzzle[1, t]) for puzzle in traces.answer]
        assert float(found.agreement[t]) == pytest.approx(np.mean(same))
    assert found.cold_agreement == pytest.approx(5 / 6)


def test_a_residual_that_is_small_where_rows_are_right_judges_perfectly() -> None:
    right = by_hand(MIXED, torch.zeros(3, 2, 4), [1.0, 2.0, 3.0]).exact
    judge = correlation_of_rows(replace(by_hand(MIXED, 1.0 - 0.9 * right.float(), [1.0, 2.0, 3.0]), window=1))
    assert float(judge.auroc["residual"][-1]) == 1
    assert judge.auroc["residual"][0].isnan()  # none is right yet
    assert float(judge.auroc["logit_change"][-1]) == 1
    assert float(judge.spearman_exact[-1]) == pytest.approx(-1)


def test_a_budget_is_answered_by_its_least_residual() -> None:
    residual = torch.tensor([[0.3, 0.2, 0.2, 0.05], [0.4, 0.1, 0.1, 0.2]]).expand(3, 2, 4)
    found = correlation_of_budgets(replace(by_hand(MIXED, residual, [1.0, 2.0, 3.0]), window=1))
    cells = {(budget.depth, budget.breadth): budget for budget in found.budgets}
    assert cells[2, 2].exact_accuracy == pytest.approx(1 / 3)  # the second restart, right for the first puzzle alone
    assert cells[4, 2].exact_accuracy == pytest.approx(2 / 3)
    assert cells[4, 1].exact_accuracy == pytest.approx(3 / 6)
    assert cells[4, 2].residual == pytest.approx(0.05)


def test_principal_components_are_those_of_a_decomposition() -> None:
    vectors = torch.randn(20, 300, generator=torch.Generator().manual_seed(0)) * torch.linspace(3, 1, 300)
    found, shares = principal_components(vectors)
    left, values, _ = torch.linalg.svd((vectors - vectors.mean(0)).double(), full_matrices=False)
    torch.testing.assert_close(found.abs(), (left * values)[:, :2].abs().float(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(shares, (values.square() / values.square().sum())[:2].float())


def test_a_fixed_start_becomes_random_and_any_start_cold() -> None:
    fixed = Reasoner(ModelConfig(task="sudoku4", block="relation", channels=4, init="fixed"))
    loose = from_random_starts(fixed)
    rows = loose.init(Streams.numbered(0, range(2)))
    assert not torch.equal(rows[0], rows[1])
    assert all(
        torch.equal(tensor, fixed.state_dict()[name]) for name, tensor in loose.state_dict().items() if name != "start"
    )
    assert from_random_starts(loose) is loose
    assert not from_cold_start(loose).init(Streams.numbered(0, range(3))).any()
    assert fixed.init(Streams.numbered(0, range(1))).any()  # as it was


def test_neighbours_do_not_change_a_spectral_radius() -> None:
    model = Reasoner(ModelConfig(task="sudoku4", block="relation", channels=4), torch.Generator().manual_seed(1))
    task = task_named("sudoku4")
    inputs = collect(task, task.generate(seed=3), 10).batch().inputs
    z = model.init(Streams.numbered(0, range(10)))
    together = spectral_radius(model, inputs, z, burn_in=5, measured=5)
    torch.testing.assert_close(spectral_radius(model, inputs[7:8], z[7:8], burn_in=5, measured=5), together[7:8])


@pytest.fixture(scope="module")
def maze() -> Reasoner:
    return load("maze").for_task(task_named("maze7"))


def test_traces_of_a_maze_model_are_what_its_rows_did(maze: Reasoner) -> None:
    puzzles, config = collect(maze.task, maze.task.generate(seed=1), 3), SolveConfig(depth=3, breadth=2)
    found = traced(maze, puzzles, config)
    for puzzle, evidence in enumerate(
        evidence_stream(maze, puzzles.batch().inputs, replace(config, halt="fixed"), record=True)
    ):
        for restart, row in enumerate(evidence.histories):
            assert torch.equal(found.residual[puzzle, restart], row.residual)
            right = (row.answers == puzzles.batch().labels[puzzle]).all(-1)
            assert torch.equal(found.exact[puzzle, restart], right)
        assert torch.equal(found.ends[puzzle].long(), evidence.answers)


@pytest.mark.parametrize("name", ["maze7", "sudoku4"])
def test_changed_cells_are_marked_and_nothing_else_changes(name: str, maze: Reasoner) -> None:
    model = maze if name == "maze7" else Reasoner(ModelConfig(task="sudoku4", block="relation", channels=4))
    puzzles = collect(model.task, model.task.generate(seed=1), 1).batch()
    found = trajectory(model, puzzles.inputs[0], puzzles.labels[0], SolveConfig(depth=4))
    marked = replace(found, changed=torch.zeros_like(found.changed))
    marked.changed[1, 5] = True
    plain = frame(model.task, replace(marked, changed=torch.zeros_like(found.changed)), 1)
    side = len(plain) // model.task.layout.rows
    row, col = divmod(5, model.task.layout.cols)
    differs = (frame(model.task, marked, 1) != plain).any(-1)
    assert differs[row * side, col * side : (col + 1) * side].all()
    differs[row * side : (row + 1) * side, col * side : (col + 1) * side] = False
    assert not differs.any()
    pictures, seconds = animation(model.task, found)
    assert len({picture.shape for picture in pictures}) == 1
    assert len(pictures) == len(seconds)
