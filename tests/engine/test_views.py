from collections.abc import Iterator

import pytest
import torch

from eqr.cli import main
from eqr.engine import SolveConfig, evidence_stream, select, solve
from eqr.errors import InputError
from eqr.model import ModelConfig, Reasoner
from eqr.tasks import task_named

TASK = task_named("sudoku4")
MODEL = Reasoner(ModelConfig(task="sudoku4", block="mixer", channels=8, token_hidden=8)).eval()


def boards(count: int) -> torch.Tensor:
    stream = TASK.generate(seed=3)
    return torch.stack([torch.from_numpy(next(stream).question).long() for _ in range(count)])


def test_the_first_view_is_the_puzzle_itself() -> None:
    plain, viewed = (
        list(evidence_stream(MODEL, boards(3), SolveConfig(depth=3, breadth=2, views=views), record=True))
        for views in (1, 3)
    )
    for one, three in zip(plain, viewed, strict=True):
        assert three.answers.shape == (6, 16)
        assert torch.equal(three.answers[:2], one.answers)
        assert torch.equal(three.residual[:2], one.residual)
        assert len(three.histories) == 6


def test_clues_stand_where_they_stood_once_a_view_is_undone() -> None:
    puzzles = boards(5)
    for puzzle, found in zip(
        puzzles, evidence_stream(MODEL, puzzles, SolveConfig(depth=2, views=4), record=True), strict=True
    ):
        clues = puzzle > 0
        assert (found.answers[:, clues] == puzzle[clues]).all()
        assert len({tuple(answer) for answer in found.answers.tolist()}) > 1
        for history, answer in zip(found.histories, found.answers, strict=True):
            assert torch.equal(history.answers[-1], answer)


def test_views_are_judged_by_the_rules_like_restarts() -> None:
    config = SolveConfig(depth=4, views=8, select="verifier")
    for found in evidence_stream(MODEL, boards(4), config):
        assert torch.equal(found.valid, TASK.is_solved(boards(1).expand(8, -1) * 0, found.answers))
        assert select(found, config.selection, TASK).restarts == 8


def test_views_depend_on_the_puzzle_and_the_seed_alone() -> None:
    def answers(puzzles: torch.Tensor, seed: int, rows: int) -> Iterator[torch.Tensor]:
        config = SolveConfig(depth=2, views=3, seed=seed, rows=rows)
        return (found.answers for found in evidence_stream(MODEL, puzzles, config))

    puzzles = boards(4)
    together = list(answers(puzzles, 0, 16))
    alone = [next(answers(puzzle[None], 0, 1)) for puzzle in puzzles]
    assert all(torch.equal(a, b) for a, b in zip(together, alone, strict=True))
    assert not torch.equal(torch.stack(together), torch.stack(list(answers(puzzles, 1, 16))))


def test_a_vote_over_views_is_a_solution() -> None:
    assert [found.restarts for found in solve(MODEL, boards(2), SolveConfig(depth=1, views=5, select="vote"))] == [5, 5]


def test_no_view_at_all_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="views is 0: it must be 1 or more"):
        SolveConfig(views=0)
    with pytest.raises(SystemExit) as stopped:
        main(["solve", "--views", "0", "." * 81])
    assert stopped.value.code == 2
