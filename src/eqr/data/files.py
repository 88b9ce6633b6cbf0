"""Reads puzzles from CSV, plain lines, npz and folders. Knows tasks, no model.

``read_rows`` reads line by line, so its memory does not grow with the file.
"""

import csv
import itertools
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from eqr.data.hrm_format import cells_of, read_folder
from eqr.data.parsing import parse_at
from eqr.errors import InputError
from eqr.tasks import Puzzle, Task
from eqr.tasks.base import Boards
from eqr.types import Batch

COMMENT = re.compile(r"\s*$|#\s*$|#\s.*[^\s#.SGo_]")
"""Lines to skip: empty ones, and ``#``, white space and words. A row of a maze may begin like that but has no words."""
COLUMNS = ("source", "question", "answer", "rating")
"""Columns of the Sudoku-Extreme files; solving needs only ``question``."""
SYNONYMS = {
    "question": ("question", "questions", "quiz", "quizzes", "puzzle", "puzzles"),
    "answer": ("answer", "answers", "solution", "solutions"),
}
"""Names of a column in well-known files of puzzles, in any case."""


@dataclass(frozen=True, kw_only=True)
class Puzzles:
    """A set of puzzles with answers, in memory."""

    questions: Boards
    answers: Boards
    ratings: NDArray[np.int64]
    task: Task
    """The task at the size of these boards."""

    def __len__(self) -> int:
        return len(self.questions)

    def where(self, chosen: NDArray[np.bool_], limit: int | None = None) -> "Puzzles":
        """Returns the chosen puzzles, at most the first ``limit`` of them."""
        at = np.flatnonzero(chosen)[:limit]
        return replace(self, questions=self.questions[at], answers=self.answers[at], ratings=self.ratings[at])

    def batch(self) -> Batch:
        """Returns all puzzles as one batch."""
        return Batch(
            inputs=torch.from_numpy(self.questions.astype(np.int64)),
            labels=torch.from_numpy(self.answers.astype(np.int64)),
        )


def read_rows(source: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yields (place, row) from a CSV with a ``question`` column, or from a file with one puzzle per line.

    ``source`` is a path or ``-`` for standard input. Lines starting with ``# `` are comments in a file of plain lines
    and above a CSV's header. Raises InputError for a file that is missing, empty, not text, or lacks that column.
    """
    name = "standard input" if source == "-" else source
    try:
        with nullcontext(sys.stdin) if source == "-" else open(source, encoding="utf-8-sig", newline="") as file:
            yield from _rows(file, name)
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is not UTF-8 text ({error.reason}): give a CSV or one puzzle per line") from None
    except csv.Error as error:
        raise InputError(f"{name} is not a readable CSV ({error})") from None
    except OSError as error:
        raise InputError(f"cannot read {name} ({error.strerror}): give a CSV or text file of puzzles") from None


def _rows(file: Iterator[str], name: str) -> Iterator[tuple[str, dict[str, str]]]:
    plain = ((number, line.rstrip("\r\n")) for number, line in enumerate(file, 1) if not COMMENT.match(line))
    number, head = next(plain, (0, ""))
    if not head:
        raise InputError(f"{name} is empty: give a CSV with a 'question' column, or one puzzle per line")
    head = head.removeprefix("\ufeff")
    names = SYNONYMS["question"]
    cells = {mark: [cell.strip() for cell in head.lower().split(mark)] for mark in ",;\t"}  # spreadsheets differ
    delimiter = next((mark for mark, parts in cells.items() if set(parts) & set(names)), ",")
    columns = _canonical(name, [column.strip() for column in next(csv.reader([head], delimiter=delimiter))])
    if "question" in columns:
        table = csv.reader(file, delimiter=delimiter)
        for values in table:
            place = f"{name}, line {number + table.line_num}"
            if values and len(values) < len(columns):
                raise InputError(f"{place} has {len(values)} columns, its header has {len(columns)}")
            if values:
                yield place, dict(zip(columns, values, strict=False))
    elif len(columns) > 1:
        raise InputError(
            f"{name} has the columns {', '.join(columns)[:80]} and no 'question': rename the puzzles' column"
        )
    else:
        for at, line in itertools.chain([(number, head)], plain):
            yield f"{name}, line {at}", {"question": line}


def _canonical(name: str, columns: list[str]) -> list[str]:
    """Returns the columns of a header under the names that are read; raises InputError if two may be one column."""
    for wanted, names in SYNONYMS.items():
        matches = [at for at, column in enumerate(columns) if column.lower() in names]
        if len(matches) > 1:
            both = " and ".join(repr(columns[at]) for at in matches[:2])
            raise InputError(f"{name} has the columns {both}, and both may be the {wanted}: rename or remove one")
        columns = [wanted if at in matches else column for at, column in enumerate(columns)]
    return columns


def read_labelled(source: str, task: Task, limit: int | None = None) -> Puzzles:
    """Reads puzzles with answers from a CSV (columns question, answer), an npz (arrays puzzles, solutions) or a folder
    in the format of HRM and EqR. All boards must have one size, which may differ from that of ``task``.

    With ``limit`` reads only the first ``limit`` puzzles. Raises InputError naming the line or row that is wrong.
    """
    if limit is not None and limit < 1:
        raise InputError(f"--limit {limit}: at least 1 puzzle is needed")
    read = _read_folder if Path(source).is_dir() else _read_npz if source.endswith(".npz") else _read_csv
    return _checked(source, *read(source, task, limit))


Labelled: TypeAlias = str | Path | Puzzles | tuple[ArrayLike | Tensor, ArrayLike | Tensor]
"""Puzzles with answers: a path, a set of puzzles, or arrays of questions and answers, (B, L) ids each."""


def labelled(source: Labelled, task: Task, limit: int | None = None) -> Puzzles:
    """Returns ``source`` as a set of puzzles, read from its path or arrays; raises InputError as ``read_labelled``."""
    if isinstance(source, Puzzles):
        return source
    if isinstance(source, str | Path):
        return read_labelled(str(source), task, limit)
    questions, answers = (np.asarray(part) for part in source)
    return _checked("the arrays", *_from_arrays("the arrays", questions, answers, task, limit))


def _checked(source: str, puzzles: Puzzles, place_of: Callable[[int], str]) -> Puzzles:
    """Returns the puzzles; raises InputError unless symbols are the task's and every answer completes its question."""
    task = puzzles.task
    if not len(puzzles):
        raise InputError(f"{source} holds no puzzles: nothing to read")
    clue = (puzzles.questions > 0) & task.layout.clues_fixed
    wrong = (puzzles.answers == 0).any(1) | (clue & (puzzles.questions != puzzles.answers)).any(1)
    if wrong.any():
        place = place_of(int(wrong.argmax()))
        raise InputError(f"{place}: the answer does not complete the question: correct or remove it")
    return puzzles


def _read_csv(source: str, task: Task, limit: int | None) -> tuple[Puzzles, Callable[[int], str]]:
    questions, answers, ratings = [], [], []
    places: list[str] = []
    for place, row in itertools.islice(read_rows(source), limit):
        if not places:
            task = task.sized(task.cells_in(row["question"]))
        if "answer" not in row:
            raise InputError(f"{source} has no 'answer' column: evaluation and training need one")
        questions.append(parse_at(task, place, row["question"]))
        if not row["answer"].strip():
            raise InputError(f"{place} has no answer: add it or remove the row")
        answers.append(parse_at(task, f"{place}, in the answer", row["answer"]))
        rating = row.get("rating", "")
        ratings.append(int(rating) if rating.isdecimal() else 0)
        places.append(place)
    boards = {"questions": np.array(questions), "answers": np.array(answers)}
    return Puzzles(**boards, ratings=np.array(ratings), task=task), places.__getitem__


def _read_npz(source: str, task: Task, limit: int | None) -> tuple[Puzzles, Callable[[int], str]]:
    try:
        with open(source, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            questions, answers = arrays["puzzles"], arrays["solutions"]
    except (OSError, EOFError, KeyError, ValueError, BadZipFile) as error:
        raise InputError(f"{source} is not an npz with arrays 'puzzles' and 'solutions' ({error})") from None
    return _from_arrays(source, questions, answers, task, limit)


def _from_arrays(
    source: str, questions: NDArray[Any], answers: NDArray[Any], task: Task, limit: int | None
) -> tuple[Puzzles, Callable[[int], str]]:
    task = task.sized(questions.shape[-1] if questions.ndim else 0)
    if questions.shape != answers.shape or questions.shape[1:] != (task.layout.width,):
        raise InputError(
            f"{source} holds shapes {questions.shape} and {answers.shape}, {task.name} needs (N, {task.layout.width})"
        )
    questions, answers = (_ids(source, boards[:limit], task) for boards in (questions, answers))
    return _unrated(questions, answers, task), lambda row: f"{source}, row {row}"


def _ids(source: str, boards: NDArray[Any], task: Task) -> Boards:
    """Returns the boards as bytes; raises InputError naming the row and cell of the first value that is no symbol."""
    numeric = boards.dtype.kind in "iuf"
    wrong = ~((boards >= 0) & (boards <= task.layout.symbols) & (boards == boards // 1)) if numeric else boards != ""
    if wrong.any() or not numeric:
        row, cell = np.argwhere(wrong)[0].tolist() if wrong.any() else (0, 0)
        raise InputError(
            f"{source}, row {row}, cell {cell} holds {boards[row, cell].item()!r}: {task.name} has the symbols 0 "
            f"(blank) to {task.layout.symbols}"
        )
    return boards.astype(np.uint8)


def _unrated(questions: Boards, answers: Boards, task: Task) -> Puzzles:
    return Puzzles(questions=questions, answers=answers, ratings=np.zeros(len(questions), np.int64), task=task)


def _read_folder(source: str, task: Task, limit: int | None) -> tuple[Puzzles, Callable[[int], str]]:
    task = task.sized(cells_of(Path(source)))
    questions, answers = (boards[:limit] for boards in read_folder(Path(source), task))
    return _unrated(questions, answers, task), lambda row: f"{source}, row {row}"


def collect(
    task: Task, stream: Iterator[Puzzle], count: int, progress: Callable[[float, str], None] | None = None
) -> Puzzles:
    """Returns the next ``count`` puzzles of a generator; calls ``progress(1, "")`` after each."""
    puzzles = []
    for puzzle in itertools.islice(stream, count):
        puzzles.append(puzzle)
        if progress:
            progress(1, "")
    return Puzzles(
        questions=np.array([puzzle.question for puzzle in puzzles]),
        answers=np.array([puzzle.answer for puzzle in puzzles]),
        ratings=np.array([puzzle.rating for puzzle in puzzles]),
        task=task,
    )


def save_puzzles(puzzles: Puzzles, path: Path) -> None:
    """Writes an npz that ``load_puzzles`` reads."""
    with path.open("wb") as file:
        np.savez_compressed(file, questions=puzzles.questions, answers=puzzles.answers, ratings=puzzles.ratings)


def load_puzzles(path: Path, task: Task) -> Puzzles:
    """Reads an npz that ``save_puzzles`` wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        return Puzzles(**{name: arrays[name] for name in ("questions", "answers", "ratings")}, task=task)
