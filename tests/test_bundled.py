"""The bundled models: what their cards promise, on puzzles few and small enough for a test."""

import itertools
import json
from pathlib import Path

import pytest
import torch

import eqr
from eqr.engine import evidence_stream
from eqr.model import Reasoner
from eqr.tasks import task_named

WEIGHTS = Path(eqr.__file__).parent / "weights"
NORVIG_17 = "4.....8.5.3..........7......2.....6.....8.4......1.......6.3.7.5..2.....1.4......"


@pytest.fixture(scope="module")
def model() -> Reasoner:
    return eqr.load("sudoku")


def generated(count: int, guesses: int) -> torch.Tensor:
    stream = task_named("sudoku").generate(seed=4242, least=guesses)
    chosen = itertools.islice((p for p in stream if guesses or p.rating == 0), count)
    return torch.stack([torch.from_numpy(puzzle.question).long() for puzzle in chosen])


def solved(model: Reasoner, puzzles: torch.Tensor) -> float:
    return sum(solution.valid for solution in eqr.solve(model, puzzles)) / len(puzzles)


def test_puzzles_without_guesses_are_solved(model: Reasoner) -> None:
    assert solved(model, generated(64, 0)) >= 0.97


@pytest.mark.slow
def test_most_puzzles_that_need_eight_guesses_are_solved(model: Reasoner) -> None:
    assert solved(model, generated(64, 8)) >= 0.6


def test_answers_do_not_depend_on_neighbours(model: Reasoner) -> None:
    puzzles = torch.cat([generated(6, 0), generated(6, 20)])
    config = eqr.SolveConfig(depth=32, breadth=2, rows=64)
    together = list(evidence_stream(model, puzzles, config))
    for number in (0, 7, 11):
        alone = next(evidence_stream(model, puzzles[number : number + 1], config))
        assert torch.equal(alone.answers, together[number].answers)
        assert torch.equal(alone.residual, together[number].residual)


def test_answers_of_mazes_do_not_depend_on_neighbours_or_on_rows_under_way() -> None:
    model = eqr.load("maze").for_task(task_named("maze9"))
    puzzles = torch.stack([torch.from_numpy(p.question).long() for p in itertools.islice(model.task.generate(3), 5)])

    def residuals(puzzles: torch.Tensor, rows: int) -> list[float]:
        config = eqr.SolveConfig(depth=6, halt="fixed", rows=rows)
        return [found.residual.item() for found in evidence_stream(model, puzzles, config)]

    together = residuals(puzzles, 16)
    assert [residuals(puzzle[None], 16)[0] for puzzle in puzzles] == together
    assert all(residuals(puzzles, rows) == together for rows in (1, 2, 3))


def test_the_halting_head_scores_right_answers_higher(model: Reasoner) -> None:
    puzzles = torch.cat([generated(24, 0), generated(40, 20)])
    found = list(evidence_stream(model, puzzles, eqr.SolveConfig(depth=4, breadth=2)))
    valid, score = torch.cat([f.valid for f in found]), torch.cat([f.halt_logit for f in found])
    assert 0 < valid.sum() < len(valid)
    assert score[valid].mean() > score[~valid].mean() + 1


def test_an_answer_the_head_ended_is_told_from_one_that_ran_out_of_depth(model: Reasoner) -> None:
    puzzle = generated(1, 0)
    sure, stopped = (eqr.solve(model, puzzle, eqr.SolveConfig(depth=depth, halt="learned"))[0] for depth in (32, 1))
    assert sure.valid
    assert (sure.halted, sure.converged) == (True, False)
    assert (stopped.halted, stopped.converged) == (False, False)


@pytest.mark.slow
def test_mazes_are_solved_far_beyond_the_sizes_trained_on() -> None:
    maze = eqr.load("maze")
    assert maze.task.name == "maze15"
    for name, count in (("maze9", 20), ("maze30", 20), ("maze59", 2)):
        task = task_named(name)
        puzzles = itertools.islice(task.generate(seed=4242), count)
        questions = torch.stack([torch.from_numpy(puzzle.question).long() for puzzle in puzzles])
        solutions = eqr.solve(maze.for_task(task), questions)
        assert sum(solution.valid for solution in solutions) >= 0.95 * count
        assert all(solution.converged for solution in solutions if solution.valid)


@pytest.mark.parametrize("folder", sorted(path.parent for path in WEIGHTS.glob("*/config.json")), ids=lambda p: p.name)
def test_weights_are_small_and_come_with_card_and_log(folder: Path) -> None:
    assert sum(path.stat().st_size for path in folder.iterdir()) < 6_000_000
    events = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert events[0]["event"] == "start"
    assert events[-1]["event"] == "eval"
    assert "eqr eval" in (folder / "card.md").read_text()
