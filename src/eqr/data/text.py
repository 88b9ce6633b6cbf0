"""Reads puzzles from text: tables (CSV), JSON and plain lines. docs/formats.md lists the formats.

A piece that cannot be used is yielded as ``Refused``, and reading goes on. One row is held at a time.
"""

import csv
import re
import reprlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

from eqr.data.lines import MOST, Line, name_of, opened
from eqr.data.parsing import Refused, Row, boards_of
from eqr.data.reading import from_row
from eqr.errors import InputError, printable
from eqr.tasks import Task

COMMENT = re.compile(r"#\s*$|#\s.*[^\s#.SGo_]")
"""``#``, white space and words. A row of a maze may begin like that but has no words."""
COLUMNS = ("source", "question", "answer", "rating")
"""Columns of the Sudoku-Extreme files; solving needs only ``question``."""
SYNONYMS = {
    "question": ("question", "questions", "quiz", "quizzes", "puzzle", "puzzles"),
    "answer": ("answer", "answers", "solution", "solutions"),
    "source": ("source",),
    "rating": ("rating",),
}
"""Names of each column, in any case."""
LONGEST_HEADER = 10_000
"""Characters of the longest line that is looked at as a header."""
SEPARATORS = ",;\t|"
JSON_LINES = re.compile(r'\s*\{\s*("|$)')
JSON_TEXT = re.compile(r'\s*"[^"]+"\s*')
JSON_LIST = re.compile(r'\s*\[\s*([{"\[]|$)')
MOST_JSON = 1 << 24
"""Characters of a JSON list, which is read as a whole."""
RENAME = "rename the puzzles' column, or give --question-column NAME"
MOST_LINES = 200
"""Lines of one record of a table; a quoted board has a line for each row."""


@dataclass(frozen=True, kw_only=True)
class QuestionColumn:
    """The column of the puzzles."""

    question_column: str | None = None
    """Column of the puzzles, if its name is none of question, quiz and puzzle (or their plural)."""

    @property
    def chosen(self) -> dict[str, str | None]:
        """The names of the columns that the user has named."""
        return {"question": self.question_column}


@dataclass(frozen=True, kw_only=True)
class Columns(QuestionColumn):
    """The columns of puzzles and answers."""

    answer_column: str | None = None
    """Column of the answers, if its name is neither answer nor solution (or their plural)."""

    @property
    def chosen(self) -> dict[str, str | None]:
        """The names of the columns that the user has named."""
        return {"question": self.question_column, "answer": self.answer_column}


USUAL = Columns()


def read_puzzles(source: str, task: Task, columns: QuestionColumn = USUAL) -> Iterator[Row | Refused]:
    """Yields one item per puzzle, in file order: a Row, or Refused for a piece that is none. Reads as it is asked.

    ``source`` is a path, or ``-`` for standard input. Lines that hold a row of a board each are joined. Raises
    InputError for a file that is missing, empty, damaged, not text, or without a column of puzzles.
    """
    return boards_of(task, rows_for(task, source, columns))


def rows_for(
    task: Task, source: str, columns: QuestionColumn = USUAL, on_read: Callable[[float], None] | None = None
) -> Iterator[Row | Refused]:
    """Yields the rows of a file as ``read_rows`` does, or its lines, if each line is a puzzle of the task."""
    return read_lines(source, on_read) if task.whole_lines else read_rows(source, columns, on_read)


def read_lines(source: str, on_read: Callable[[float], None] | None = None) -> Iterator[Row | Refused]:
    """Yields each line that is not empty, as a puzzle by itself; raises InputError for a file without lines."""
    name, empty = name_of(source), True
    with opened(source, on_read) as lines:
        for line in lines:
            fault = _too_long() if line.cut else undecoded(line.text)
            if line.text.strip("\ufeff \t"):
                empty, place = False, f"{name}, line {line.number}"
                yield Refused(place, fault) if fault else Row(place, line.text.removeprefix("\ufeff"), whole=True)
    if empty:
        raise InputError(f"{name} is empty: give one problem on each line, as a JSON object")


def read_rows(
    source: str, columns: QuestionColumn = USUAL, on_read: Callable[[float], None] | None = None
) -> Iterator[Row | Refused]:
    """Yields the rows of a table or of JSON, or the lines of a plain text, empty ones included; see ``read_puzzles``.

    Lines that start with ``# `` are comments in a plain text and above the header of a table. ``on_read`` is called
    with the shares of a file that are read (their sum is 1 at its end).
    """
    name = name_of(source)
    with opened(source, on_read) as lines:
        written = (line for line in lines if line.text.strip("\ufeff \t\f\v") and not COMMENT.match(line.text))
        head = next(written, None)
        if head is None:
            raise InputError(f"{name} is empty: give a CSV with a 'question' column, or one puzzle per line")
        head = head._replace(text=head.text.removeprefix("\ufeff"))
        if head.cut:
            raise InputError(f"{name}, line {head.number}: {_too_long()}")
        if undecoded(head.text):
            raise InputError(f"{name} is not UTF-8 text (line {head.number}): save it as UTF-8")
        yield from _rows(name, head, lines, columns)


def _rows(name: str, head: Line, lines: Iterator[Line], columns: QuestionColumn) -> Iterator[Row | Refused]:
    """Yields the rows in the format that the first line shows."""
    if JSON_LIST.match(head.text):
        return _json_list(name, chain([head], lines), columns)
    table = _header(head.text, columns)
    if JSON_LINES.match(head.text) or (table is None and JSON_TEXT.fullmatch(head.text)):
        return _json_lines(name, chain([head], lines), columns)
    if table is None:
        _refuse_other_tables(name, head.text, columns)
        return _plain(name, chain([head], lines))
    separator, names = table
    return _table(name, separator, len(names), positions(name, names, columns), lines)


def _plain(name: str, lines: Iterable[Line]) -> Iterator[Row | Refused]:
    for line in lines:
        if COMMENT.match(line.text):
            continue
        place = f"{name}, line {line.number}"
        fault = _too_long() if line.cut else undecoded(line.text)
        yield Refused(place, fault) if fault else Row(place, line.text)


def _too_long() -> str:
    return f"the line has more than {MOST:,} characters: it holds no puzzle, correct or remove it"


def undecoded(text: str) -> str:
    """Returns the fault of a text that holds bytes which are no UTF-8; an empty string if it holds none."""
    if text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text):
        return ""
    return "the line is not UTF-8 text: save the file as UTF-8, or remove the line"


def _header(head: str, columns: QuestionColumn) -> tuple[str, list[str]] | None:
    """Returns separator and names of a table's columns; None if no column has a name that is looked for."""
    if len(head) > LONGEST_HEADER:
        return None
    wanted = {*SYNONYMS["question"], *SYNONYMS["answer"]}
    wanted |= {name.strip().lower() for name in columns.chosen.values() if name}
    for separator in SEPARATORS:
        names = [cell.strip() for cell in next(csv.reader([head], delimiter=separator), [])]
        if wanted & {name.lower() for name in names}:
            return separator, names
    return None


def _refuse_other_tables(name: str, head: str, columns: QuestionColumn) -> None:
    """Raises InputError if the first line is a header without a column of puzzles, or a row without a header."""
    if columns.question_column:
        raise InputError(
            f"{name} has no column {columns.question_column!r}: its first line is {printable(head)[:80]!r}"
        )
    parts = [part.strip() for part in head.split(",")]
    # One character between two commas is a cell; and tables do not begin with the marks of other formats.
    if len(parts) == 1 or all(len(part) <= 1 for part in parts) or head.lstrip().startswith(("#", "[", ":")):
        return
    if not any(char.isalpha() for char in head):
        raise InputError(
            f"{name} has {len(parts)} columns and no header: write names above them, such as question,answer"
        )
    raise InputError(
        f"{name} has the columns {printable(', '.join(parts))[:80]} and no 'question', 'quizzes' or 'puzzle': "
        f"{RENAME}; if this is a row of a board, leave out its commas"
    )


def positions(name: str, names: Sequence[str], columns: QuestionColumn = USUAL) -> dict[str, int]:
    """Returns where question, answer, source and rating stand among ``names``, each only if it is there.

    Raises InputError if there is no question, if a column that the user named is missing, or if two names fit.
    """
    at: dict[str, int] = {}
    known = printable(", ".join(names))[:80]
    chosen = {kind: name for kind, name in columns.chosen.items() if name}
    for kind in (*chosen, *(kind for kind in SYNONYMS if kind not in chosen)):
        usual = (chosen[kind].strip().lower(),) if kind in chosen else SYNONYMS[kind]
        fits = [place for place, column in enumerate(names) if column.lower() in usual and place not in at.values()]
        if kind in chosen:
            fits = [place for place in fits if names[place] == chosen[kind]] or fits
            if not fits:
                raise InputError(f"{name} has no column {chosen[kind]!r}: it has {known}")
        if len(fits) > 1 and kind in columns.chosen:
            both = " and ".join(repr(names[place]) for place in fits[:2])
            raise InputError(
                f"{name} has the columns {both}, and both may be the {kind}: give --{kind}-column, or remove one"
            )
        if fits:
            at[kind] = fits[0]
    if "question" not in at:
        raise InputError(f"{name} has the columns {known} and no 'question': {RENAME}")
    return at


def _table(name: str, separator: str, width: int, at: dict[str, int], lines: Iterator[Line]) -> Iterator[Row | Refused]:
    back: deque[Line] = deque()
    while line := (back.popleft() if back else next(lines, None)):
        place = f"{name}, line {line.number}"
        if line.cut:
            yield Refused(place, _too_long())
            continue
        if '"' not in line.text:
            values, last = line.text.split(separator), line
        else:
            try:
                values, last = _record(line, lines, back, separator)
            except csv.Error as error:
                yield Refused(place, f"its quotes cannot be read ({error}): correct the line")
                continue
        if any(value.strip() for value in values):
            yield _row(f"{name}, line {last.number}", values, width, at)


def _record(first: Line, lines: Iterator[Line], back: deque[Line], separator: str) -> tuple[list[str], Line]:
    """Returns the values of a record with quotes, which may hold line ends, and its last line.

    Raises csv.Error if the quotes do not close; the lines after the first are then put ``back``, to be read again.
    """
    held = [first]
    while True:
        try:
            (values,) = csv.reader([f"{line.text}\n" for line in held], delimiter=separator, strict=True)
            return values, held[-1]
        except csv.Error as error:
            unclosed = "unexpected end" in str(error) and len(held) < MOST_LINES
            more = (back.popleft() if back else next(lines, None)) if unclosed else None
            if more is None:
                back.extendleft(reversed(held[1:]))
                raise
            held.append(more)


def _row(place: str, values: Sequence[str], width: int, at: dict[str, int]) -> Row | Refused:
    if len(values) < width or any(value.strip() for value in values[width:]):
        return Refused(place, f"the row has {len(values)} columns, its header has {width}: correct or remove it")
    row = Row(place, whole=True, **{kind: values[index] for kind, index in at.items()})
    return _checked(row)


def _checked(row: Row) -> Row | Refused:
    """Returns the row, or its fault if there is no question in it or it is not text."""
    fault = undecoded(row.question + (row.answer or ""))
    if not row.question.strip():
        fault = "the row has no question: add it or remove the row"
    return Refused(row.place, fault) if fault else row


def _json_lines(name: str, lines: Iterable[Line], columns: QuestionColumn) -> Iterator[Row | Refused]:
    for item in json_values(name, lines):
        yield item if isinstance(item, Refused) else _from_json(item.place, item.value, columns)


class Parsed(NamedTuple):
    """The JSON value of a line."""

    place: str
    value: Any


def json_values(name: str, lines: Iterable[Line], parse: Callable[[str], Any] = from_row) -> Iterator[Parsed | Refused]:
    """Yields the JSON value of each line that is not empty, or Refused for a line that is no JSON.

    ``parse`` may raise ValueError for a text that is no JSON, and InputError for another fault.
    """
    for line in lines:
        place = f"{name}, line {line.number}"
        if line.cut:
            yield Refused(place, _too_long())
        elif line.text.strip():
            try:
                item: Parsed | Refused = Parsed(place, parse(line.text))
            except InputError as error:
                item = Refused(place, str(error))
            except ValueError as error:
                item = Refused(place, f"the line is not JSON ({error}): give one object on each line")
            yield item


def _json_list(name: str, lines: Iterable[Line], columns: QuestionColumn) -> Iterator[Row | Refused]:
    parts, size = [], 0
    for line in lines:
        parts.append(line.text)
        size += len(line.text)
        if line.cut or size > MOST_JSON:
            raise InputError(f"{name} is a JSON list of more than {min(MOST, MOST_JSON):,} characters: give JSON lines")
    try:
        values = from_row("\n".join(parts))
    except ValueError as error:
        raise InputError(
            f"{name} begins like a JSON list and is not JSON ({error}): correct it, or give one puzzle per line"
        ) from None
    for number, value in enumerate(values, 1):
        yield _from_json(f"{name}, entry {number}", value, columns)


def _from_json(place: str, value: Any, columns: QuestionColumn) -> Row | Refused:
    """Returns the puzzle in a JSON value: an object, a text, or lists of cells."""
    try:
        if not isinstance(value, dict):
            return _checked(Row(place, _cells(value), whole=not isinstance(value, list) or _nested(value)))
        names = list(value)
        at = positions(place, names, columns)
    except InputError as error:
        return Refused(place, str(error).removeprefix(f"{place} ").removeprefix(f"{place}: "))
    values = {kind: value[names[index]] for kind, index in at.items()}
    try:
        boards = {kind: _cells(values.get(kind)) for kind in ("question", "answer")}
    except InputError as error:
        return Refused(place, str(error))
    notes = {
        kind: str(values[kind]) for kind in ("source", "rating") if isinstance(values.get(kind), str | int | float)
    }
    return _checked(Row(place, whole=True, **boards, **notes))


def _nested(value: list[Any]) -> bool:
    return bool(value) and isinstance(value[0], list)


def _cells(value: Any, row: bool = False) -> str:
    """Returns a board, or a row of one, of JSON as text: a text, a list of cells, or, for a board, a list of rows.

    Raises InputError for others.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if not row and isinstance(value, list) and value and all(isinstance(v, list | str) and len(v) != 1 for v in value):
        return "\n".join(_cells(v, row=True) for v in value)
    if isinstance(value, list) and all(type(cell) in (int, str) and len(str(cell)) == 1 for cell in value):
        return "".join(map(str, value))
    raise InputError(
        f"the board {reprlib.repr(value)[:40]} is no text and no list of cells of one character: correct it"
    )
