"""Custom puzzles: grids of one shape and one alphabet, known only from a file of questions and answers.

A symbol is a character: id i is the i-th character of the alphabet, id 0 the blank. White space in a row is ignored;
``/`` and line ends separate rows. The task does not know the rules. A checker, a function that the user writes, may
tell right answers from wrong ones; whoever runs the program supplies it, and it is never saved with a model.
"""

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from math import isqrt
from typing import Any

import numpy as np
from jaxtyping import Bool, Integer
from numpy.typing import NDArray
from torch import Tensor

from eqr.errors import InputError, from_json
from eqr.tasks.base import Checker, Puzzle, Symmetries, Task, names_kept, names_shuffled, turned
from eqr.tasks.checking import accepted
from eqr.types import Layout

ROW_ENDS = re.compile(r"[/\r\n]")
MOST_SYMBOLS = 255
"""Longest alphabet: a cell is kept in one byte, and 0 is the blank."""


@dataclass(frozen=True, kw_only=True)
class GridConfig:
    """Board and symmetries of a grid task."""

    rows: int
    cols: int
    symbols: str
    """The alphabet in order, one character per symbol."""
    blank: str
    """The character of a cell to find; empty if questions have no blanks."""
    clues_fixed: bool
    """True if a given symbol is the cell's answer; False if every cell is answered anew."""
    interchangeable: bool
    """True if a puzzle stays a puzzle when its symbols swap names."""
    dihedral: bool
    """True if a puzzle stays a puzzle when its board is turned or mirrored."""

    def __post_init__(self) -> None:
        if self.rows < 1 or self.cols < 1:
            raise InputError(f"a grid of {self.rows}x{self.cols} has no cells: at least 1 row and 1 column are needed")
        if not 2 <= len(self.symbols) <= MOST_SYMBOLS:
            raise InputError(
                f"grids need 2 to {MOST_SYMBOLS} symbols, one character each; this one has {len(self.symbols)}"
            )
        written = self.symbols + self.blank
        if len(self.blank) > 1 or len(set(written)) < len(written) or "".join(lines_in(written)) != written:
            raise InputError(
                f"symbols {self.symbols!r} with blank {self.blank!r} cannot be read back: each must be a "
                "different character, and none may be '/' or white space"
            )

    def described(self) -> str:
        """Describes the puzzles in one line for people."""
        return ", ".join(
            (
                f"{self.rows}x{self.cols}",
                f"symbols {self.symbols} ({'interchangeable' if self.interchangeable else 'each of its own kind'})",
                f"blank {self.blank!r}" if self.blank else "no blanks",
                "given cells are fixed" if self.clues_fixed else "given cells may change, every cell is answered",
                "boards may be turned and mirrored" if self.dihedral else "boards keep their position",
            )
        )


def lines_in(text: str) -> list[str]:
    """Returns the rows written in ``text``, without white space; a single row if nothing separates rows."""
    lines = ("".join(line.split()) for line in ROW_ENDS.split(text))
    return [line for line in lines if line]


def shape_in(text: str) -> tuple[int, int] | None:
    """Returns the rows and columns of a board; None if nothing separates its rows and it is no square."""
    lines = lines_in(text)
    if len(lines) > 1:
        return len(lines), len(lines[0])
    cells = sum(map(len, lines))
    side = isqrt(cells)
    return (side, side) if cells and side * side == cells else None


def cells_of(text: str, rows: int, cols: int) -> str:
    """Returns the cells written in ``text``, row by row; raises InputError unless they form ``rows`` x ``cols``."""
    lines = lines_in(text)
    cure = f"give {rows} rows of {cols}, separated by '/', by line ends or by nothing"
    if len(lines) <= 1:
        cells = "".join(lines)
        if len(cells) != rows * cols:
            raise InputError(f"grid {text[:24]!r} has {len(cells)} cells, {rows}x{cols} has {rows * cols}: {cure}")
        return cells
    for number, line in enumerate(lines, 1):
        if len(line) != cols:
            raise InputError(f"row {number} of {len(lines)} has {len(line)} cells, a row has {cols}: {cure}")
    if len(lines) != rows:
        raise InputError(f"grid {text[:24]!r} has {len(lines)} rows, {rows} are needed: {cure}")
    return "".join(lines)


class Grid(Task):
    """Give every cell a symbol, as the answers in the training file do."""

    name = "grid"

    def __init__(self, config: GridConfig, check: Checker | None = None) -> None:
        self.config, self.check, self.has_rules = config, check, check is not None
        self.options = asdict(config)
        # Without blanks no character is read as id 0; "?" only displays it.
        self.written = (config.blank or "?") + config.symbols
        self.ids = {char: symbol for symbol, char in enumerate(self.written) if symbol or config.blank}
        self.layout = Layout(
            rows=config.rows,
            cols=config.cols,
            symbols=len(config.symbols),
            axes=(config.rows, config.cols),
            relations=((1,), (0,)),
            near=(0, 1),
            symbol_kinds=() if config.interchangeable else tuple(range(len(config.symbols))),
            clues_fixed=config.clues_fixed,
        )

    def _identity(self) -> tuple[object, ...]:
        return (*super()._identity(), self.check)

    def akin(self, other: Task) -> bool:
        """Returns whether ``other`` is a grid with the same configuration; the checker does not matter to a network."""
        return isinstance(other, Grid) and other.config == self.config

    def with_checker(self, check: Checker) -> "Grid":
        """Returns the task with ``check`` as judge of its answers."""
        return Grid(self.config, check)

    def cells_in(self, text: str) -> int:
        """Counts every character that is neither white space nor ``/``."""
        return sum(map(len, lines_in(text)))

    def parse(self, text: str) -> NDArray[np.uint8]:
        """Parses one character per cell, row by row, into (L,) ids."""
        cells = cells_of(text, self.config.rows, self.config.cols)
        for cell, char in enumerate(cells):
            if char not in self.ids:
                row, col = divmod(cell, self.config.cols)
                blank = f"and {self.config.blank!r} for blanks " if self.config.blank else ""
                raise InputError(
                    f"row {row + 1}, column {col + 1} holds {char!r}: only {self.config.symbols} {blank}are read, "
                    "correct it, or train on a file that uses it"
                )
        return np.array([self.ids[char] for char in cells], np.uint8)

    def format(self, board: Integer[Tensor, " L"]) -> str:
        """Returns one line of symbols."""
        return "".join(self.written[symbol] for symbol in board.tolist())

    def is_solved(self, inputs: Integer[Tensor, "R L"], answers: Integer[Tensor, "R L"]) -> Bool[Tensor, " R"]:
        """Returns whether no cell is blank, fixed clues are kept, and the checker, if there is one, agrees.

        An answer for which the checker raises is not solved; the first exception is told on standard error.
        """
        good = (answers > 0).all(-1)
        if self.config.clues_fixed:
            good &= ((inputs == 0) | (inputs == answers)).all(-1)
        if self.check is not None:
            for row in good.nonzero()[:, 0].tolist():
                question = inputs[row]
                good[row] = accepted(
                    self.check, self._rows(question), self._rows(answers[row]), partial(self.format, question)
                )
        return good

    def _rows(self, board: Integer[Tensor, " L"]) -> list[list[str]]:
        return [[self.written[symbol] for symbol in row] for row in board.view(self.config.rows, -1).tolist()]

    def cells(self, board: Integer[Tensor, " L"]) -> list[str]:
        """Returns the symbol of each cell."""
        return [self.written[symbol] for symbol in board.tolist()]

    def symmetries(self, count: int, rng: np.random.Generator) -> Symmetries:
        """Draws the symmetries that the configuration allows: other names for symbols, other positions of the board."""
        board = np.arange(self.layout.cells).reshape(self.config.rows, -1)
        places = board.reshape(1, -1)
        if self.config.dihedral:
            kept = (board, board[::-1], board[:, ::-1], board[::-1, ::-1])
            places = turned(board) if self.config.rows == self.config.cols else np.stack([at.ravel() for at in kept])
        symbols = self.layout.symbols
        names = names_shuffled(count, symbols, rng) if self.config.interchangeable else names_kept(count, symbols)
        return Symmetries(places[rng.integers(len(places), size=count)], names)

    def generate(self, seed: int, least: int = 0, most: int | None = None, workers: int = 1) -> Iterator[Puzzle]:
        """Raises InputError: there is no generator."""
        raise _your_own()


def grid_of(**board: Any) -> Grid:
    """Returns the grid task of a board given as the fields of GridConfig; raises InputError without them."""
    if not board:
        raise _your_own()
    return Grid(from_json(GridConfig, board, "grid"))


def _your_own() -> InputError:
    return InputError(
        "grid puzzles cannot be generated: write a CSV with the columns question and answer and give it to "
        "`eqr train grid --data`"
    )
