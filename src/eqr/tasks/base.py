"""The base of all tasks. Knows symbols, boards and rules; knows nothing of models, files or training."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Integer
from numpy.typing import NDArray
from torch import Tensor

from eqr.errors import InputError
from eqr.evidence import Solution
from eqr.types import Ids, Layout

Boards = NDArray[np.integer[Any]]
"""(B, L) ids as numpy arrays, for code that handles data and needs no torch; a byte each unless a header needs more."""


Checker = Callable[[list[list[str]], list[list[str]]], bool]
"""``check(question, answer)`` returns whether the answer solves the question; both are rows of characters."""


class Mark(Enum):
    """A line of a text that holds no cells."""

    FRAME = "frame"
    """Belongs to the board around it, such as a line that is drawn under a row."""
    GAP = "gap"
    """Stands between boards or between their bands."""
    HEAD = "head"
    """Stands before a board, such as its title."""


MOST_NAME = 100
"""Letters of the longest name of a task."""
SIDE = 12
"""Pixels of a cell's side in a picture."""
LINE = (85, 85, 85)
"""Red, green and blue of the lines between cells."""
COLOURS = np.array(
    [
        *((255, 255, 255), (0, 0, 0), (0, 116, 217), (255, 65, 54), (46, 204, 64), (255, 220, 0), (170, 170, 170)),
        *((240, 18, 190), (255, 133, 27), (127, 219, 255), (135, 12, 37), (54, 60, 74)),
    ],
    np.uint8,
)
"""Red, green and blue of a blank and of the first symbols, for tasks that have no colours of their own."""


def family_and_sizes(name: str) -> tuple[str, list[int]]:
    """Splits a task's name into family and sizes: ``maze30`` into maze and 30, ``arc5x149`` into arc, 5 and 149.

    Raises InputError for a name that is longer than any.
    """
    if len(name) > MOST_NAME:
        raise InputError(f"a task's name has up to {MOST_NAME} letters, {name[:20]!r}... has {len(name):,}: correct it")
    family, sizes = re.fullmatch(r"(.*?)((?:\d+x)*\d*)", name, re.DOTALL).groups()  # type: ignore[union-attr]
    return family, [int(size) for size in sizes.split("x") if size]


def squeezed(text: str) -> str:
    """Returns ``text`` without white space and without the lines that people draw into boards (``|``, ``+``, ``-``)."""
    return "".join(char for char in text if not char.isspace() and char not in "|+-")


def reached(solution: Solution, checked: bool = True) -> str:
    """Describes in one line how an answer was reached; ``checked`` says whether the task has rules to check it by."""
    state = "not checked" if not checked else "valid" if solution.valid else "NOT valid"
    ended = "converged" if solution.converged else "halted" if solution.halted else "not converged"
    return f"{state}, {ended}, residual {solution.residual:.1e}, depth {solution.depth}"


def side_by_side(boards: Iterable[list[str]], rows: int) -> list[str]:
    """Returns the lines of boards of equally many rows, given cell by cell, with an arrow between them."""
    sides = [np.array(cells).reshape(rows, -1) for cells in boards]
    return [
        ("  ->  " if number == rows // 2 else "      ").join(map(" ".join, lines))
        for number, lines in enumerate(zip(*sides, strict=True))
    ]


class Puzzle(NamedTuple):
    """A generated puzzle with its only solution."""

    question: NDArray[np.uint8]
    answer: NDArray[np.uint8]
    rating: int
    """Difficulty, in a unit that depends on the task."""


@dataclass(frozen=True)
class Symmetries:
    """One symmetry for each of B boards: it moves the board's cells and renames the board's symbols."""

    cells: NDArray[np.intp]
    """(B, L) for each cell of the new board, the cell of the old board that it is taken from."""
    symbols: NDArray[np.uint8]
    """(B, V + 1) for each old id, the new id; 0 stays 0."""

    def apply(self, boards: Boards) -> Boards:
        """Returns the boards under their symmetries, as new arrays."""
        # Indices take half the time of np.take_along_axis. One symmetry may serve many boards.
        row, symmetry = (np.arange(len(table))[:, None] for table in (boards, self.symbols))
        return self.symbols[symmetry, boards[row, self.cells]]

    def undo(self, boards: Boards) -> Boards:
        """Returns the boards whose images under the symmetries are ``boards``."""
        return Symmetries(np.argsort(self.cells, 1), np.argsort(self.symbols, 1).astype(np.uint8)).apply(boards)


class Task(ABC):
    """A family of puzzles on one board shape.

    A subclass needs a ``name``, a ``layout``, ``parse`` and ``format``; everything else has a default that works.
    Two tasks are equal if they have the same class, name, layout and options.
    """

    name: str
    """The family and the sizes of the board, such as maze30; ``task_named`` makes the task from this name."""
    layout: Layout
    """Board shape and relations between cells."""
    has_rules: bool = False
    """True if ``is_solved`` can tell a right answer from a wrong one."""
    whole_lines: bool = False
    """True if every line of a file is a puzzle as ``parse`` reads it, not a row of a table or of a board."""
    options: Mapping[str, Any] = MappingProxyType({})
    """Arguments that ``TASKS[family]`` needs besides the sizes, as JSON values; saved with a model."""

    @property
    def family(self) -> str:
        """The name without sizes."""
        return family_and_sizes(self.name)[0]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Task) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash((type(self), self.name, self.layout))

    def _identity(self) -> tuple[object, ...]:
        return type(self), self.name, self.layout, dict(self.options)

    def akin(self, other: "Task") -> bool:
        """Returns whether a network trained on this task may answer ``other``: symbols mean the same in both."""
        return type(self) is type(other)

    def sized(self, cells: int) -> "Task":
        """Returns the family's task on a board of ``cells`` cells; itself if the family has no such board."""
        return self

    def fitting(self, text: str) -> "Task":
        """Returns the family's task on the board in ``text``; a task that ``parse`` will refuse if there is none."""
        return self.sized(self.cells_in(text))

    def identity(self, puzzle: Integer[Tensor, " L"]) -> bytes:
        """Returns the bytes of which all random draws for a puzzle are a function: by default its ids.

        Raises InputError for ids that are none of the task.
        """
        ids = puzzle.tolist()
        if not 0 <= min(ids) <= max(ids) <= self.layout.symbols:
            raise InputError(f"it holds ids from {min(ids)} to {max(ids)}, {self.name} has 0 to {self.layout.symbols}")
        return bytes(ids)

    def check_ids(self, puzzle: Tensor) -> None:
        """Raises InputError unless ``puzzle`` is (L,) whole numbers that are ids of this task."""
        if puzzle.dim() != 1 or puzzle.is_floating_point() or puzzle.is_complex() or puzzle.dtype == torch.bool:
            kind = f"{str(puzzle.dtype).removeprefix('torch.')} of shape {tuple(puzzle.shape)}"
            raise InputError(f"it is {kind}: give ({self.layout.width},) whole numbers for each puzzle")
        if len(puzzle) != self.layout.width:
            raise InputError(f"it has {len(puzzle)} ids, {self.name} has {self.layout.width}")
        self.identity(puzzle)

    def larger(self) -> "Task":
        """Returns the task on the family's next larger board; raises InputError if all its boards have one size."""
        raise InputError(f"{self.name} has no larger boards to grow to: set grow_to=0")

    def with_checker(self, check: "Checker") -> "Task":
        """Returns the task with ``check`` as judge of its answers; raises InputError if the task takes no checker."""
        raise InputError(f"{self.name} is not a grid task, leave the checker out")

    def cells_in(self, text: str) -> int:
        """Returns the number of cells of the board in ``text``."""
        return len(squeezed(text))

    def lines_of(self, line: str) -> int:
        """Returns how many lines like ``line`` make a board: 1 if ``line`` is a whole board."""
        return self.layout.rows if self.cells_in(line) == self.layout.cols else 1

    def line_reader(self) -> Callable[[str], str | Mark]:
        """Returns a function to call with the lines of a text in order: it returns the cells in the line, or a Mark."""
        return lambda line: line if line.strip() and self.cells_in(line) else Mark.GAP

    @abstractmethod
    def parse(self, text: str) -> NDArray[np.integer[Any]]:
        """Parses one puzzle into (L,) ids; raises InputError saying what is wrong and where."""

    @abstractmethod
    def format(self, board: Integer[Tensor, " L"]) -> str:
        """Writes one board on one line; the inverse of ``parse``."""

    def as_json(self, board: Integer[Tensor, " L"]) -> Any:
        """Returns the board as a JSON value, for machines: by default the text of ``format``."""
        return self.format(board)

    def encode(self, puzzles: str | Sequence[str]) -> Ids:
        """Parses one puzzle or several into (B, L) ids; raises InputError as ``parse`` does."""
        puzzles = [puzzles] if isinstance(puzzles, str) else puzzles
        boards = [self.parse(text) for text in puzzles]
        return torch.from_numpy(np.array(boards, np.int64).reshape(len(boards), self.layout.width))

    def named_rule(
        self, rule_cells: Integer[Tensor, "R H"]
    ) -> tuple[Integer[Tensor, " R"], Integer[Tensor, " R"], Integer[Tensor, "R V"]]:
        """Returns the rule and the position that the rule cells name, and each symbol's original symbol, from 0.

        Only for tasks whose layout has rules.
        """
        raise NotImplementedError(f"{self.name} has no rule cells")

    def is_solved(self, inputs: Integer[Tensor, "R L"], answers: Integer[Tensor, "R L"]) -> Bool[Tensor, " R"]:
        """Returns whether each answer obeys all rules and keeps the clues. Needs no label.

        The default knows no rules: an answer must have no blank cell and must keep the clues if they are fixed.
        """
        complete = (answers > 0).all(-1)
        return complete & ((inputs == 0) | (inputs == answers)).all(-1) if self.layout.clues_fixed else complete

    def fault(self, question: Integer[Tensor, " L"], answer: Integer[Tensor, " L"]) -> str:
        """Returns the reason for which ``is_solved`` refuses an answer, without capital and full stop."""
        try:
            self.parse(self.format(answer))
        except InputError as error:  # such as a digit that stands twice in a row
            return str(error)
        return "it does not solve the question"

    def about_question(self, question: Integer[Tensor, " L"]) -> str | None:
        """Returns a sentence about the question that explains an answer that is not valid; None if there is none.

        Commands call it after an answer, for their message. It may search, for about a second, but its findings never
        enter an answer. A sentence has no capital and no full stop, such as "the puzzle has no solution".
        """
        return None

    def cells(self, board: Integer[Tensor, " L"]) -> list[str]:
        """Returns each cell of the board as text, without rule cells; by default the characters of ``format``."""
        return list(self.format(board)[self.layout.rule_cells :])

    def render(self, puzzle: str | Integer[Tensor, " L"], solution: Solution) -> str:
        """Returns text for people: the puzzle, the answer beside it, and how the answer was reached."""
        question = torch.from_numpy(self.parse(puzzle)) if isinstance(puzzle, str) else puzzle
        lines = side_by_side(map(self.cells, (question, solution.answer)), self.layout.rows)
        return "\n".join([*lines, reached(solution, self.has_rules)])

    def drawn(self, puzzle: Integer[Tensor, " L"], answer: Integer[Tensor, " L"]) -> list[str]:
        """Returns each cell of the answer's board as two characters, for a terminal."""
        return [f"{cell} " for cell in self.cells(answer)]

    def picture(self, puzzle: Integer[Tensor, " L"], answer: Integer[Tensor, " L"]) -> NDArray[np.uint8]:
        """Returns an (H, W, 3) RGB picture of the answer: one square per cell, in the colour of the cell's symbol."""
        symbols = answer[self.layout.rule_cells :].view(self.layout.rows, self.layout.cols).numpy()
        return painted(COLOURS[symbols % len(COLOURS)], line=1)

    def symmetries(self, count: int, rng: np.random.Generator) -> Symmetries:
        """Draws ``count`` random symmetries: each maps a puzzle to another puzzle, and its answer to that one's answer.

        By default a symmetry changes nothing.
        """
        return Symmetries(np.tile(np.arange(self.layout.width), (count, 1)), names_kept(count, self.layout.symbols))

    def generate(self, seed: int, least: int = 0, most: int | None = None, workers: int = 1) -> Iterator[Puzzle]:
        """Returns an endless stream of puzzles rated ``least`` to ``most``, a function of ``seed`` alone.

        Raises InputError if there are no such puzzles, or if the task has no generator.
        """
        raise InputError(f"nothing generates {self.name} puzzles: give a file of them with --data")


def names_kept(count: int, symbols: int) -> NDArray[np.uint8]:
    """Returns the (count, symbols + 1) ``Symmetries.symbols`` that rename nothing."""
    return np.arange(symbols + 1, dtype=np.uint8)[None].repeat(count, 0)


def names_shuffled(count: int, symbols: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Returns (count, symbols + 1) ``Symmetries.symbols`` that rename all symbols at random."""
    names = names_kept(count, symbols)
    names[:, 1:] = rng.permuted(names[:, 1:], axis=1)
    return names


def turned(board: NDArray[np.intp]) -> NDArray[np.intp]:
    """Returns (8, L) the eight positions of a square ``board`` (N, N) of cell numbers, the given position first."""
    return np.stack([np.rot90(side, turns).ravel() for side in (board, board.T) for turns in range(4)])


def painted(colours: NDArray[np.uint8], line: int = 0) -> NDArray[np.uint8]:
    """Returns an (H, W, 3) picture of cells in ``colours`` (rows, cols, 3), separated by lines ``line`` pixels wide."""
    picture = colours.repeat(SIDE, 0).repeat(SIDE, 1)
    for edge in range(line):
        picture[edge::SIDE] = LINE
        picture[:, edge::SIDE] = LINE
    return picture
