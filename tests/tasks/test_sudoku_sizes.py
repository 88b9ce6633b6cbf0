"""Sudokus of 16x16 and 25x25: read, checked, drawn and generated; their symbols are digits, then letters."""

import csv
import io
import itertools
import sys
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from alike import eqr, solution
from hypothesis import given
from hypothesis import strategies as st

from eqr.data.text import read_puzzles
from eqr.errors import InputError
from eqr.tasks import sudoku_thinning, task_named
from eqr.tasks.sudoku import Sudoku, sudoku_of, units_of
from eqr.tasks.sudoku_search import geometry, solve_board
from eqr.tasks.sudoku_text import SYMBOLS

LARGE = {16: sudoku_of(16), 25: sudoku_of(25)}


def pattern(side: int) -> str:
    """A solution: every row is the first one, moved."""
    box = round(side**0.5)
    return "".join(SYMBOLS[(box * (r % box) + r // box + c) % side] for r in range(side) for c in range(side))


ANSWER = pattern(16)
QUESTION = "".join("." if i % 3 == 0 else symbol for i, symbol in enumerate(ANSWER))
ROWS = [QUESTION[i : i + 16] for i in range(0, 256, 16)]


def numbered(row: str, blank: str = ".") -> list[str]:
    return [blank if symbol == "." else str(SYMBOLS.index(symbol) + 1) for symbol in row]


def framed(rows: list[str]) -> str:
    lines = [" | ".join(" ".join(row[i : i + 4]) for i in range(0, 16, 4)) for row in rows]
    return "\n".join(line + ("\n" + "-" * len(line) if number % 4 == 3 else "") for number, line in enumerate(lines))


FORMS = {
    "one line": QUESTION,
    "one line of small letters, zeros as blanks": QUESTION.lower().replace(".", "0"),
    "x as blank": QUESTION.replace(".", "x"),
    "rows": "\n".join(ROWS),
    "framed rows": framed(ROWS),
    "spaces as blanks": "\n".join(row.replace(".", " ") for row in ROWS),
    "commas": "\n".join(",".join(cell.strip(".") for cell in row) for row in ROWS),
    "numbers": "\n".join(" ".join(numbered(row)) for row in ROWS),
    "numbers in columns": "\n".join("".join(f"{number:>3}" for number in numbered(row, "0")) for row in ROWS),
    "numbers in a frame": "\n".join(
        f"| {' | '.join(' '.join(numbered(row)[i : i + 4]) for i in range(0, 16, 4))} |" for row in ROWS
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_board_of_16_is_read_in_every_form(form: str, tmp_path: Path) -> None:
    task, expected = LARGE[16], LARGE[16].parse(QUESTION)
    assert (task.parse(FORMS[form]) == expected).all()
    assert task.format(torch.from_numpy(expected)) == QUESTION
    path = tmp_path / "F.txt"
    path.write_text(f"{FORMS[form]}\n\n{FORMS[form]}\n")
    rows = list(read_puzzles(str(path), task))
    assert len(rows) == 2
    assert all((task.parse(getattr(row, "question", "")) == expected).all() for row in rows)


@pytest.mark.parametrize("side", LARGE)
@given(data=st.data())
def test_parts_of_a_solution_print_as_they_were_read(side: int, data: st.DataObject) -> None:
    shown = data.draw(st.lists(st.booleans(), min_size=side * side, max_size=side * side))
    text = "".join(symbol if show else "." for symbol, show in zip(pattern(side), shown, strict=True))
    assert LARGE[side].format(torch.from_numpy(LARGE[side].parse(text))) == text


@pytest.mark.parametrize("side", LARGE)
def test_a_solution_is_told_from_a_board_with_two_cells_exchanged(side: int) -> None:
    task = LARGE[side]
    answers = task.encode([pattern(side)]).repeat(2, 1)
    answers[1, [0, 1]] = answers[1, [1, 0]]
    assert task.is_solved(torch.zeros_like(answers), answers).tolist() == [True, False]
    symmetries = task.symmetries(8, np.random.default_rng(0))
    moved = torch.from_numpy(symmetries.apply(answers[:1].repeat(8, 1).numpy().astype(np.uint8)))
    assert task.is_solved(torch.zeros_like(moved), moved).all()


@pytest.mark.parametrize(
    ("side", "text", "said"),
    [
        (16, "H" + QUESTION[1:], "row 1, column 1 holds 'H': only the digits 1 to 9, the letters A to G and"),
        (16, "Q" + QUESTION[1:], "row 1, column 1 holds 'Q'"),
        (25, "Q" + "." * 624, "row 1, column 1 holds 'Q': only the digits 1 to 9, the letters A to P and"),
        (16, QUESTION[:-1], "has 255 cells, a sudoku16 puzzle has 256: give one digit or letter"),
        (16, "." * 14 + "AA" + "." * 240, "letter A is given 2 times in row 1"),
        (16, "." * 16 + "9" + "." * 15 + "9" + "." * 223, "digit 9 is given 2 times in column 1"),
        (16, "\n".join(["17 " + "1 " * 15, *ROWS[1:]]), "has 257 cells"),
        (4, "5" + "." * 15, "row 1, column 1 holds '5': only the digits 1 to 4 and"),
        (9, "A" + "." * 80, "row 1, column 1 holds 'A': only the digits 1 to 9 and"),
    ],
)
def test_a_wrong_board_is_refused_with_its_place(side: int, text: str, said: str) -> None:
    with pytest.raises(InputError) as raised:
        sudoku_of(side).parse(text)
    assert said in str(raised.value)


def test_a_board_is_drawn_in_boxes_with_letters() -> None:
    task = LARGE[16]
    drawn = task.render(QUESTION, solution(task.encode(ANSWER)[0], settled=True, valid=True, residual=0.0, depth=1))
    first, *_, last = drawn.splitlines()
    assert first == (". 2 3 . | 5 6 . 8 | 9 . B C | . E F .      1 2 3 4 | 5 6 7 8 | 9 A B C | D E F G")
    assert drawn.splitlines()[4] == ("--------+---------+---------+--------      " * 2).rstrip()
    assert last.startswith("valid, converged")


@pytest.mark.parametrize(("name", "clues", "count"), [("sudoku16", 150, 5), ("sudoku6", 12, 10), ("sudoku25", 400, 1)])
def test_generated_puzzles_have_one_solution_and_the_stated_clues(name: str, clues: int, count: int) -> None:
    task = task_named(name)
    assert isinstance(task, Sudoku)
    geo = geometry(units_of(task.box_rows, task.box_cols))  # an older solver, which knows nothing of clauses
    puzzles = list(itertools.islice(task.generate_with(clues, seed=3), count))
    for puzzle in puzzles:
        solutions, answer = solve_board(puzzle.question, geo)
        assert solutions == 1
        assert (answer == puzzle.answer).all()
        assert (puzzle.question > 0).sum() == clues
        assert puzzle.rating == task.layout.cells - clues
    assert len({puzzle.answer.tobytes() for puzzle in puzzles}) == count
    again = list(itertools.islice(task.generate_with(clues, seed=3), count))
    assert all((a.question == b.question).all() for a, b in zip(puzzles, again, strict=True))
    assert (next(task.generate_with(clues, seed=4)).answer != puzzles[0].answer).any()


def test_the_command_writes_them_as_csv() -> None:
    done = eqr("generate", "sudoku16", "--clues", "200", "--count", "2", "--seed", "5")
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["rating"] for row in rows] == ["56", "56"]
    task = LARGE[16]
    questions, answers = (task.encode([row[column] for row in rows]) for column in ("question", "answer"))
    assert task.is_solved(questions, answers).all()
    assert (questions > 0).sum(1).tolist() == [200, 200]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("sudoku16",), "sudoku16 puzzles are generated with a stated number of clues"),
        (("sudoku16", "--clues", "256"), "256 clues: a sudoku16 puzzle with one solution has 1 to 255"),
        (("sudoku16", "--clues", "0"), "0 clues: a sudoku16 puzzle with one solution has 1 to 255"),
        (("sudoku", "--clues", "16"), "16 clues: a sudoku puzzle with one solution has 17 to 80"),
        (("maze9", "--clues", "3"), "--clues 3: only Sudokus have clues, leave it out for maze9"),
        (("sudoku", "--clues", "30", "--least", "2"), "--clues is given with limits of the rating"),
        (("sudoku4", "--clues", "2"), "no 4x4 Sudoku with 2 clues was found in a bounded search: ask for more clues"),
    ],
)
def test_puzzles_that_are_not_made_are_told_in_one_sentence(arguments: tuple[str, ...], said: str) -> None:
    done = eqr("generate", *arguments, "--count", "1")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert said in done.stderr


def test_a_search_for_too_few_clues_ends_after_its_conflicts() -> None:
    with (
        patch.object(sudoku_thinning, "MOST_CONFLICTS", 300),
        pytest.raises(InputError, match="no 16x16 Sudoku with 70"),
    ):
        next(LARGE[16].generate_with(70, seed=0))


def test_without_the_extra_one_sentence_says_what_to_install() -> None:
    with patch.dict(sys.modules, {"pysat.solvers": None}):
        done = eqr("generate", "sudoku16", "--clues", "200", "--count", "1")
    assert done.returncode == 2
    assert "pip install 'equilibrium-reasoners[csp]'" in done.stderr
