"""Parses a puzzle from text, and joins the lines of a text into boards. Knows no file and no network."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from eqr.errors import InputError
from eqr.tasks import Task
from eqr.tasks.base import Mark

T = TypeVar("T")


class Text(NamedTuple):
    """A puzzle as text, and the place of the text, for error messages."""

    place: str
    text: str


class Row(NamedTuple):
    """A row of a file: a puzzle, or a line that may be one row of a board."""

    place: str
    """The file and the line, for titles and error messages."""
    question: str
    answer: str | None = None
    """None if the file gives no answers."""
    source: str = ""
    rating: str = ""
    whole: bool = False
    """True if the row is a puzzle by itself (of a table or of JSON), so that no lines are joined."""


class Refused(NamedTuple):
    """A piece of the input that is no puzzle, in place of one: its place, and the reason."""

    place: str
    reason: str

    def error(self) -> InputError:
        """The error to raise if the rest of the input is not to be read."""
        return InputError(f"{self.place}: {self.reason}")


def parse_at(task: Task, place: str, text: str) -> NDArray[np.integer[Any]]:
    """Calls ``task.parse``; adds the place of the text to the error."""
    try:
        return task.parse(text)
    except InputError as error:
        raise InputError(f"{place}: {error}") from None


def read_puzzle(task: Task, written: Text, for_task: Callable[[Task], T]) -> tuple[T, Int[Tensor, " L"]] | Refused:
    """Parses a puzzle of the task's family; returns ``for_task`` of the task resized to its board, and the ids.

    Returns Refused if the text is not a puzzle, or if ``for_task`` raises InputError for a board of its size.
    """
    sized = task.fitting(written.text)
    try:
        board = sized.parse(written.text)
        return for_task(sized), torch.from_numpy(board).long()
    except InputError as error:
        return Refused(written.place, str(error))


def boards_of(task: Task, rows: Iterable[Row | Refused]) -> Iterator[Row | Refused]:
    """Joins lines that hold a row of a board each; yields one item per puzzle, in order, and reads no further ahead.

    A board whose rows do not fit is Refused at the line that is wrong. It takes as many lines as a whole board has, up
    to a line that begins another one, so that later boards are read from their first rows.
    """
    lines = _Lines(task, rows)
    for first in lines:
        if isinstance(first, Refused) or (isinstance(first, Row) and first.whole):
            yield first
        elif isinstance(first, Row) and task.lines_of(first.question) > 1:
            yield _joined(task, first, lines)
        elif isinstance(first, Row):
            fault = _unreadable(task, first)
            yield fault or first
            if fault and not _whole(task, first):
                _pass_over(task, task.cells_in(first.question), lines)


class _Lines:
    """The rows with their cells as the task reads them, or marks for lines without cells. Lines can be put back."""

    def __init__(self, task: Task, rows: Iterable[Row | Refused]) -> None:
        self.rows, self.read = iter(rows), task.line_reader()
        self.back: list[Row | Refused | Mark] = []

    def __iter__(self) -> Iterator[Row | Refused | Mark]:
        return self

    def __next__(self) -> Row | Refused | Mark:
        if self.back:
            return self.back.pop()
        row = next(self.rows)
        if isinstance(row, Refused) or row.whole:
            return row
        cells = self.read(row.question)
        return cells if isinstance(cells, Mark) else row._replace(question=cells)


def _joined(task: Task, first: Row, lines: _Lines) -> Row | Refused:
    """Returns the board of which ``first`` is the first row, or its first fault; takes the lines of the board."""
    cols, needed = task.cells_in(first.question), task.lines_of(first.question)
    fault: Refused | None = None
    rows = [first.question]
    for line in _rows_of_board(task, needed, lines):
        rows.append("" if isinstance(line, Refused) else line.question)
        fault = fault or (line if isinstance(line, Refused) else _unequal(task, line, first))
        # If the first two rows differ, either may be wrong: the board has as many lines as the longer one asks for.
        if len(rows) == 2 and isinstance(line, Row) and cols < task.cells_in(line.question) < 2 * cols:
            needed = max(needed, task.lines_of(line.question))
        if len(rows) >= needed:
            break
    if fault is None and len(rows) < needed:
        if len(rows) == 1 and task.sized(cols).layout.cells == cols:
            return first  # a whole board with another fault, which ``parse`` will tell
        reason = f"the board has {len(rows)} rows, {needed} are needed for rows of {cols} cells: add rows"
        return Refused(first.place, reason)
    return fault or first._replace(question="\n".join(rows))


def _rows_of_board(task: Task, needed: int, lines: _Lines) -> Iterator[Row | Refused]:
    """Yields the lines after a board's first row, to the line that ends the board or begins another one.

    An empty line may stand between bands of equally many rows; elsewhere it ends the board.
    """
    seen, band = 1, 0
    for line in lines:
        if line is Mark.GAP:
            band = band or seen
        if line is Mark.HEAD or (line is Mark.GAP and (needed % band or seen % band)):
            return
        if isinstance(line, Mark):
            continue
        if isinstance(line, Row) and _whole(task, line):
            lines.back.append(line)
            return
        seen += 1
        yield line


def _pass_over(task: Task, cells: int, lines: _Lines) -> None:
    """Takes the other rows of a board whose first row, of ``cells`` cells, is too short or too long to be one."""
    second = next(lines, None)
    if second is None:
        return
    cols = task.cells_in(second.question) if isinstance(second, Row) and not _whole(task, second) else 0
    if isinstance(second, Row) and cols < 2 * cells < 4 * cols:
        needed = task.lines_of(second.question)
        for _ in islice(_rows_of_board(task, needed, lines), max(0, needed - 2)):
            pass
    else:
        lines.back.append(second)


def _whole(task: Task, row: Row) -> bool:
    """Returns whether the row is a board by itself."""
    cells = task.cells_in(row.question)
    return row.whole or (task.lines_of(row.question) == 1 and task.sized(cells).layout.cells == cells)


def _unreadable(task: Task, row: Row) -> Refused | None:
    """Returns the fault of a line that should be a board, if it has one."""
    try:
        task.fitting(row.question).parse(row.question)
    except InputError as error:
        return Refused(row.place, str(error))
    return None


def _unequal(task: Task, line: Row, first: Row) -> Refused | None:
    """Returns the fault of a row that is not as long as the first row of its board."""
    cells, cols = task.cells_in(line.question), task.cells_in(first.question)
    if cells == cols:
        return None
    reason = f"{line.question[:24]!r} has {cells} cells, a row has {cols}: correct it or the first row of its board"
    return Refused(line.place, f"{reason} ({first.place})")
