"""What a puzzle is. Knows symbols, boards and rules; knows nothing of models, files or training."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Integer
from numpy.typing import NDArray
from torch import Tensor

from eqr.errors import InputError
from eqr.evidence import Solution
from eqr.types import Ids, Layout

Boards = NDArray[np.uint8]
"""(B, L) ids on the data side, where torch is not needed."""


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
"""The same of a blank and of the first symbols, for tasks that have no colours of their own."""


def squeezed(text: str) -> str:
    """``text`` without white space and the lines people draw into boards (``|``, ``+``, ``-``)."""
    return "".join(char for char in text if not char.isspace() and char not in "|+-")


def reached(solution: Solution, checked: bool = True) -> str:
    """How an answer was reached, in one line for people; ``checked`` is whether its task has rules to check it by."""
    state = "not checked" if not checked else "valid" if solution.valid else "NOT valid"
    ended = "converged" if solution.converged else "halted" if solution.halted else "not converged"
    return f"{state}, {ended}, residual {solution.residual:.1e}, depth {solution.depth}"


class Puzzle(NamedTuple):
    """A generated puzzle with its one solution."""

    question: NDArray[np.uint8]
    answer: NDArray[np.uint8]
    rating: int
    """Difficulty; its unit is the task's."""


@dataclass(frozen=True)
class Symmetries:
    """One symmetry for each of B boards: its cells change places, its symbols change names."""

    cells: NDArray[np.intp]
    """(B, L) the cell that each cell of the new board is taken from."""
    symbols: NDArray[np.uint8]
    """(B, V + 1) the new id of each id; 0 stays 0."""

    def apply(self, boards: Boards) -> Boards:
        """The boards under their symmetries; new arrays."""
        moved = np.take_along_axis(boards, self.cells, 1).astype(np.intp)
        return np.take_along_axis(self.symbols, moved, 1)

    def undo(self, boards: Boards) -> Boards:
        """The boards of which ``boards`` are the images."""
        names = np.argsort(self.symbols, 1).astype(np.uint8)
        named = np.take_along_axis(names, boards.astype(np.intp), 1)
        return np.take_along_axis(named, np.argsort(self.cells, 1), 1)


class Task(ABC):
    """A family of puzzles on one board shape."""

    name: str
    """What ``task_named`` makes it from."""
    layout: Layout
    """Board shape and relations between cells."""
    has_rules: bool = True
    """Whether ``is_solved`` can tell a right answer from a wrong one."""

    def sized(self, cells: int) -> "Task":
        """The same family on a board of ``cells`` cells; itself if it has no such board."""
        return self

    def larger(self) -> "Task":
        """The next larger board of the family; raises InputError if boards of this family have one size."""
        raise InputError(f"{self.name} has no larger boards to grow to: set grow_to=0")

    def cells_in(self, text: str) -> int:
        """Cells of the board written in ``text``."""
        return len(squeezed(text))

    def lines_of(self, line: str) -> int:
        """How many lines like this one make a board: 1 if it is a whole one."""
        return self.layout.rows if self.cells_in(line) == self.layout.cols else 1

    @abstractmethod
    def parse(self, text: str) -> NDArray[np.uint8]:
        """Read one puzzle, (L,) ids; raises InputError saying what is wrong and where."""

    @abstractmethod
    def format(self, board: Integer[Tensor, " L"]) -> str:
        """Write one board on one line; the inverse of ``parse``."""

    def encode(self, puzzles: str | Sequence[str]) -> Ids:
        """(B, L) ids of one puzzle or several given as text; raises InputError as ``parse`` does."""
        puzzles = [puzzles] if isinstance(puzzles, str) else puzzles
        boards = [self.parse(text) for text in puzzles]
        return torch.from_numpy(np.array(boards, np.int64).reshape(len(boards), self.layout.width))

    def named_rule(
        self, header: Integer[Tensor, "R H"]
    ) -> tuple[Integer[Tensor, " R"], Integer[Tensor, " R"], Integer[Tensor, "R V"]]:
        """The rule and the position that each header names, and for each symbol, from 0, the one it stands for.

        For tasks whose layout has rules.
        """
        raise NotImplementedError(f"{self.name} has no header")

    @abstractmethod
    def is_solved(self, inputs: Integer[Tensor, "R L"], answers: Integer[Tensor, "R L"]) -> Bool[Tensor, " R"]:
        """Whether each answer obeys all rules and keeps the clues. Needs no label."""

    @abstractmethod
    def render(self, puzzle: str | Integer[Tensor, " L"], solution: Solution) -> str:
        """A board for people, with what is known of how it was reached."""

    def drawn(self, puzzle: Integer[Tensor, " L"], answer: Integer[Tensor, " L"]) -> list[str]:
        """Each cell of an answer's board in two characters, for a terminal."""
        return [f"{char} " for char in self.format(answer)[self.layout.rule_cells :]]

    def picture(self, puzzle: Integer[Tensor, " L"], answer: Integer[Tensor, " L"]) -> NDArray[np.uint8]:
        """(H, W, 3) red, green and blue: an answer with a square for each cell, in the colour of its symbol."""
        symbols = answer[self.layout.rule_cells :].view(self.layout.rows, self.layout.cols).numpy()
        return painted(COLOURS[symbols % len(COLOURS)], line=1)

    @abstractmethod
    def symmetries(self, count: int, rng: np.random.Generator) -> Symmetries:
        """``count`` random symmetries of the task: they make puzzles of puzzles, and answers of their answers."""

    @abstractmethod
    def generate(self, seed: int, least: int = 0, most: int | None = None, workers: int = 1) -> Iterator[Puzzle]:
        """Endless stream of puzzles rated ``least`` to ``most``, a function of ``seed`` alone.

        Raises InputError if there are no such puzzles, or the task has no generator.
        """


def names_kept(count: int, symbols: int) -> NDArray[np.uint8]:
    """(count, symbols + 1) symbols of ``Symmetries`` that rename none."""
    return np.tile(np.arange(symbols + 1, dtype=np.uint8), (count, 1))


def names_shuffled(count: int, symbols: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The same, renaming all symbols at random."""
    names = names_kept(count, symbols)
    names[:, 1:] = rng.permuted(names[:, 1:], axis=1)
    return names


def turned(board: NDArray[np.intp]) -> NDArray[np.intp]:
    """(8, L) the cells of a square ``board`` (N, N) of cell numbers in its eight positions, the given one first."""
    return np.stack([np.rot90(side, turns).ravel() for side in (board, board.T) for turns in range(4)])


def painted(colours: NDArray[np.uint8], line: int = 0) -> NDArray[np.uint8]:
    """(H, W, 3) a picture of cells of these colours (rows, cols, 3), with lines of so many pixels between them."""
    picture = colours.repeat(SIDE, 0).repeat(SIDE, 1)
    for edge in range(line):
        picture[edge::SIDE] = LINE
        picture[:, edge::SIDE] = LINE
    return picture
