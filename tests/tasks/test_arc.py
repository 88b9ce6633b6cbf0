import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from eqr.errors import InputError
from eqr.model import ModelConfig, Reasoner
from eqr.tasks import task_named
from eqr.tasks.arc import Arc, Grid
from eqr.types import Solution

TASK = Arc(3, 2)
SWAP = [([[1, 2], [0, 3]], [[2, 1], [3, 0]]), ([[4, 0, 0]], [[0, 0, 4]])]
TEXT = "12_03____21_30____400______004______05_______"
grids = st.integers(1, 3).flatmap(
    lambda cols: st.lists(st.lists(st.integers(0, 9), min_size=cols, max_size=cols), min_size=1, max_size=3)
)


def board(demos: list[tuple[Grid, Grid]], grid: Grid) -> torch.Tensor:
    return torch.from_numpy(TASK.board(demos, grid)).long()


def test_a_board_is_the_demonstrations_and_the_grid_asked_about() -> None:
    assert TASK.format(board(SWAP, [[0, 5]])) == TEXT
    assert (TASK.layout.width, TASK.layout.header, TASK.layout.cells) == (45, 36, 9)


def test_demonstrations_are_missing_or_left_out_to_fit_the_board() -> None:
    assert (board(SWAP[:1], [[0]])[18:36] == 11).all()
    assert torch.equal(board([*SWAP, ([[9]], [[9]])], [[0]]), board(SWAP, [[0]]))


@given(grids)
def test_a_grid_reads_back_as_it_was(grid: Grid) -> None:
    assert TASK.grid(board(SWAP, grid)) == grid
    assert torch.equal(TASK.encode(TASK.format(board(SWAP, grid)))[0], board(SWAP, grid))


@given(st.integers(0, 2**32 - 1), grids, grids)
def test_a_symmetry_can_be_undone_and_keeps_black_and_the_outside(seed: int, left: Grid, right: Grid) -> None:
    boards = np.stack([TASK.board(SWAP, left), TASK.board(SWAP, right)])
    symmetries = TASK.symmetries(2, np.random.default_rng(seed))
    moved = symmetries.apply(boards)
    assert (symmetries.undo(moved) == boards).all()
    for symbol in (1, 11):
        assert ((moved == symbol).sum(1) == (boards == symbol).sum(1)).all()

    # Inputs stay inputs, the grid asked about stays last.
    def places(of: np.ndarray) -> list[list[int]]:
        return [(side == 11).sum(-1).tolist() for side in of.reshape(2, 5, 9)]

    for was, now in zip(places(boards), places(moved), strict=True):
        assert now[4] == was[4]
        assert sorted(zip(now[0:4:2], now[1:4:2], strict=True)) == sorted(zip(was[0:4:2], was[1:4:2], strict=True))


def test_all_grids_of_a_board_are_turned_alike() -> None:
    corner = [([[1, 0, 0], [0, 0, 0], [0, 0, 0]],) * 2] * 2
    boards, seen = TASK.board(corner, corner[0][0])[None], set()
    for seed in range(40):
        marked = (TASK.symmetries(1, np.random.default_rng(seed)).apply(boards)[0] > 1).reshape(5, 9)
        assert (marked == marked[0]).all()
        seen.add(int(marked[0].argmax()))
    assert seen == {0, 2, 6, 8}


@torch.no_grad()
def test_renaming_colours_renames_the_answer() -> None:
    model = Reasoner(ModelConfig(task="arc3x2", block="axial", channels=8, layers=2))
    boards = np.stack([TASK.board(SWAP, [[number, 2, 0], [5, 6, 7]]) for number in (1, 8)])
    symmetries = TASK.symmetries(2, np.random.default_rng(0))
    symmetries.cells[:] = np.arange(45)  # keep positions
    names = torch.from_numpy(symmetries.symbols[:, 1:].astype(int)) - 1
    z = model.init(2, torch.Generator().manual_seed(0))
    place = names.view(2, 1, 11, 1).expand(2, 9, 11, 8)
    renamed_z = torch.zeros(2, 9, 11, 8).scatter(2, place, z.view(2, 9, 11, 8)).view_as(z)
    logits = model.decode(model.segment(z, model.embed(torch.from_numpy(boards).long())))
    renamed = model.decode(model.segment(renamed_z, model.embed(torch.from_numpy(symmetries.apply(boards)).long())))
    expected = torch.zeros_like(logits).scatter(2, names.view(2, 1, 11).expand(2, 45, 11), logits)
    torch.testing.assert_close(renamed, expected, atol=1e-4, rtol=1e-4)
    assert not logits[:, :36].any()


@pytest.mark.parametrize("block", ["axial", "conv"])
@torch.no_grad()
def test_the_answer_depends_on_every_demonstration(block: str) -> None:
    model = Reasoner(ModelConfig(task="arc3x2", block=block, channels=8))
    questions = torch.stack([board(SWAP, [[1]]), board([SWAP[0], ([[4, 0, 0]], [[0, 4, 0]])], [[1]])])
    z = model.init(1, torch.Generator().manual_seed(0)).expand(2, -1, -1, -1)
    logits = model.decode(model.segment(z, model.embed(questions)))
    assert not torch.equal(logits[0], logits[1])


def test_boards_of_other_sizes_are_found_by_their_cells() -> None:
    assert TASK.sized(5 * 25).name == "arc5x2"
    assert TASK.sized(7) is TASK
    assert task_named("arc30").name == "arc30x3"


def test_only_the_author_knows_whether_an_answer_is_right() -> None:
    question, answer = board(SWAP, [[1]])[None], board(SWAP, [[2, 3]])[None]
    assert not TASK.has_rules
    assert TASK.is_solved(question, answer)[0]
    assert not TASK.is_solved(question, answer * (torch.arange(45) < 44))[0]
    assert not TASK.is_solved(question, answer.roll(1))[0]


def test_input_and_output_are_drawn_side_by_side() -> None:
    solution = Solution(
        answer=board(SWAP, [[5, 0]]),
        valid=True,
        converged=True,
        residual=1e-6,
        depth=3,
        restart=0,
        restarts=1,
        seconds=0.1,
    )
    lines = TASK.render(TEXT, solution).splitlines()
    assert lines[:2] == ["0 5        5 0  ", "       ->       "]
    assert "not checked" in lines[-1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (TEXT[1:], "have 44 cells, arc3x2 has 45: give 2 pairs of 3x3"),
        (TEXT.replace("4", "a", 1), r"cell 19 of 45 holds 'a': only the digits 0 to 9"),
    ],
)
def test_what_is_no_board_is_refused_in_one_sentence(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        TASK.parse(text)


@pytest.mark.parametrize("grid", [[[1, 2], [3]], [[10]], [[-1]], []])
def test_what_is_no_grid_is_refused(grid: Grid) -> None:
    with pytest.raises(InputError, match="ragged, or holds something else"):
        TASK.board(SWAP, grid)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match=r"a grid has 1x4 cells, arc3x2 has grids of up to 3x3"):
        TASK.board(SWAP, [[1, 2, 3, 4]])
    for size, demos in ((1, 2), (31, 2), (5, 0), (5, 11)):
        with pytest.raises(InputError, match="are not made"):
            Arc(size, demos)
    with pytest.raises(InputError, match="written by people"):
        next(itertools.islice(TASK.generate(seed=0), 1))
