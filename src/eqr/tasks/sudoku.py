"""Sudoku on any board of R x C boxes. Knows the rules and symmetries; other modules search and count solutions."""

from collections.abc import Callable, Iterator
from functools import cache, cached_property

import numpy as np
import torch
from jaxtyping import Bool, Integer
from numpy.typing import NDArray
from torch import Tensor

from eqr.errors import InputError
from eqr.evidence import Solution
from eqr.tasks.base import Mark, Puzzle, Symmetries, Task, names_shuffled, reached
from eqr.tasks.sudoku_count import count_solutions
from eqr.tasks.sudoku_text import BLANKS, SYMBOLS, SudokuLines
from eqr.tasks.sudoku_thinning import puzzles_with
from eqr.types import Layout

BOXES = {4: (2, 2), 6: (2, 3), 9: (3, 3), 16: (4, 4), 25: (5, 5)}
"""Rows and columns of a box, by the side of the board."""
WRITTEN = "." + SYMBOLS
"""The character of each id."""
FEWEST_CLUES = {9: 17}
"""Fewest clues of a puzzle with one solution, by the side of the board (McGuire and others, arXiv:1201.0749)."""


def units_of(box_rows: int, box_cols: int) -> NDArray[np.int64]:
    """Returns (3V, V) the cells of every row, column and box, in that order."""
    side = box_rows * box_cols
    cells = np.arange(side * side).reshape(side, side)
    boxes = cells.reshape(box_cols, box_rows, box_rows, box_cols).transpose(0, 2, 1, 3).reshape(side, side)
    return np.concatenate([cells, cells.T, boxes])


class Sudoku(Task):
    """Fill every row, column and box with each symbol once."""

    has_rules = True

    def __init__(self, name: str, box_rows: int, box_cols: int) -> None:
        side = box_rows * box_cols
        self.name, self.side = name, side
        self.box_rows, self.box_cols = box_rows, box_cols
        # Axes: band, row in band, stack, column in stack. Relations: row, column, box.
        axes = (box_cols, box_rows, box_rows, box_cols)
        self.layout = Layout(rows=side, cols=side, symbols=side, axes=axes, relations=((2, 3), (0, 1), (1, 3)))

    @cached_property
    def _units(self) -> Integer[Tensor, "U V"]:
        return torch.from_numpy(units_of(self.box_rows, self.box_cols))

    def line_reader(self) -> Callable[[str], str | Mark]:
        """Returns a reader of the common text formats of Sudokus (docs/formats.md)."""
        return SudokuLines(self.side)

    def _cells(self, text: str) -> str:
        cells = SudokuLines(self.side)(text)
        return "" if isinstance(cells, Mark) else cells

    def cells_in(self, text: str) -> int:
        """Counts digits and blanks."""
        return len(self._cells(text))

    def parse(self, text: str) -> NDArray[np.uint8]:
        """Parses digits and blanks (``. 0 * _ ? x X``) into (L,) ids; ignores white space, drawn lines and heads."""
        text = self._cells(text)
        cells, allowed = self.layout.cells, SYMBOLS[: self.side]
        clue, read = "digit", f"the digits 1 to {self.side}"
        if self.side > 9:
            clue, read = "digit or letter", f"the digits 1 to 9, the letters A to {allowed[-1]}"
        if len(text) != cells:
            raise InputError(
                f"puzzle {text[:24]!r} has {len(text)} cells, a {self.name} puzzle has {cells}: "
                f"give one {clue} for each clue and '.' or '0' for each blank"
            )
        foreign = text.strip(allowed + ".")
        if foreign:
            row, col = divmod(text.index(foreign[0]), self.side)
            raise InputError(
                f"row {row + 1}, column {col + 1} holds {foreign[0]!r}: only {read} "
                f"and {' '.join(BLANKS)} for blanks are read"
            )
        board = np.array([SYMBOLS.find(char) + 1 for char in text], np.uint8)
        units = np.sort(board[self._units.numpy()], 1)
        if ((units[:, 1:] == units[:, :-1]) & (units[:, 1:] > 0)).any():
            raise self._repeated_clue(board)
        return board

    def _repeated_clue(self, board: NDArray[np.uint8]) -> InputError:
        counts = np.stack([np.bincount(board[unit], minlength=self.side + 1)[1:] for unit in self._units.numpy()])
        number = int((counts > 1).any(1).argmax())
        kind, place = ("row", "column", "box")[number // self.side], number % self.side + 1
        symbol = int(counts[number].argmax()) + 1
        return InputError(
            f"{'digit' if symbol <= 9 else 'letter'} {SYMBOLS[symbol - 1]} is given {counts[number].max()} times in "
            f"{kind} {place}: at most once is possible, correct one of them"
        )

    def format(self, board: Integer[Tensor, " L"]) -> str:
        """Returns one line of digits, then letters from A for 10, with ``.`` for blanks."""
        return "".join(WRITTEN[symbol] for symbol in board.tolist())

    def is_solved(self, inputs: Integer[Tensor, "R L"], answers: Integer[Tensor, "R L"]) -> Bool[Tensor, " R"]:
        """Returns whether every unit holds every symbol once and every clue is kept."""
        symbols = torch.arange(1, self.side + 1)
        permutation = (answers[:, self._units].sort(-1).values == symbols).all(-1).all(-1)
        return permutation & ((inputs == 0) | (inputs == answers)).all(-1)

    def about_question(self, question: Integer[Tensor, " L"]) -> str | None:
        """Returns whether the puzzle has no solution or several, as a sentence; None if it has one or nobody knows."""
        clues, fewest = int((question > 0).sum()), FEWEST_CLUES.get(self.side, 0)
        few = f"it has {clues} clues, and with fewer than {fewest} no {self.side}x{self.side} Sudoku has only one"
        solutions = count_solutions(question.numpy().astype(np.uint8), self._units.numpy())
        if solutions == 0:
            return "the puzzle has no solution"
        if solutions == 2:
            return "the puzzle has more than one solution" + (f": {few}" if clues < fewest else "")
        # A search that ran out of time may have missed that there is no solution at all.
        return f"the puzzle has no solution or several: {few}" if clues < fewest else None

    def render(self, puzzle: str | Integer[Tensor, " L"], solution: Solution) -> str:
        """Returns text for people: the puzzle, the answer beside it, and how the answer was reached."""
        question = self.parse(puzzle).tolist() if isinstance(puzzle, str) else puzzle.tolist()
        left, right = self._grid(question), self._grid(solution.answer.tolist())
        arrow = ["  ->  " if i == len(left) // 2 else "      " for i in range(len(left))]
        grids = "\n".join(a + b + c for a, b, c in zip(left, arrow, right, strict=True))
        return f"{grids}\n{reached(solution)}"

    def _grid(self, symbols: list[int]) -> list[str]:
        lines = []
        for r in range(self.side):
            if r and r % self.box_rows == 0:
                lines.append("+".join(["-" * (2 * self.box_cols + 1)] * self.box_rows)[1:-1])
            cells = [WRITTEN[v] for v in symbols[r * self.side : (r + 1) * self.side]]
            boxes = [" ".join(cells[c : c + self.box_cols]) for c in range(0, self.side, self.box_cols)]
            lines.append(" | ".join(boxes))
        return lines

    def symmetries(self, count: int, rng: np.random.Generator) -> Symmetries:
        """Relabels symbols, shuffles bands, stacks and their lines; if boxes are square, transposes half the boards."""
        relabel = names_shuffled(count, self.side, rng)
        rows = _shuffled_lines(count, self.box_cols, self.box_rows, rng)
        cols = _shuffled_lines(count, self.box_rows, self.box_cols, rng)
        cells = rows[:, :, None] * self.side + cols[:, None, :]
        if self.box_rows == self.box_cols:
            flip = rng.random(count) < 0.5
            cells[flip] = cells[flip].transpose(0, 2, 1)
        return Symmetries(cells.reshape(count, -1), relabel)

    def generate(self, seed: int, least: int = 0, most: int | None = None, workers: int = 1) -> Iterator[Puzzle]:
        """Returns minimal puzzles with one solution; the rating is the number of guesses of the bitmask solver.

        Raises InputError for boards of more than 9x9, on which that solver would take too long.
        """
        if self.side > 9:
            raise InputError(
                f"{self.name} puzzles are generated with a stated number of clues: "
                f"`eqr generate {self.name} --clues N --out F.csv`, and then --data F.csv to train on them"
            )
        if most is not None and not least <= most:
            raise InputError(f"there are no puzzles of {least} to {most} guesses: the first limit exceeds the second")
        # numba takes a second to import
        from eqr.tasks.sudoku_search import generate, geometry, say_once_that_it_compiles

        say_once_that_it_compiles()  # here, not at the first puzzle: a progress bar may have the terminal by then
        return generate(geometry(units_of(self.box_rows, self.box_cols)), seed, least, most, workers)

    def generate_with(self, clues: int, seed: int) -> Iterator[Puzzle]:
        """Returns puzzles with ``clues`` clues and one solution; the rating is the number of blanks.

        Raises InputError for a number of clues that no puzzle has, without the extra ``csp``, and when no puzzle with
        so few clues is found.
        """
        fewest, most = FEWEST_CLUES.get(self.side, 1), self.layout.cells - 1
        if not fewest <= clues <= most:
            raise InputError(f"{clues} clues: a {self.name} puzzle with one solution has {fewest} to {most}")
        return puzzles_with(clues, f"{self.name}-{seed}", units_of(self.box_rows, self.box_cols))


@cache
def sudoku_of(side: int = 9) -> Sudoku:
    """Returns Sudoku with ``side`` symbols: 4, 6 (boxes of 2x3), 9, 16 or 25; raises InputError for others."""
    if side not in BOXES:
        raise InputError(f"a Sudoku of {side}x{side} is not supported: sides are {', '.join(map(str, BOXES))}")
    return Sudoku("sudoku" if side == 9 else f"sudoku{side}", *BOXES[side])


def _shuffled_lines(count: int, groups: int, size: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Draws (count, groups*size) orders of lines that keep the lines of a group together."""
    group = rng.permuted(np.arange(groups)[None].repeat(count, 0), axis=1)
    within = rng.permuted(np.arange(size)[None].repeat(count * groups, 0), axis=1).reshape(count, groups, size)
    lines: NDArray[np.intp] = group[:, :, None] * size + within
    return lines.reshape(count, -1)
