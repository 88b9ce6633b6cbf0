"""The formats of docs/formats.md, one input each: the puzzles that are read, or the message."""

import bz2
import gzip
import io
import itertools
import json
import lzma
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eqr.cli import main
from eqr.data.files import read_labelled
from eqr.data.lines import MOST
from eqr.data.parsing import Refused, Row
from eqr.data.text import Columns, read_puzzles, read_rows
from eqr.errors import InputError, printable
from eqr.tasks import Task, task_named
from eqr.tasks.grid import grid_of
from eqr.tasks.maze import maze_of

SUDOKU, SMALL, MAZE = task_named("sudoku"), task_named("sudoku4"), maze_of(5)
A = ".7.8.16.......7.211...3.49...8..3..2....6.....6.27..4.7...8.2...36......5......3."
B = ".2....5.8.5.1.4...6.9.....73..87...1.81..3......9.2..........4.83....7.5....5.6.."
SOLVED = "274891653693457821185632497458913762327564189961278345749385216836129574512746938"
SWAPPED = SOLVED.translate(str.maketrans("12", "21"))
FOUR, FOUR_SOLVED = "1......." + "2.3....1", "1342" + "4213" + "2134" + "3421"


def rows_of(board: str) -> list[str]:
    side = int(len(board) ** 0.5)
    return [board[at : at + side] for at in range(0, len(board), side)]


def lines(*boards: str) -> str:
    return "".join(f"{row}\n" for board in boards for row in rows_of(board))


def parted(board: str, mark: str, blank: str = "0") -> str:
    return "".join(mark.join(blank if cell == "." else cell for cell in row) + "\n" for row in rows_of(board))


def framed(board: str) -> str:
    rows = [f"|{row[:3]}|{row[3:6]}|{row[6:]}|" for row in rows_of(board)]
    bands = ["\n".join(rows[at : at + 3]) for at in (0, 3, 6)]
    return "*-----------*\n" + "\n|---+---+---|\n".join(bands) + "\n*-----------*\n"


def boxed(board: str) -> str:
    rows = [f"│{row[:3]}│{row[3:6]}│{row[6:]}│" for row in rows_of(board)]
    bands = ["\n".join(rows[at : at + 3]) for at in (0, 3, 6)]
    return "┌───┬───┬───┐\n" + "\n├───┼───┼───┤\n".join(bands) + "\n└───┴───┴───┘\n"


def hodoku(board: str, tail: str = ":::") -> str:
    return f":0000:x:{board}{tail}\n"


def spaced(board: str) -> str:
    return "".join(" ".join(row) + "\n" for row in rows_of(board))


def banded(board: str) -> str:
    return "\n".join(lines(board)[at : at + 30] for at in (0, 30, 60))


# Every clue of A that was filled in later is marked in HoDoKu's notation, and so is a blank of the puzzle.
MARKED = "+2" + A[1:]
NUMBERS = [[int(cell) for cell in row] for row in rows_of(A.replace(".", "0"))]
STATE = lines(SOLVED)

SUDOKUS = {
    # What the cases of collections on the web look like.
    "sdk with a head": ("#AAnon\n#DSome puzzle, by hand\n#B01-02-2020\n#SMine\n#L1\n[Puzzle]\n" + lines(A), [A]),
    "sdk of one section": ("[Puzzle]\n" + lines(A), [A]),
    "sdk with a state": ("[Puzzle]\n" + lines(A) + "[State]\n" + STATE, [A]),
    "sdk with a state first": ("[State]\n" + STATE + "[Puzzle]\n" + lines(A), [A]),
    "sdk with a comma in the title": ("#Agent, secret\n#Done, by whom\n" + lines(A), [A]),
    "ss with a frame": (framed(A), [A]),
    "two framed boards": (framed(A) + framed(B), [A, B]),
    "a drawn box": (boxed(A), [A]),
    "ss without a frame": (
        "".join(
            f"{row[:3]}|{row[3:6]}|{row[6:]}\n" + "-----------\n" * (at in (2, 5)) for at, row in enumerate(rows_of(A))
        ),
        [A],
    ),
    "comma rows": (parted(A, ","), [A]),
    "comma rows with spaces": (parted(A, ", "), [A]),
    "comma rows with nothing for a blank": (parted(A, ",", ""), [A]),
    "81 values on one line": (",".join(A.replace(".", "0")) + "\n" + ",".join(B.replace(".", "0")), [A, B]),
    "81 values with a last comma": (",".join(A.replace(".", "0")) + ",\n", [A]),
    "semicolon rows": (parted(A, ";"), [A]),
    "tabs from a spreadsheet": (parted(A, "\t", ""), [A]),
    "Euler 96": ("Grid 01\n" + lines(A).replace(".", "0") + "Grid 02\n" + lines(B).replace(".", "0"), [A, B]),
    "titles with words": ("Puzzle 1: easy one\n" + lines(A) + "\nPuzzle 2 (hard)\n" + lines(B), [A, B]),
    "HoDoKu": (hodoku(A) + hodoku(B, ":123 456:r1c1<>5, r2:note, and more"), [A, B]),
    "HoDoKu with cells that were set": (hodoku(MARKED), [A]),
    "HoDoKu without a tail": (hodoku(A, ":"), [A]),
    **{f"blanks as {char}": (f"{A}\n{B}\n".replace(".", char), [A, B]) for char in ".0*_?xX"},
    "blanks of several kinds": (A.replace(".", "x", 5).replace(".", "?", 5) + "\n", [A]),
    "rows of stars": (lines(A).replace(".", "*"), [A]),
    "rows with spaces as blanks": (lines(A).replace(".", " "), [A]),
    "a row of spaces only": (lines("7" * 0 + A[:72] + "." * 9).replace(".", " "), [A[:72] + "." * 9]),
    "81 characters with spaces as blanks": (A[1:].replace(".", " ").join(("2", "\n")), ["2" + A[1:]]),
    "rows with dashes as blanks": (lines(A).replace(".", "-"), [A]),
    "a line with dashes as blanks": (A.replace(".", "-") + "\n", [A]),
    "digits apart": (spaced(A), [A]),
    "boxes apart": ("".join(f"{row[:3]}  {row[3:6]}  {row[6:]}  \n" for row in rows_of(A)), [A]),
    "empty lines between bands": (banded(A) + "\n" + banded(B), [A, B]),
    "empty lines between boards": ("\n\n" + lines(A) + "\n\n\n" + lines(B) + "\n", [A, B]),
    "comments": (f"# one, two\n{A}\n#\n# three\n{B}", [A, B]),
    "a comment in a board": (lines(A)[:40] + "# half way down\n" + lines(A)[40:], [A]),
    "old line ends": (f"{A}\r{B}\r", [A, B]),
    "line ends of Windows and white space": (f"{A}  \r\n{B}\t\r\n\r\n", [A, B]),
    "no last line end": (f"{A}\n{B}", [A, B]),
    "boards and rows mixed": (A + "\n" + lines(B) + A, [A, B, A]),
    # Tables.
    "Kaggle": (f"quizzes,solutions\n{A.replace('.', '0')},{SOLVED}\n", [A]),
    "capitals and spaces": (f"ID , PUZZLE\n1 , {A}\n", [A]),
    "semicolons": (f"id;Quiz;Solution\n1;{A};{SOLVED}\n", [A]),
    "tabs": (f"rating\tpuzzles\n1\t{A}\n", [A]),
    "bars": (f"id|puzzle\n1|{A}\n", [A]),
    "quoted names and fields": (f'"question";"answer"\n"{A}";"{SOLVED}"\n', [A]),
    "a board over nine lines of a field": (f'source,question\n"a ""b"", c","{lines(A)}"\nd,{B}\n', [A, B]),
    "a head above the table": (f"# from a site, with words\n\nquestion\n{A}\n", [A]),
    "rows of separators only": (f"id,puzzle,solution\n1,{A},{SOLVED}\n,,\n2,{B},\n,,\n", [A, B]),
    "a source that looks like a comment": (f"source,question\n# the first,{A}\n# the last,{B}\n", [A, B]),
    "quotes in a plain field": (f'source,question\n5" wide,{A}\n', [A]),
    # JSON.
    "JSON lines": (f'{{"question": "{A}", "answer": "{SOLVED}"}}\n\n{{"id": 1, "Puzzle": "{B}"}}\n', [A, B]),
    "a JSON text on each line": (f'"{A}"\n"{B}"\n', [A, B]),
    "a JSON list of objects": (json.dumps([{"quiz": A}, {"quiz": B}], indent=1), [A, B]),
    "a JSON list of texts": (json.dumps([A, B]), [A, B]),
    "a JSON list of rows of numbers": (
        json.dumps([[int(char) for char in row] for row in rows_of(A.replace(".", "0"))]),
        [A],
    ),
    "JSON boards as lists of lists": (
        json.dumps({"puzzle": NUMBERS}),
        [A],
    ),
}


def puzzles(path: str, task: Task = SUDOKU, columns: Columns | None = None) -> list[str]:
    """The puzzles of a file as the task writes them; nothing may be refused."""
    texts = []
    for item in read_puzzles(path, task, columns or Columns()):
        assert isinstance(item, Row), item
        sized = task.sized(task.cells_in(item.question))
        texts.append(sized.format(torch.from_numpy(sized.parse(item.question))))
    return texts


def written(tmp_path: Path, text: str | bytes, name: str = "F.txt") -> str:
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(tmp_path / name)


@pytest.mark.parametrize("form", SUDOKUS)
def test_sudokus_of_every_format_read_as_the_same_cells(form: str, tmp_path: Path) -> None:
    text, boards = SUDOKUS[form]
    assert puzzles(written(tmp_path, text)) == boards


@pytest.mark.parametrize(
    ("name", "encoded"),
    [
        ("mark.txt", A.encode("utf-8-sig")),
        ("wide.csv", f"question\r\n{A}\r\n".encode("utf-16")),
        ("big.csv", b"\xfe\xff" + f"source,question\né,{A}\n".encode("utf-16-be")),
        ("a.csv.gz", gzip.compress(f"puzzle,solution\n{A},{SOLVED}\n".encode(), mtime=0)),
        ("gzip_by_content.csv", gzip.compress(f"{A}\n".encode(), mtime=0)),
        ("two_members.txt.gz", gzip.compress(A[:40].encode(), mtime=0) + gzip.compress(A[40:].encode(), mtime=0)),
        ("a.jsonl.bz2", bz2.compress(json.dumps({"puzzle": A}).encode())),
        ("a.txt.xz", lzma.compress(f"{A}\n".encode())),
        ("latin1_source.csv", f"source,question\né,{A}\n".encode("latin-1")),
    ],
)
def test_encodings_and_compressions_are_recognised_by_content(name: str, encoded: bytes, tmp_path: Path) -> None:
    assert puzzles(written(tmp_path, encoded, name)) == [A]


MIXED = {
    "a short row of a table": (
        f"source,question\na,{A}\nb\nc,{B}\n",
        "line 3: the row has 1 columns, its header has 2: correct or remove it",
    ),
    "a row that is too wide": (
        f"question,source\n{A},a\n{B},a,b\n{B},c,,\n",
        "line 3: the row has 3 columns, its header has 2: correct or remove it",
    ),
    "an empty question": (
        f"id,question\n1,{A}\n2,\n3,{B}\n",
        "line 3: the row has no question: add it or remove the row",
    ),
    "quotes that do not close": (
        f'source,question\na,{A}\n"b,x\nc,{B}\n',
        "line 3: its quotes cannot be read (unexpected end of data): correct the line",
    ),
    "a line that is no JSON": (
        f'{{"question": "{A}"}}\n{{"question": \n{{"question": "{B}"}}\n',
        "line 2: the line is not JSON (Expecting value: line 1 column 14 (char 13)): give one object on each line",
    ),
    "a value that is nested too deep": (
        f'{{"question": "{A}"}}\n{{"question": {"[" * 100_000}}}\n{{"question": "{B}"}}\n',
        "line 2: the line is not JSON (values are nested too deep): give one object on each line",
    ),
    "a number of 5,000 digits": (
        f'{{"question": "{A}"}}\n{{"question": "{A}", "x": {"9" * 5000}}}\n{{"question": "{B}"}}\n',
        "line 2: the line is not JSON (a number has 5,000 digits, 4,300 are the most): give one object on each line",
    ),
    "an object without a puzzle": (
        f'{{"question": "{A}"}}\n{{"board": "x"}}\n"{B}"\n',
        "line 2: has the columns board and no 'question': rename the puzzles' column, or give --question-column NAME",
    ),
    "an object with two puzzles": (
        f'"{A}"\n{{"quiz": "x", "puzzle": "y"}}\n"{B}"\n',
        "line 2: has the columns 'quiz' and 'puzzle', and both may be the question: give --question-column, or remove "
        "one",
    ),
    "a number in place of a board": (
        f'{{"puzzle": "{A}"}}\n{{"puzzle": 12}}\n{{"puzzle": "{B}"}}\n',
        "line 2: the board 12 is no text and no list of cells of one character: correct it",
    ),
    "a line without end": (
        f"{A}\n{'.' * (MOST + 5)}\n{B}\n",
        "line 2: the line has more than 1,048,576 characters: it holds no puzzle, correct or remove it",
    ),
    "a field without end": (
        f'source,question\na,{A}\n"{"." * 200_000}",{A}\nc,{B}\n',
        "line 3: its quotes cannot be read (field larger than field limit (131072)): correct the line",
    ),
    "bytes that are no UTF-8": (
        A.encode() + b"\n\xff\xfe.\n" + B.encode() + b"\n",
        "line 2: the line is not UTF-8 text: save the file as UTF-8, or remove the line",
    ),
    "a line that is too short": (
        f"{A}\n{A[1:]}\n{B}\n",
        "line 2: puzzle '7.8.16.......7.211...3.4' has 80 cells, a sudoku puzzle has 81: give one digit for each clue "
        "and '.' or '0' for each blank",
    ),
    "a short row in a board": (
        lines(A) + lines(A)[:10] + lines(A)[11:] + lines(B),
        "line 11: '....7.21' has 8 cells, a row has 9: correct it or the first row of its board ({F}, line 10)",
    ),
    "a short first row of a board": (
        lines(A) + lines(A)[1:] + lines(B),
        "line 10: puzzle '7.8.16..' has 8 cells, a sudoku puzzle has 81: give one digit for each clue and '.' or '0' "
        "for each blank",
    ),
    "a board of eight rows": (
        lines(A) + "\n" + lines(A)[10:] + "\n" + lines(B),
        "line 11: the board has 8 rows, 9 are needed for rows of 9 cells: add rows",
    ),
    "a titled board of eight rows": (
        "Grid 1\n" + lines(A) + "Grid 2\n" + lines(A)[10:] + "Grid 3\n" + lines(B),
        "line 12: the board has 8 rows, 9 are needed for rows of 9 cells: add rows",
    ),
    "eight rows before a whole board": (
        A + "\n" + lines(A)[10:] + B + "\n",
        "line 2: the board has 8 rows, 9 are needed for rows of 9 cells: add rows",
    ),
}


@pytest.mark.parametrize("form", MIXED)
def test_a_bad_piece_is_told_and_the_puzzles_around_it_are_read(form: str, tmp_path: Path) -> None:
    text, said = MIXED[form]
    path = written(tmp_path, text)
    first, refused, last = read_puzzles(path, SUDOKU)
    assert isinstance(refused, Refused)
    assert str(refused.error()) == f"{path}, {said.replace('{F}', path)}"
    assert [SUDOKU.format(torch.from_numpy(SUDOKU.parse(row.question))) for row in (first, last)] == [A, B]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{A},{SOLVED}\n", "has 2 columns and no header: write names above them, such as question,answer"),
        (f"id,board\n1,{A}\n", "has the columns id, board and no 'question', 'quizzes' or 'puzzle': rename"),
        (f"quizzes,puzzle\n{A},{A}\n", "both may be the question: give --question-column, or remove one"),
        ('[{"question": ', r"begins like a JSON list and is not JSON \(Expecting value.*: correct it"),
        ("[" * 5000, r"begins like a JSON list and is not JSON \(values are nested too deep\): correct it"),
        (f'[{{"question": {"9" * 5000}}}]', r"is not JSON \(a number has 5,000 digits, 4,300 are the most\): correct"),
        ("PK\x03\x04....", "is a zip archive or a spreadsheet: unpack it, or save it as CSV"),
        (b"\x28\xb5\x2f\xfd....", "is compressed by zstd"),
        (gzip.compress(b"x" * 500, mtime=0)[:-9], "is a damaged compressed file .*: copy or compress it again"),
        (b"\x1f\x8b nothing", "is a damaged compressed file"),
        ("a\0b", "is not text: give a CSV"),
        (A.encode("utf-16-le"), "is not text"),
        (b"\xff\xfea", "is not UTF-16.* text .*: save it as UTF-8"),
        (b"\xe9t\xe9\n", r"is not UTF-8 text \(line 1\): save it as UTF-8"),
        ("." * (MOST + 1), "line 1: the line has more than 1,048,576 characters"),
        (gzip.compress(b"", mtime=0), "is empty"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_in_one_sentence(text: str | bytes, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said) as error:
        list(read_puzzles(written(tmp_path, text), SUDOKU))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("note", ["NaN", "-Infinity", "9" * 4300])
def test_notes_beside_a_puzzle_may_be_numbers_of_any_kind(note: str, tmp_path: Path) -> None:
    row = f'{{"question": "{A}", "x": {note}}}'
    assert puzzles(written(tmp_path, row)) == [A]
    assert puzzles(written(tmp_path, f"[{row}]")) == [A]


def test_a_long_first_line_is_refused_by_itself(tmp_path: Path) -> None:
    path = written(tmp_path, f"{'.' * 200_000}\n{A}\n")
    refused, row = read_puzzles(path, SUDOKU)
    assert isinstance(refused, Refused)
    assert "has 200000 cells" in refused.reason
    assert row == Row(f"{path}, line 2", A)


def test_columns_are_chosen_by_name(tmp_path: Path) -> None:
    path = written(tmp_path, f"quiz,puzzle,Board,solved\n1,2,{A},{SOLVED}\n")
    chosen = Columns(question_column="board", answer_column="solved")
    assert puzzles(path, columns=chosen) == [A]
    read = read_labelled(path, SUDOKU, columns=chosen)
    assert SUDOKU.format(torch.from_numpy(read.answers[0])) == SOLVED
    with pytest.raises(InputError, match="has no column 'missing': it has quiz, puzzle, Board, solved"):
        read_labelled(path, SUDOKU, columns=Columns(question_column="board", answer_column="missing"))
    with pytest.raises(InputError, match="has no column 'board'"):
        puzzles(written(tmp_path, A), columns=Columns(question_column="board"))
    objects = written(tmp_path, json.dumps({"puzzle": "no", "q": A}), "F.jsonl")
    assert puzzles(objects, columns=Columns(question_column="q")) == [A]


def test_mazes_and_grids_keep_characters_that_are_blanks_or_frames_in_sudokus(tmp_path: Path) -> None:
    maze = "#####\n# S.#\n#.#.#\n#..G#\n#####\n"
    assert puzzles(written(tmp_path, maze * 2), MAZE) == ["#####" + "#.S.#" + "#.#.#" + "#..G#" + "#####"] * 2
    symbols = "#x*?_,:;-="
    board = {"symbols": symbols, "blank": ".", "clues_fixed": True, "interchangeable": False, "dihedral": False}
    grid = grid_of(rows=2, cols=5, **board)
    for rows in (["#x*?_", ",:;-="], ["::::-", "-----"], ["*---*", "#x,.?"], ["x.;..", "...#:"], [",,,,,", ",x,?,"]):
        assert puzzles(written(tmp_path, "\n".join(rows) + "\n"), grid) == ["".join(rows)]


class Endless(io.RawIOBase):
    """A file that does not end; counts the bytes that were asked for."""

    def __init__(self, line: bytes) -> None:
        self.line, self.given = line, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        size = len(buffer)
        buffer[:] = (self.line * (size // len(self.line) + 2))[self.given % len(self.line) :][:size]
        self.given += size
        return size


@pytest.mark.parametrize("line", [A, ",".join(A.replace(".", "0")), f'"{A}"', json.dumps({"puzzle": A})])
def test_reading_is_lazy(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    endless = Endless(f"{line}\n".encode())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(endless)))
    first = list(itertools.islice(read_puzzles("-", SUDOKU), 1000))
    assert len(first) == 1000
    assert all(isinstance(row, Row) for row in first)
    assert endless.given < 1001 * (len(line) + 1) + 4 * io.DEFAULT_BUFFER_SIZE


def test_text_in_place_of_standard_input_is_read_line_by_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def endless() -> Iterator[str]:
        yield "question\n"
        while True:
            yield f"{A}\n"

    monkeypatch.setattr(sys, "stdin", endless())
    assert [row.place for row in itertools.islice(read_rows("-"), 2) if isinstance(row, Row)] == [
        "standard input, line 2",
        "standard input, line 3",
    ]


def saved(tmp_path: Path, **arrays: object) -> str:
    np.savez(tmp_path / "F.npz", **{name: np.asarray(array) for name, array in arrays.items()})
    return str(tmp_path / "F.npz")


IDS, ANSWERS = SMALL.parse(FOUR)[None], SMALL.parse(FOUR_SOLVED)[None]


def changed(board: np.ndarray, cell: int, value: object, kind: type = int) -> np.ndarray:
    other = board.astype(kind)
    other[0, cell] = value
    return other


@pytest.mark.parametrize(
    ("questions", "answers", "said"),
    [
        (
            changed(IDS, 1, -1),
            ANSWERS,
            "row 0, cell 1 holds -1: sudoku4 has the symbols 0 (blank) to 4, correct or remove",
        ),
        (changed(IDS, 1, np.nan, float), ANSWERS, "row 0, cell 1 holds nan"),
        (changed(IDS, 1, np.inf, float), ANSWERS, "row 0, cell 1 holds inf"),
        (changed(IDS, 0, 1.9, float), ANSWERS, "row 0, cell 0 holds 1.9"),
        (IDS, changed(ANSWERS, 1, 1e300, float), "row 0, in the answer, cell 1 holds 1e+300"),
        (IDS, changed(ANSWERS, 5, 256), "row 0, in the answer, cell 5 holds 256"),
        (IDS, changed(ANSWERS, 5, 0), "row 0, in the answer: row 2, column 2 is blank: correct or remove the row"),
        (IDS, changed(ANSWERS, 0, 2), "row 0, in the answer: row 1, column 1 holds symbol 2, the question gives 1"),
        (IDS, changed(ANSWERS, 1, 4), "row 0, in the answer: digit 4 is given 2 times in row 1"),
        (IDS > 0, ANSWERS, "the array is of type bool, symbols are whole numbers: convert it"),
        (IDS.astype(str), ANSWERS, "the array is of type <U3, symbols are whole numbers: convert it"),
        (IDS.astype(complex), ANSWERS, "the array is of type complex128"),
        (IDS, ANSWERS.astype(str), "in the answer: the array is of type <U3"),
        (IDS.astype(object), ANSWERS, "is not an npz with arrays 'puzzles' and 'solutions' (Object arrays"),
        (np.int64(1), np.int64(1), "holds shapes () and (), sudoku4 needs (N, 16): give one row for each puzzle"),
        (IDS[0], ANSWERS[0], "holds shapes (16,) and (16,), sudoku4 needs (N, 16)"),
        (IDS.reshape(1, 4, 4), ANSWERS.reshape(1, 4, 4), "holds shapes (1, 4, 4) and (1, 4, 4), sudoku4 needs (N, 16)"),
        (IDS, np.repeat(ANSWERS, 2, 0), "holds shapes (1, 16) and (2, 16)"),
        (IDS[:0], ANSWERS[:0], "holds no puzzles: nothing to read"),
    ],
)
def test_arrays_are_checked_cell_by_cell(questions: np.ndarray, answers: np.ndarray, said: str, tmp_path: Path) -> None:
    path = saved(tmp_path, puzzles=questions, solutions=answers)
    with pytest.raises(InputError) as error:
        read_labelled(path, SMALL)
    assert str(error.value).startswith(path)
    assert said in str(error.value)


@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.float32])
@pytest.mark.parametrize("names", [("puzzles", "solutions"), ("quizzes", "solutions"), ("Question", "ANSWER")])
def test_arrays_of_any_numbers_and_names_are_read(kind: type, names: tuple[str, str], tmp_path: Path) -> None:
    path = saved(tmp_path, **dict(zip(names, (IDS.astype(kind), ANSWERS.astype(kind)), strict=True)))
    renamed = Path(path).rename(tmp_path / "renamed.bin")
    read = read_labelled(str(renamed), SMALL)
    assert (read.questions == IDS).all()
    assert (read.answers == ANSWERS).all()


def test_an_archive_of_something_else_is_named_with_its_parts(tmp_path: Path) -> None:
    path = saved(tmp_path, images=IDS, labels=ANSWERS)
    with pytest.raises(
        InputError, match=r"is not an npz with arrays 'puzzles' and 'solutions' .*it holds images, labels"
    ):
        read_labelled(path, SMALL)
    chosen = Columns(question_column="images", answer_column="labels")
    assert (read_labelled(path, SMALL, columns=chosen).answers == ANSWERS).all()


def test_a_path_through_a_maze_that_is_not_the_shortest_is_no_answer(tmp_path: Path) -> None:
    question = "#####" + "#S..#" + "#...#" + "#..G#" + "#####"
    right = "#####" + "#Soo#" + "#..o#" + "#..G#" + "#####"
    long = "#####" + "#Soo#" + "#ooo#" + "#ooG#" + "#####"
    path = written(tmp_path, f"question,answer\n{question},{right}\n")
    assert len(read_labelled(path, MAZE)) == 1
    path = written(tmp_path, f"question,answer\n{question},{right}\n{question},{long}\n")
    with pytest.raises(InputError) as error:
        read_labelled(path, MAZE)
    assert str(error.value) == (
        f"{path}, line 3, in the answer: it does not solve the question (the check of maze5 refuses 1 of 2 answers in "
        f"{path}): correct or remove them"
    )


def test_what_files_say_reaches_the_terminal_escaped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert printable("é 数 \x1b[31m\r\n\x9b\u202e\udcff") == "é 数 \\x1b[31m\\r\\n\\x9b\\u202e\\udcff"
    path = written(tmp_path, f"source,question\n\x1b[31mred\x1b]0;own\x07,{A}\n")
    main(["solve", "--file", path, "--depth", "1", "--threads", "1"])
    assert capsys.readouterr().out.startswith(f"{path}, line 2: \\x1b[31mred\\x1b]0;own\\x07\n")
    for arguments in (["solve", "--file", "\x1b[2J.csv"], ["eval", "--data", "\x1b[2J.csv"], ["\x1b[2J"]):
        with pytest.raises(SystemExit):
            main(arguments)
        error = capsys.readouterr().err
        assert "\\x1b[2J" in error
        assert "\x1b" not in error


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"question,answer\n{A},\n{B},\n", "line 2 has no answer: add it or remove the row"),
        (json.dumps({"puzzle": A}) + "\n", "line 1 has no answer: add it or remove the row"),
        (json.dumps({"puzzle": A, "answer": None}) + "\n", "line 1 has no answer"),
        (f"question,answer\n{A},{SOLVED[1:]}\n", "line 2, in the answer: puzzle '7489"),
        (f"question,answer\n{A},1{SOLVED[1:]}\n", "line 2, in the answer: digit 1 is given 2 times in row 1"),
        (f"question,answer\n{A},{SOLVED.replace('2', '.', 1)}\n", "line 2, in the answer: row 1, column 1 is blank"),
        (
            f"question,answer\n{A},{SOLVED.translate(str.maketrans('12', '21'))}\n",
            "line 2, in the answer: row 1, column 6",
        ),
        (f"question,answer\n{'1' + A[1:]},{SOLVED}\n", "line 2: digit 1 is given 2 times in row 1"),
        (f"{A}\n", "has no 'answer' column: evaluation and training need one"),
        (f"question,answer\n{A}\n", "line 2: the row has 1 columns, its header has 2"),
        ("question,answer\n", "holds no puzzles: nothing to read"),
    ],
)
def test_a_fault_of_the_answer_is_told_of_the_answer(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        read_labelled(written(tmp_path, text), SUDOKU)
    assert said in str(error.value)


PIECES = [
    *("." * 81, "." * 9, "1" + "." * 15, "question,answer", "puzzle", "Grid 01", "[Puzzle]", "#AAnon", "*-----------*"),
    *("|...|...|...|", f":0000:x:{'.' * 81}:::", '{"question": "..."}', "[", "]", "{", "}", "", f'"{"." * 81}', "1+2"),
    *("#####", "#S.G#", "0,7,0,8,0,1,6,0,0", "\ufeff", "\x1b[31m", "a,b;c\td", "\u2028"),
]


@settings(max_examples=150, derandomize=True)
@given(
    lines=st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=20)), max_size=12),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(["utf-8", "utf-16"]),
    task=st.sampled_from(["sudoku", "sudoku4", "maze9"]),
)
def test_any_text_gives_puzzles_refusals_or_one_sentence(
    lines: list[str], end: str, encoding: str, task: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_bytes(end.join(lines).encode(encoding, "replace"))
    with suppress(InputError):
        assert all(isinstance(item, Row | Refused) for item in read_puzzles(str(path), task_named(task)))


def test_lines_of_words_do_not_disturb_the_boards_around_them(tmp_path: Path) -> None:
    path = tmp_path / "some.txt"
    path.write_text("\n".join([A, 'no guess needed"', 'hard"', '17 clues"', B, "almost", "1"]) + "\n")
    read = list(read_puzzles(str(path), SUDOKU))
    assert [item.question for item in read if isinstance(item, Row)] == [A, B]
    assert sum(isinstance(item, Refused) for item in read) >= 3
