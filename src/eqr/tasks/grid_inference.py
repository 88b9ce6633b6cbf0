"""Infers a grid's shape, alphabet and blank, and whether clues are fixed, from questions and answers."""

import re
from collections import Counter
from collections.abc import Iterable

from eqr.errors import InputError
from eqr.tasks.grid import GridConfig, cells_of, lines_in, shape_in

USUAL_BLANKS = ".0"
FEW = 0.05
"""Share of the answers up to which a usual blank in an answer is taken for a mistake."""


def inferred(
    puzzles: Iterable[tuple[str, str, str]], board: str | None, interchangeable: bool, dihedral: bool
) -> tuple[GridConfig, str]:
    """Returns the board of ``puzzles`` (place, question, answer), and the place of the first given cell that changes.

    The place is empty if no given cell changes. ``board``, such as 4x6, states the shape of grids written without
    separators between rows. Raises InputError if the grids differ in shape, or if their shape is unknown.
    """
    shape = _stated(board) if board else None
    asked: set[str] = set()
    answered: set[str] = set()
    changes: dict[str, str] = {}
    open_answers: Counter[str] = Counter()
    """Answers that hold a usual blank."""
    first_open: dict[str, str] = {}
    """The place of the first of these answers."""
    count = 0
    for place, question, answer in puzzles:
        count += 1
        try:
            shape = shape or _shape_of(question)
            asked_cells, answer_cells = (cells_of(text, *shape) for text in (question, answer))
        except InputError as error:
            raise InputError(f"{place}: {error}") from None
        asked.update(asked_cells)
        answered.update(answer_cells)
        for char in set(USUAL_BLANKS).intersection(answer_cells):
            open_answers[char] += 1
            first_open.setdefault(char, place)
        for given, new in zip(asked_cells, answer_cells, strict=True):
            if given != new:
                changes.setdefault(given, place)
    if shape is None:
        raise InputError("the training files hold no puzzles: give a CSV with the columns question and answer")
    for char, few in open_answers.items():
        if char in asked and few <= FEW * count:
            raise InputError(
                f"{first_open[char]}, in the answer: a cell holds {char!r}, the blank of the other {count - few:,} "
                "puzzles: correct or remove the row"
            )
    blank = _blank_of(asked - answered)
    changed = next((place for given, place in changes.items() if given != blank), "")
    config = GridConfig(
        rows=shape[0],
        cols=shape[1],
        symbols="".join(sorted((asked | answered) - {blank})),
        blank=blank,
        clues_fixed=bool(blank) and not changed,
        interchangeable=interchangeable,
        dihedral=dihedral,
    )
    return config, changed


def _stated(board: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)x(\d+)", board)
    if match is None:
        raise InputError(f"--board {board}: rows, an x and columns are needed, such as 4x6")
    return int(match[1]), int(match[2])


def _shape_of(text: str) -> tuple[int, int]:
    """Returns the rows and columns of a board; without separators between rows it must be square."""
    if shape := shape_in(text):
        return shape
    cells = sum(map(len, lines_in(text)))
    raise InputError(
        f"the question has {cells} cells in one row, which do not form a square: give --board ROWSxCOLUMNS, or put "
        "'/' or a line end between the rows"
    )


def _blank_of(only_asked: set[str]) -> str:
    """Returns the blank among the characters that no answer holds: a usual one, or the only one, or ``""``."""
    for char in USUAL_BLANKS:
        if char in only_asked:
            return char
    return only_asked.pop() if len(only_asked) == 1 else ""
