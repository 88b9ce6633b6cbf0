"""The count of solutions, and the sentences about a question that follow an answer that is not valid."""

import numpy as np
import pytest
import torch

from eqr.tasks import task_named
from eqr.tasks.arc import arc_of
from eqr.tasks.sudoku import units_of
from eqr.tasks.sudoku_count import count_solutions
from eqr.tasks.sudoku_search import geometry, solve_board

EMPTY = "." * 81
SEVENTEEN = "4.....8.5.3..........7......2.....6.....8.4......1.......6.3.7.5..2.....1.4......"
SIXTEEN = SEVENTEEN[:-7] + "." * 7
HARDEST = "8..........36......7..9.2...5...7.......457.....1...3...1....68..85...1..9....4.."
# No digit repeats, but the last cell of the first row can hold no digit.
IMPOSSIBLE = "12345678." + "." * 17 + "9" + "." * 54
# No digit repeats and each cell can hold a digit; column 7 has no place for 4 once the singles are filled in.
HIDDEN = "..9.287..8.6..4..5..3.....46.........2.71345.........23.....5..9..4..8.7..125.3.."
# Seventeen clues without a solution (P. Norvig, "Solving Every Sudoku Puzzle"): the proof takes minutes.
ENDLESS = ".....5.8....6.1.43..........1.5........1.6...3.......553.....61........4........."
TWO = "2957438614318659..8761925433874592166123874955492167387635241899286713541549386.."
SUDOKU = task_named("sudoku")


def ids(text: str) -> np.ndarray:
    return np.array([0 if char == "." else int(char) for char in text], np.uint8)


@pytest.mark.parametrize(
    ("text", "solutions"),
    [(EMPTY, 2), (SIXTEEN, 2), (SEVENTEEN, 1), (HARDEST, 1), (IMPOSSIBLE, 0), (HIDDEN, 0), ("11" + EMPTY[2:], 0)],
    ids=["empty", "16 clues", "17 clues", "hard", "a cell without a digit", "a digit without a cell", "repeated clue"],
)
def test_no_one_and_several_solutions_are_told_apart(text: str, solutions: int) -> None:
    assert count_solutions(ids(text), units_of(3, 3), seconds=60) == solutions


def test_all_solutions_of_a_small_board_are_counted() -> None:
    empty, units = np.zeros(16, np.uint8), units_of(2, 2)
    assert count_solutions(empty, units, most=1000) == 288  # all 4x4 Sudoku boards
    assert count_solutions(empty, units, most=7) == 7


@pytest.mark.parametrize("box", [(2, 2), (2, 3)])
def test_the_count_agrees_with_the_compiled_search(box: tuple[int, int]) -> None:
    units = units_of(*box)
    cells, rng = units.max() + 1, np.random.default_rng(0)
    counts = []
    for _ in range(40):
        board = np.where(rng.random(cells) < 0.35, rng.integers(1, units.shape[1] + 1, cells), 0).astype(np.uint8)
        counts.append(count_solutions(board, units, most=50, seconds=60))
        assert counts[-1] == solve_board(board, geometry(units), limit=50)[0]
    assert 0 in counts
    # Random clues mostly contradict each other; a few clues of a solved board never do.
    answer = solve_board(np.zeros(cells, np.uint8), geometry(units), limit=1)[1]
    for share in (0.2, 0.3, 0.4, 0.5):
        board = np.where(rng.random(cells) < share, answer, 0).astype(np.uint8)
        counts.append(count_solutions(board, units, most=50, seconds=60))
        assert counts[-1] == solve_board(board, geometry(units), limit=50)[0] > 0


def test_a_count_that_takes_too_long_is_not_known() -> None:
    assert count_solutions(ids(ENDLESS), units_of(3, 3), seconds=0.2) is None
    assert count_solutions(ids(SEVENTEEN), units_of(3, 3), seconds=0) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SEVENTEEN, None),
        (IMPOSSIBLE, "the puzzle has no solution"),
        (TWO, "the puzzle has more than one solution"),
        (
            SIXTEEN,
            "the puzzle has more than one solution: it has 16 clues, and with fewer than 17 no 9x9 Sudoku has only one",
        ),
    ],
)
def test_a_sudoku_tells_of_its_solutions(text: str, said: str | None) -> None:
    assert SUDOKU.about_question(SUDOKU.encode(text)[0]) == said


def test_without_time_to_count_only_the_clues_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eqr.tasks.sudoku.count_solutions", lambda board, units: None)
    said = SUDOKU.about_question(SUDOKU.encode(EMPTY)[0])
    assert said is not None
    assert said.startswith("the puzzle has no solution or several: it has 0 clues")
    assert SUDOKU.about_question(SUDOKU.encode(ENDLESS)[0]) is None
    small = task_named("sudoku4")
    assert small.about_question(small.encode("." * 16)[0]) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("######S#.##.#G##.#.######", "no way leads from S to G"),
        ("######S..##.#G##.#.######", None),
        ("######S..##..G##.#.######", "several shortest paths lead from S to G"),
        ("######S..##.#.##..G######", "several shortest paths lead from S to G"),
        ("######SG.##...##...######", None),  # a longer way round changes nothing
        ("SG.......................", None),
    ],
)
def test_a_maze_tells_of_its_ways(text: str, said: str | None) -> None:
    maze = task_named("maze5")
    assert maze.about_question(maze.encode([text])[0]) == said


def test_a_task_knows_nothing_of_its_questions_by_default() -> None:
    arc = arc_of(5, 1)
    assert arc.about_question(torch.zeros(arc.layout.width, dtype=torch.long)) is None
