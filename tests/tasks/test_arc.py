import itertools

import numpy as np
import pytest
import torch
from alike import solution
from hypothesis import given
from hypothesis import strategies as st

from eqr.errors import InputError
from eqr.model import ModelConfig, Reasoner
from eqr.random import Streams
from eqr.tasks import task_named
from eqr.tasks.arc import HEADER, Arc, Grid

TASK = Arc(3, 12)
TEXT = "01234567890_______000712_03____"
grids = st.integers(1, 3).flatmap(
    lambda cols: st.lists(st.lists(st.integers(0, 9), min_size=cols, max_size=cols), min_size=1, max_size=3)
)
seeds = st.integers(0, 2**32 - 1)


def rule(board: np.ndarray) -> tuple[int, list[int]]:
    """What the network is told: task and position as one number, and the colour each symbol stands for."""
    number, position, meant = TASK.named_rule(torch.from_numpy(board[None, :HEADER]).long())
    return 8 * int(number[0]) + int(position[0]), meant[0].tolist()


def test_a_board_is_a_header_and_a_grid() -> None:
    board = torch.from_numpy(TASK.board(7, [[1, 2], [0, 3]]))
    assert TASK.format(board) == TEXT
    assert (TASK.layout.width, TASK.layout.cells, TASK.layout.rules) == (31, 9, 12)
    assert rule(board.numpy()) == (56, list(range(11)))


@given(grids, st.integers(0, 11))
def test_a_grid_reads_back_as_it_was(grid: Grid, number: int) -> None:
    board = TASK.board(number, grid)
    assert TASK.grid(torch.from_numpy(board)) == grid
    text = TASK.format(torch.from_numpy(board))
    assert torch.equal(TASK.encode(text)[0], torch.from_numpy(board).long())


@given(seeds, grids, grids, st.integers(0, 11))
def test_a_symmetry_can_be_undone_and_keeps_black_and_the_outside(
    seed: int, left: Grid, right: Grid, number: int
) -> None:
    boards = np.stack([TASK.board(number, left), TASK.board(number, right)])
    symmetries = TASK.symmetries(2, np.random.default_rng(seed))
    moved = symmetries.apply(boards)
    assert (symmetries.undo(moved) == boards).all()
    for symbol in (1, 11):
        assert ((moved == symbol).sum(1) == (boards == symbol).sum(1)).all()
    assert all(TASK.encode(TASK.format(torch.from_numpy(board))).shape == (1, 31) for board in moved)


@given(seeds, seeds, st.integers(0, 11))
def test_the_header_tells_position_and_colours_whatever_symmetries_came_before(a: int, b: int, number: int) -> None:
    marked = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    board = TASK.board(number, marked)
    for seed in (a, b):
        board = TASK.symmetries(1, np.random.default_rng(seed)).apply(board[None])[0]
    row, meant = rule(board)
    assert row // 8 == number
    original = np.array([[meant[symbol - 1] for symbol in line] for line in board[HEADER:].reshape(3, 3)])
    # The same position always has the same place in the table.
    assert places.setdefault(row % 8, original.tolist()) == original.tolist()
    assert sorted(original.ravel().tolist()) == list(range(1, 10))


places: dict[int, list[list[int]]] = {}


def test_the_eight_positions_are_told_apart() -> None:
    board = TASK.board(3, [[1, 2], [3, 4]])[None]
    seen = {rule(TASK.symmetries(1, np.random.default_rng(seed)).apply(board)[0])[0] for seed in range(60)}
    assert seen == set(range(24, 32))


@torch.no_grad()
def test_renaming_colours_renames_the_answer() -> None:
    model = Reasoner(ModelConfig(task="arc3x12", block="axial", channels=8, layers=2))
    boards = np.stack([TASK.board(number, [[number, 2, 0], [5, 6, 7]]) for number in (1, 8)])
    symmetries = TASK.symmetries(2, np.random.default_rng(0))
    symmetries.cells[:] = np.arange(31)  # keep positions
    names = torch.from_numpy(symmetries.symbols[:, 1:].astype(int)) - 1
    z = model.init(Streams.numbered(0, range(2)))
    place = names.view(2, 1, 11, 1).expand(2, 9, 11, 8)
    renamed_z = torch.zeros(2, 9, 11, 8).scatter(2, place, z.view(2, 9, 11, 8)).view_as(z)
    logits = model.decode(model.segment(z, model.embed(torch.from_numpy(boards).long())))
    renamed = model.decode(model.segment(renamed_z, model.embed(torch.from_numpy(symmetries.apply(boards)).long())))
    expected = torch.zeros_like(logits).scatter(2, names.view(2, 1, 11).expand(2, 31, 11), logits)
    torch.testing.assert_close(renamed, expected, atol=1e-4, rtol=1e-4)
    assert not logits[:, :HEADER].any()


def test_rules_are_learned_apart() -> None:
    model = Reasoner(ModelConfig(task="arc3x12", block="axial", channels=8))
    boards = torch.from_numpy(np.stack([TASK.board(number, [[1]]) for number in (0, 11)])).long()
    model.decode(model.segment(model.init(Streams.numbered(0, range(2))), model.embed(boards))).sum().backward()
    assert model.rules is not None
    assert model.rules.rule.grad is not None
    assert model.rules.rule.grad.flatten(1).any(1).nonzero().flatten().tolist() == [0, 11]


def test_boards_of_other_sizes_are_found_by_their_cells() -> None:
    assert TASK.sized(HEADER + 25).name == "arc5x12"
    assert TASK.sized(7) is TASK
    assert task_named("arc30").name == "arc30x400"


def test_only_the_author_knows_whether_an_answer_is_right() -> None:
    question, answer = (torch.from_numpy(TASK.board(1, grid)).long()[None] for grid in ([[1]], [[2, 3]]))
    assert not TASK.has_rules
    assert TASK.is_solved(question, answer)[0]
    assert not TASK.is_solved(question, answer * (torch.arange(31) < 30))[0]
    assert not TASK.is_solved(question, answer.roll(1))[0]


def test_input_and_output_are_drawn_side_by_side() -> None:
    answer = torch.from_numpy(TASK.board(7, [[5, 0]])).long()
    found = solution(answer, settled=True, valid=True, residual=1e-6, depth=3)
    lines = TASK.render(TEXT, found).splitlines()
    assert lines[:2] == ["1 2        5 0  ", "0 3    ->       "]
    assert "not checked" in lines[-1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (TEXT[1:], "has 30 cells, arc3x12 has 31: let `eqr data`"),
        (TEXT.replace("12_", "1a_"), r"cell 24 of 31 holds 'a': only the digits 0 to 9"),
        ("1" + TEXT[1:], "names no rule"),
        (TEXT.replace("0_______", "00______"), "names no rule"),
    ],
)
def test_what_is_no_board_is_refused_in_one_sentence(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        TASK.parse(text)


@pytest.mark.parametrize("grid", [[[1, 2], [3]], [[10]], [[-1]], []])
def test_what_is_no_grid_is_refused(grid: Grid) -> None:
    with pytest.raises(InputError, match="ragged, or holds something other"):
        TASK.board(0, grid)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match=r"a grid has 1x4 cells, arc3x12 has grids of up to 3x3"):
        TASK.board(0, [[1, 2, 3, 4]])
    with pytest.raises(InputError, match="task number 12 is not one of the 12"):
        TASK.board(12, [[1]])
    for size, tasks in ((1, 2), (31, 2), (5, 0), (5, 10_001)):
        with pytest.raises(InputError, match=r"grids of .* are not supported|tasks are not supported"):
            Arc(size, tasks)
    with pytest.raises(InputError, match="written by people"):
        next(itertools.islice(TASK.generate(seed=0), 1))
    with pytest.raises(InputError, match="mixer block cannot follow rules about colours"):
        Reasoner(ModelConfig(task="arc5x2", block="mixer", channels=8))
