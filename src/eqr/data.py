"""Puzzles from files, and training draws. Reads CSV, plain lines and npz; knows tasks, no model.

Files are read line by line: a reader's memory does not grow with its file.
"""

import csv
import itertools
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO, TypeVar
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray

from eqr.errors import InputError
from eqr.tasks import Puzzle, Task
from eqr.tasks.base import Boards
from eqr.types import Batch

T = TypeVar("T")
COLUMNS = ("source", "question", "answer", "rating")
"""Columns of the Sudoku-Extreme files; ``question`` is the only one needed to solve."""


@dataclass(frozen=True, kw_only=True)
class Puzzles:
    """A set of puzzles with answers, in memory."""

    questions: Boards
    answers: Boards
    ratings: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.questions)

    def where(self, chosen: NDArray[np.bool_], limit: int | None = None) -> "Puzzles":
        """The chosen puzzles, the first ``limit`` of them."""
        at = np.flatnonzero(chosen)[:limit]
        return Puzzles(questions=self.questions[at], answers=self.answers[at], ratings=self.ratings[at])

    def batch(self) -> Batch:
        """All of them as one batch."""
        return Batch(
            inputs=torch.from_numpy(self.questions.astype(np.int64)),
            labels=torch.from_numpy(self.answers.astype(np.int64)),
        )


def read_rows(source: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Stream (place, row) of a CSV with a ``question`` column, or of a file with one puzzle a line.

    ``source`` is a path or ``-`` for standard input. Lines starting with ``#`` are comments in a file of plain lines
    and above a CSV's header. Raises InputError for a file that is missing, empty, not text, or has no ``question``.
    """
    name = "standard input" if source == "-" else source
    try:
        with nullcontext(sys.stdin) if source == "-" else open(source, encoding="utf-8-sig", newline="") as file:
            yield from _rows(file, name)
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is not UTF-8 text ({error.reason}): give a CSV or one puzzle a line") from None
    except csv.Error as error:
        raise InputError(f"{name} is not a readable CSV ({error})") from None
    except OSError as error:
        raise InputError(f"cannot read {name} ({error.strerror}): give a CSV or text file of puzzles") from None


def _rows(file: TextIO, name: str) -> Iterator[tuple[str, dict[str, str]]]:
    plain = ((number, line.strip()) for number, line in enumerate(file, 1) if line.strip() and line[0] != "#")
    number, head = next(plain, (0, ""))
    if not head:
        raise InputError(f"{name} is empty: give a CSV with a 'question' column, or one puzzle a line")
    head = head.removeprefix("\ufeff")
    delimiter = next((mark for mark in ",;\t" if "question" in head.split(mark)), ",")  # spreadsheets differ
    columns = [column.strip() for column in next(csv.reader([head], delimiter=delimiter))]
    if "question" in columns:
        table = csv.reader(file, delimiter=delimiter)
        for values in table:
            place = f"{name}, line {number + table.line_num}"
            if values and len(values) < len(columns):
                raise InputError(f"{place} has {len(values)} columns, its header has {len(columns)}")
            if values:
                yield place, dict(zip(columns, values, strict=False))
    elif len(columns) > 1:
        raise InputError(f"{name} has the columns {', '.join(columns)[:80]} and no 'question': name that column so")
    else:
        for at, line in itertools.chain([(number, head)], plain):
            yield f"{name}, line {at}", {"question": line}


def parse_at(task: Task, place: str, text: str) -> NDArray[np.uint8]:
    """``task.parse`` with the place of the text in the error."""
    try:
        return task.parse(text)
    except InputError as error:
        raise InputError(f"{place}: {error}") from None


def read_labelled(source: str, task: Task, limit: int | None = None) -> Puzzles:
    """Read puzzles with answers from a CSV (columns question, answer) or an npz (arrays puzzles, solutions).

    ``limit`` reads the first so many. Raises InputError naming the line or row where something is wrong.
    """
    if limit is not None and limit < 1:
        raise InputError(f"--limit {limit}: at least 1 puzzle is needed")
    puzzles, place_of = (_read_npz if source.endswith(".npz") else _read_csv)(source, task, limit)
    if not len(puzzles):
        raise InputError(f"{source} holds no puzzles: nothing to read")
    highest = max(puzzles.questions.max(), puzzles.answers.max())
    if highest > task.layout.symbols:
        raise InputError(f"{source} holds the symbol {highest}: {task.name} has 0 (blank) to {task.layout.symbols}")
    clue = puzzles.questions > 0
    wrong = (puzzles.answers == 0).any(1) | (clue & (puzzles.questions != puzzles.answers)).any(1)
    if wrong.any():
        place = place_of(int(wrong.argmax()))
        raise InputError(f"{place}: the answer is not a completion of the question: correct or remove it")
    return puzzles


def _read_csv(source: str, task: Task, limit: int | None) -> tuple[Puzzles, Callable[[int], str]]:
    questions, answers, ratings, places = [], [], [], []
    for place, row in itertools.islice(read_rows(source), limit):
        if "answer" not in row:
            raise InputError(f"{source} has no 'answer' column: evaluation and training need one")
        questions.append(parse_at(task, place, row["question"]))
        answers.append(parse_at(task, place, row["answer"]))
        rating = row.get("rating", "")
        ratings.append(int(rating) if rating.isdecimal() else 0)
        places.append(place)
    puzzles = Puzzles(questions=np.array(questions), answers=np.array(answers), ratings=np.array(ratings))
    return puzzles, places.__getitem__


def _read_npz(source: str, task: Task, limit: int | None) -> tuple[Puzzles, Callable[[int], str]]:
    try:
        with open(source, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            questions, answers = arrays["puzzles"][:limit], arrays["solutions"][:limit]
    except (OSError, EOFError, KeyError, ValueError, BadZipFile) as error:
        raise InputError(f"{source} is not an npz with arrays 'puzzles' and 'solutions' ({error})") from None
    if questions.shape != answers.shape or questions.shape[1:] != (task.layout.cells,):
        raise InputError(
            f"{source} holds shapes {questions.shape} and {answers.shape}, {task.name} needs (N, {task.layout.cells})"
        )
    puzzles = Puzzles(questions=questions, answers=answers, ratings=np.zeros(len(questions), np.int64))
    return puzzles, lambda row: f"{source}, row {row}"


def collect(stream: Iterator[Puzzle], count: int, progress: Callable[[float, str], None] | None = None) -> Puzzles:
    """The next ``count`` puzzles of a generator; ``progress`` is told of each."""
    found = []
    for puzzle in itertools.islice(stream, count):
        found.append(puzzle)
        if progress:
            progress(1, "")
    return Puzzles(
        questions=np.array([puzzle.question for puzzle in found]),
        answers=np.array([puzzle.answer for puzzle in found]),
        ratings=np.array([puzzle.rating for puzzle in found]),
    )


def save_puzzles(puzzles: Puzzles, path: Path) -> None:
    """Write an npz that ``load_puzzles`` reads."""
    with path.open("wb") as file:
        np.savez_compressed(file, questions=puzzles.questions, answers=puzzles.answers, ratings=puzzles.ratings)


def load_puzzles(path: Path) -> Puzzles:
    """Read what ``save_puzzles`` wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        return Puzzles(**{name: arrays[name] for name in ("questions", "answers", "ratings")})


class Draws:
    """Endless training draws: a source, a puzzle, a random symmetry of it, perhaps some clues revealed."""

    def __init__(
        self,
        task: Task,
        sources: list[tuple[Puzzles, float]],
        reveal_share: float,
        reveal_most: float,
        seed: int,
    ) -> None:
        self.task, self.reveal_share, self.reveal_most = task, reveal_share, reveal_most
        drawn = [(puzzles, share) for puzzles, share in sources if share > 0 and len(puzzles)]
        if not drawn:
            raise InputError("no puzzle to train on: the sources with a share of the draws are empty, lower hard_share")
        self.sources = [puzzles for puzzles, _ in drawn]
        shares = np.array([share for _, share in drawn])
        self.shares = shares / shares.sum()
        self.rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, 0, 1])))

    def draw(self, count: int) -> Batch:
        """The next ``count`` puzzles of the stream."""
        of = self.rng.choice(len(self.sources), count, p=self.shares)
        at = [int(self.rng.integers(len(self.sources[source]))) for source in of]
        questions = np.array([self.sources[s].questions[i] for s, i in zip(of, at, strict=True)])
        answers = np.array([self.sources[s].answers[i] for s, i in zip(of, at, strict=True)])
        inputs, labels = self.task.augment(questions, answers, self.rng)
        eased = self.rng.random((count, 1)) < self.reveal_share
        share = self.rng.random((count, 1)) * self.reveal_most
        revealed = eased & (self.rng.random(inputs.shape) < share)
        inputs = np.where(revealed, labels, inputs)
        return Puzzles(questions=inputs, answers=labels, ratings=np.zeros(count, np.int64)).batch()

    def state(self) -> str:
        """Where the stream stands, as JSON."""
        return json.dumps(self.rng.bit_generator.state)

    def restore(self, state: str) -> None:
        """Go on from ``state``."""
        self.rng.bit_generator.state = json.loads(state)
