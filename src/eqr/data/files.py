"""Sets of puzzles with answers, in memory: reads them from text, npz and folders, and checks all alike.

Knows tasks, no model.
"""

import itertools
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from eqr.data.hrm_format import cells_of, read_folder
from eqr.data.parsing import Refused, parse_at
from eqr.data.problems import problems_in
from eqr.data.reading import NUMPY, is_folder
from eqr.data.text import SYNONYMS, USUAL, Columns, positions, read_rows
from eqr.errors import InputError, printable, shown
from eqr.tasks import Puzzle, Task
from eqr.tasks.base import Boards
from eqr.tasks.csp import Csp
from eqr.tasks.problem_rows import Sizes, moved, sizes_of
from eqr.types import Batch

CHUNK = 1 << 14
"""Answers that are checked by the rules at a time."""
LONGEST_RATING = 19
"""Digits of the smallest number that 64 bits do not hold."""
ZIP = b"PK\x03\x04"
MOST_ARRAY = 2**31
"""Bytes of the largest array that is unpacked: 26 million Sudokus, a byte for each cell. A zip of megabytes may hold
gigabytes of zeros."""
DAMAGE = (*NUMPY, EOFError, KeyError, AttributeError, RuntimeError, BadZipFile, zlib.error)
"""Errors of a damaged npz file."""
PlaceOf: TypeAlias = Callable[[int], str]
"""Names the place of a row, for messages."""


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


def read_labelled(source: str, task: Task, limit: int | None = None, columns: Columns = USUAL) -> Puzzles:
    """Reads puzzles with answers from a table or JSON (docs/formats.md), an npz (arrays puzzles, solutions) or a folder
    in the format of HRM and EqR. All boards must have one size, which may differ from that of ``task``.

    With ``limit`` reads only the first ``limit`` puzzles. Raises InputError naming the line or row that is wrong: every
    symbol must be one of the task, and every answer must keep its question and obey the rules, if the task has any.
    """
    if limit is not None and limit < 1:
        raise InputError(f"--limit {limit}: at least 1 puzzle is needed")
    if is_folder(Path(source), "give a file or a folder of puzzles"):
        return _checked(printable(source), *_read_folder(source, task, limit))
    if _is_zip(source):
        return _checked(printable(source), *_read_npz(source, task, limit, columns))
    read = _read_problems(source, task, limit) if isinstance(task, Csp) else _read_text(source, task, limit, columns)
    return _checked(printable(source), *read)


IdsOrTexts: TypeAlias = ArrayLike | Tensor
"""Boards as (B, L) ids or as B texts; a single board as (L,) ids or as a text."""
Labelled: TypeAlias = str | Path | Puzzles | tuple[IdsOrTexts, IdsOrTexts] | list[tuple[IdsOrTexts, IdsOrTexts]]
"""Puzzles with answers: a path, a set of puzzles, questions and answers, or a list of pairs of one question and its
answer."""


def labelled(source: Labelled, task: Task, limit: int | None = None, columns: Columns = USUAL) -> Puzzles:
    """Returns ``source`` as a set of puzzles, read from its path or arrays; raises InputError as ``read_labelled``."""
    if isinstance(source, Puzzles):
        return source
    if isinstance(source, str | Path):
        return read_labelled(str(source), task, limit, columns)
    try:
        parts = zip(*source, strict=True) if isinstance(source, list) else source
        questions, answers = (_boards(part, task) for part in parts)
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        raise InputError(
            f"the puzzles are not pairs of a question and an answer ({error}): give (questions, answers), each (N, L) "
            "ids or N texts, or a list of pairs"
        ) from None
    return _checked("the puzzles", *_from_arrays("the puzzles", questions, answers, task, limit))


def _boards(boards: Any, task: Task) -> NDArray[Any]:
    """Returns ids (N, L), read from texts where boards are texts."""
    if isinstance(boards, np.ndarray | Tensor):
        return np.asarray(boards)
    rows = list(boards)
    if rows and isinstance(rows[0], str):
        return task.fitting(rows[0]).encode(rows).numpy()
    return np.stack([np.asarray(row) for row in rows])


def _checked(source: str, puzzles: Puzzles, place_of: PlaceOf) -> Puzzles:
    """Returns the puzzles; raises InputError unless every answer completes its question by the task's rules."""
    task, questions, answers = puzzles.task, puzzles.questions, puzzles.answers
    if not len(puzzles):
        raise InputError(f"{source} holds no puzzles: nothing to read")
    fixed = (questions > 0) & task.layout.clues_fixed
    fixed[:, : task.layout.rule_cells] = True
    wrong = (answers == 0) | (fixed & (questions != answers))
    if wrong.any():
        row, cell = np.argwhere(wrong)[0].tolist()
        told = f"cell {cell + 1} of {wrong.shape[1]}"
        if cell >= task.layout.rule_cells:
            at = divmod(cell - task.layout.rule_cells, task.layout.cols)
            told = f"row {at[0] + 1}, column {at[1] + 1}"
        given = f"holds symbol {answers[row, cell]}, the question gives {questions[row, cell]}"
        told += " is blank" if answers[row, cell] == 0 else f" {given}"
        raise InputError(f"{place_of(row)}, in the answer: {told}: correct or remove the row")
    if task.has_rules:
        _check_rules(source, puzzles, place_of)
    return puzzles


def _check_rules(source: str, puzzles: Puzzles, place_of: PlaceOf) -> None:
    """Raises InputError naming the first answer that breaks the rules, and how many do."""
    task = puzzles.task
    solved = []
    for start in range(0, len(puzzles), CHUNK):
        part = (boards[start : start + CHUNK] for boards in (puzzles.questions, puzzles.answers))
        solved.append(task.is_solved(*(torch.from_numpy(boards).long() for boards in part)))
    wrong = ~torch.cat(solved)
    if not wrong.any():
        return
    row = int(wrong.int().argmax())
    told = task.fault(*(torch.from_numpy(boards[row]).long() for boards in (puzzles.questions, puzzles.answers)))
    raise InputError(
        f"{place_of(row)}, in the answer: {told} (the check of {task.name} refuses {int(wrong.sum())} of {len(wrong)} "
        f"answers in {source}): correct or remove them"
    )


def _read_text(source: str, task: Task, limit: int | None, columns: Columns) -> tuple[Puzzles, PlaceOf]:
    questions, answers, ratings = [], [], []
    places: list[str] = []
    for row in itertools.islice(read_rows(source, columns), limit):
        if isinstance(row, Refused):
            raise row.error()
        if row.answer is None:
            raise InputError(f"{printable(source)} has no 'answer' column: evaluation and training need one")
        if not places:
            task = task.fitting(row.question)
        questions.append(parse_at(task, row.place, row.question))
        if not row.answer.strip():
            raise InputError(f"{row.place} has no answer: add it or remove the row")
        answers.append(parse_at(task, f"{row.place}, in the answer", row.answer))
        ratings.append(int(row.rating) if row.rating.isdecimal() and len(row.rating) < LONGEST_RATING else 0)
        places.append(row.place)
    boards = {"questions": np.array(questions), "answers": np.array(answers)}
    return Puzzles(**boards, ratings=np.array(ratings), task=task), places.__getitem__


def _read_problems(source: str, task: Csp, limit: int | None) -> tuple[Puzzles, PlaceOf]:
    """Reads problems with answers into one frame: the task's own, or, if one of them needs more room, one for all."""
    rows, places, sizes = [], list[str](), Sizes()
    for problem in itertools.islice(problems_in(source, task.known, answered=True), limit):
        needed = sizes_of(problem, task.known)
        task = task.with_room(task.known.including(problem), task.sizes)
        alone = task.with_room(task.known, needed)
        rows.append((alone.rows_of(problem), alone.frame))
        places.append(problem.place)
        sizes = sizes.or_more(needed)
    task = task if task.sizes.or_more(sizes) == task.sizes else task.with_room(task.known, sizes)
    boards = ([moved(pair[which], frame, task.frame) for pair, frame in rows] for which in (0, 1))
    questions, answers = (np.array(part, np.int32).reshape(len(part), task.layout.width) for part in boards)
    return _unrated(questions, answers, task), places.__getitem__


def _is_zip(source: str) -> bool:
    """Returns whether a file is a zip archive, as every npz is, or is called npz; a pipe can only be read once."""
    try:
        if Path(source).exists() and not Path(source).is_file():
            return False
        with open(source, "rb") as file:
            return source.endswith(".npz") or file.read(len(ZIP)) == ZIP
    except OSError:
        return source.endswith(".npz")


def _read_npz(source: str, task: Task, limit: int | None, columns: Columns) -> tuple[Puzzles, PlaceOf]:
    name = printable(source)
    try:
        with open(source, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            if not columns.question_column and not {file.lower() for file in arrays.files} & {*SYNONYMS["question"]}:
                raise KeyError(f"it holds {', '.join(arrays.files)[:80]}")
            at = positions(name, arrays.files, columns)
            if "answer" not in at:
                raise InputError(f"{name} has no array 'solutions': evaluation and training need one")
            wanted = [arrays.files[at[kind]] for kind in ("question", "answer")]
            for part in arrays.zip.infolist():
                if part.filename.removesuffix(".npy") in wanted and part.file_size > MOST_ARRAY:
                    raise InputError(
                        f"{name} holds an array of {part.file_size:,} bytes, at most {MOST_ARRAY:,} are read: save the "
                        "arrays as uint8, or in several files"
                    )
            questions, answers = (np.asarray(arrays[part]) for part in wanted)
    except InputError:
        raise
    except OSError as error:
        raise InputError(
            f"cannot read {name} ({shown(error.strerror or str(error))}): give an npz of puzzles"
        ) from None
    except DAMAGE as error:
        told = shown(str(error)) or "its header is nested too deep"
        raise InputError(f"{name} is not an npz with arrays 'puzzles' and 'solutions' ({told})") from None
    return _from_arrays(name, questions, answers, task, limit)


def _from_arrays(
    source: str, questions: NDArray[Any], answers: NDArray[Any], task: Task, limit: int | None
) -> tuple[Puzzles, PlaceOf]:
    task = task.sized(questions.shape[-1] if questions.ndim else 0)
    if questions.shape != answers.shape or questions.shape[1:] != (task.layout.width,):
        raise InputError(
            f"{source} holds shapes {questions.shape} and {answers.shape}, {task.name} needs (N, {task.layout.width}): "
            "give one row for each puzzle, and one for its answer"
        )
    questions = _ids(source, questions[:limit], task)
    answers = _ids(source, answers[:limit], task, ", in the answer")
    return _unrated(questions, answers, task), lambda row: f"{source}, row {row}"


def _ids(source: str, boards: NDArray[Any], task: Task, of: str = "") -> Boards:
    """Returns the boards as bytes; raises InputError naming the row and cell of the first value that is no symbol."""
    if boards.dtype.kind not in "iuf":
        raise InputError(f"{source}{of}: the array is of type {boards.dtype}, symbols are whole numbers: convert it")
    wrong = ~((boards >= 0) & (boards <= task.layout.symbols))  # true for NaN
    if boards.dtype.kind == "f":
        wrong |= boards != np.floor(np.where(wrong, 0, boards))
    if wrong.any():
        row, cell = np.argwhere(wrong)[0].tolist()
        raise InputError(
            f"{source}, row {row}{of}, cell {cell} holds {boards[row, cell].item()!r}: {task.name} has the symbols 0 "
            f"(blank) to {task.layout.symbols}, correct or remove the row"
        )
    return boards.astype(np.uint8)


def _unrated(questions: Boards, answers: Boards, task: Task) -> Puzzles:
    return Puzzles(questions=questions, answers=answers, ratings=np.zeros(len(questions), np.int64), task=task)


def _read_folder(source: str, task: Task, limit: int | None) -> tuple[Puzzles, PlaceOf]:
    task = task.sized(cells_of(Path(source)))
    read = read_folder(Path(source), task)
    return _unrated(read.questions[:limit], read.answers[:limit], task), read.place


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
