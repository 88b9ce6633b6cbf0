import numpy as np
import pytest
import torch
from alike import solution
from hypothesis import given
from hypothesis import strategies as st

from eqr.errors import InputError
from eqr.tasks import task_named

SUDOKU = task_named("sudoku")
QUESTION = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
ANSWER = "534678912672195348198342567859761423426853791713924856961537284287419635345286179"


def boards(*texts: str) -> torch.Tensor:
    return SUDOKU.encode(texts)


def test_dots_zeros_and_nine_lines_read_alike() -> None:
    lines = "\n".join(QUESTION[i : i + 9] for i in range(0, 81, 9))
    assert torch.equal(boards(QUESTION, QUESTION.replace(".", "0"), lines), boards(QUESTION).expand(3, -1))


@given(st.lists(st.integers(0, 4), min_size=16, max_size=16).map(lambda v: "".join(map(str, v)).replace("0", ".")))
def test_a_parsed_board_prints_as_it_was(text: str) -> None:
    task = task_named("sudoku4")
    try:
        board = task.parse(text)
    except InputError:
        return  # a repeated clue
    assert task.format(torch.from_numpy(board)) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (QUESTION[:80], "has 80 cells, a sudoku puzzle has 81"),
        ("a" + QUESTION[1:], "row 1, column 1 holds 'a'"),
        ("55" + QUESTION[2:], "digit 5 is given 2 times in row 1"),
        ("5" + "." * 8 + "5" + "." * 71, "digit 5 is given 2 times in column 1"),
        ("5" + "." * 9 + "5" + "." * 70, "digit 5 is given 2 times in box 1"),
        ("", "has 0 cells"),
    ],
)
def test_a_wrong_board_is_refused_with_its_place(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said.replace("(", r"\(")):
        SUDOKU.parse(text)


def test_only_a_full_board_that_keeps_the_clues_is_solved() -> None:
    swapped = ANSWER[9:18] + ANSWER[:9] + ANSWER[18:]  # a valid board, but not of this puzzle
    repeated = "5" + ANSWER[1:-1] + "5"
    inputs = boards(QUESTION).expand(3, -1)
    assert SUDOKU.is_solved(inputs, boards(ANSWER).expand(3, -1)).all()
    answers = torch.stack([boards(ANSWER)[0], boards(swapped)[0], torch.tensor([int(c) for c in repeated])])
    assert SUDOKU.is_solved(inputs, answers).tolist() == [True, False, False]


@pytest.mark.parametrize("name", ["sudoku", "sudoku6", "sudoku4"])
def test_augmented_puzzles_keep_their_rules_and_clues(name: str) -> None:
    task, rng = task_named(name), np.random.default_rng(0)
    puzzle = next(task.generate(seed=5))
    inputs, labels = (np.repeat(board[None], 64, 0) for board in (puzzle.question, puzzle.answer))
    symmetries = task.symmetries(len(inputs), rng)
    new_inputs, new_labels = symmetries.apply(inputs), symmetries.apply(labels)
    assert task.is_solved(torch.from_numpy(new_inputs), torch.from_numpy(new_labels)).all()
    assert ((new_inputs > 0).sum(1) == (inputs > 0).sum(1)).all()
    assert len(np.unique(new_labels, axis=0)) > 32
    assert (labels == puzzle.answer).all()  # the originals stand


def test_one_symmetry_serves_many_boards() -> None:
    task, rng = task_named("sudoku"), np.random.default_rng(0)
    many, symmetry = rng.integers(0, 10, (5, 81), dtype=np.uint8), task.symmetries(1, rng)
    moved = symmetry.apply(many)
    assert np.array_equal(moved, np.concatenate([symmetry.apply(board[None]) for board in many]))
    assert np.array_equal(symmetry.undo(moved), many)


def test_a_rendered_board_says_how_it_was_reached() -> None:
    found = solution(boards(ANSWER)[0], settled=True, valid=True, residual=2e-7, depth=9)
    text = SUDOKU.render(QUESTION, found)
    assert "5 3 . | . 7 . | . . .      5 3 4 | 6 7 8 | 9 1 2" in text
    assert text.endswith("valid, converged, residual 2.0e-07, depth 9")
    early = solution(boards(ANSWER)[0], settled=False, valid=True, residual=2e-7, depth=9, halted=True)
    assert SUDOKU.render(QUESTION, early).endswith("valid, halted, residual 2.0e-07, depth 9")
