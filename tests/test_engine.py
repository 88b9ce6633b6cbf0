"""What a user relies on when solving, on a 4x4 model trained in seconds."""

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from eqr.checkpoint import load
from eqr.engine import SolveConfig, run, solve, trace
from eqr.errors import InputError
from eqr.model import Reasoner
from eqr.selection import by_residual
from eqr.tasks import TASKS
from eqr.types import Trajectories

TASK = TASKS["sudoku4"]
CONFIG = SolveConfig(depth=24, tol=0.05)


@pytest.fixture(scope="module")
def model(tiny_run: Path) -> Reasoner:
    return load(tiny_run)


@pytest.fixture(scope="module")
def puzzles() -> torch.Tensor:
    """40 puzzles with one solution, and some no row can settle on: without clues, and contradictory ones."""
    found = [torch.from_numpy(p.question).long() for p in itertools.islice(TASK.generate(seed=77), 40)]
    impossible = TASK.encode(["123........4....", "12....34........", "." * 16])
    return torch.cat([torch.stack(found), impossible])


def test_neighbours_do_not_change_an_answer(model: Reasoner, puzzles: torch.Tensor) -> None:
    config = replace(CONFIG, breadth=3, halt="fixed", noise=0.05)
    whole = run(model, puzzles, replace(config, rows=256))
    order = torch.randperm(len(puzzles), generator=torch.Generator().manual_seed(0))
    for rows in (1, 7, 64):
        found = run(model, puzzles[order], replace(config, rows=rows))
        assert torch.equal(found.answers, whole.answers[order])
        assert torch.equal(found.residual, whole.residual[order])
    alone = run(model, puzzles[5:6], config)
    assert torch.equal(alone.answers[0], whole.answers[5])


def test_another_seed_starts_elsewhere(model: Reasoner, puzzles: torch.Tensor) -> None:
    one, other = (run(model, puzzles, replace(CONFIG, depth=1, seed=seed)) for seed in (0, 1))
    assert not torch.equal(one.residual, other.residual)


def test_a_settled_row_leaves_early_with_the_answer_of_full_depth(model: Reasoner, puzzles: torch.Tensor) -> None:
    well_posed = puzzles[:40]
    halted, full = (run(model, well_posed, replace(CONFIG, depth=64, halt=halt)) for halt in ("residual", "fixed"))
    settled = halted.converged
    assert settled.sum() >= 20
    assert (halted.depth[settled] < 64).all()
    assert (full.depth == 64).all()
    assert torch.equal(halted.answers[settled], full.answers[settled])


def test_an_answer_that_breaks_a_rule_is_marked(model: Reasoner, puzzles: torch.Tensor) -> None:
    solutions = solve(model, puzzles, CONFIG)
    answers = torch.stack([solution.answer for solution in solutions])
    assert [s.valid for s in solutions] == TASK.is_solved(puzzles, answers).tolist()
    assert [s.valid for s in solutions[-3:-1]] == [False, False]
    assert all(s.valid for s in solutions[:-3] if s.converged)


def test_clues_stand_in_every_answer(model: Reasoner, puzzles: torch.Tensor) -> None:
    found = run(model, puzzles, replace(CONFIG, depth=1))
    given = puzzles > 0
    assert torch.equal(found.answers[:, 0][given], puzzles[given])


def test_the_restart_that_settled_best_answers() -> None:
    residual = torch.tensor([[0.3, 1e-6, 0.2], [0.1, 0.1, 0.5], [torch.nan, 0.2, torch.nan]])
    zeros = torch.zeros(3, 3, dtype=torch.long)
    found = Trajectories(
        answers=zeros.unsqueeze(-1), residual=residual, halt_logit=zeros.float(), depth=zeros, converged=zeros.bool()
    )
    assert by_residual(found).tolist() == [1, 0, 1]


def test_more_restarts_solve_no_fewer_puzzles(model: Reasoner, puzzles: torch.Tensor) -> None:
    one, four = (solve(model, puzzles, replace(CONFIG, depth=6, breadth=k)) for k in (1, 4))
    assert sum(s.valid for s in four) >= sum(s.valid for s in one)


def test_a_trace_ends_where_solve_does(model: Reasoner, puzzles: torch.Tensor) -> None:
    config = replace(CONFIG, breadth=2, noise=0.05)
    for puzzle, solution in zip(puzzles[:5], solve(model, puzzles[:5], config), strict=True):
        shots = trace(model, puzzle, solution, config)
        assert torch.equal(shots[-1].answer, solution.answer)
        assert len(shots) == solution.depth


def test_no_puzzles_give_no_answers(model: Reasoner, puzzles: torch.Tensor) -> None:
    assert solve(model, puzzles[:0]) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"depth": 0}, "depth is 0: it must be 1 or more"),
        ({"tol": float("nan")}, "tol is nan"),
        ({"halt": "residul"}, "did you mean 'residual'"),
        ({"select": "best"}, "selection rule 'best' is not known"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        SolveConfig(**options)
