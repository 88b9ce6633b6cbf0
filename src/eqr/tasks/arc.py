"""Few-shot grid puzzles (ARC-AGI, Mini-ARC): a grid is given, another one is the answer, by a rule shown in examples.

The examples are input: P demonstrations, an input and an output grid each, come before the question as a header of
2 P grids. They lie over the board like further layers: the network sees what all grids hold in a cell as it looks at
that cell, and keeps no state for them. No table grows with the tasks (HRM and TRM learn an embedding of each), and
tasks that the model was not trained on can be asked.

Symbols: ids 1 to 10 are the colours 0 to 9, id 11 lies outside a grid that is smaller than N x N. A demonstration that
a task does not have is all outside; of more than P the first are shown. Nothing here knows whether an answer is right:
only the author of a task does.
"""

from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
import torch
from jaxtyping import Bool, Integer
from numpy.typing import NDArray
from torch import Tensor

from eqr.errors import InputError
from eqr.tasks.base import Puzzle, Symmetries, Task, names_kept, reached, squeezed, turned
from eqr.types import Layout, Solution

Grid = list[list[int]]
"""Rows of colours 0 to 9."""
COLOURS, BLACK, OUTSIDE = 10, 1, 11
WRITTEN = ".0123456789_"
"""Character of each id; id 0 is no cell of a board."""
LARGEST, MOST = 30, 10


class Arc(Task):
    """Find the output grid of an input grid, as in the demonstrations."""

    has_rules = False

    def __init__(self, size: int, demos: int) -> None:
        """Raises InputError for sizes that no board has."""
        if not 2 <= size <= LARGEST:
            raise InputError(f"grids of {size}x{size} are not made: sizes are 2 to {LARGEST}, take arc5 or arc30")
        if not 1 <= demos <= MOST:
            raise InputError(f"boards with {demos} demonstrations are not made: 1 to {MOST} are, such as arc{size}x3")
        self.name, self.size, self.demos = f"arc{size}x{demos}", size, demos
        self.layout = Layout(
            rows=size,
            cols=size,
            symbols=OUTSIDE,
            axes=(size, size),
            relations=((1,), (0,), (0, 1)),
            near=(0, 1),
            # Black is the ground in most tasks, so only the other nine colours are alike.
            kinds=(0, *(1,) * (COLOURS - 1), 2),
            layers=2 * demos,
            clues_stand=False,
        )

    def sized(self, cells: int) -> Task:
        """Grids of another size, if they and as many demonstrations make as many cells."""
        sizes = [size for size in range(2, LARGEST + 1) if (2 * self.demos + 1) * size * size == cells]
        return arc_of(sizes[0], self.demos) if sizes else self

    def board(self, demos: Sequence[tuple[Grid, Grid]], grid: Grid) -> NDArray[np.uint8]:
        """(L,) ids of the demonstrations and a grid: the input asked about, or its output.

        Raises InputError if a grid is not a grid, or larger than the boards.
        """
        shown = [self._padded(side) for pair in demos[: self.demos] for side in pair]
        missing = [np.full((self.size, self.size), OUTSIDE, np.uint8)] * (2 * self.demos - len(shown))
        return np.stack([*shown, *missing, self._padded(grid)]).ravel()

    def _padded(self, grid: Grid) -> NDArray[np.uint8]:
        if len({len(row) for row in grid}) != 1 or not all(0 <= colour < COLOURS for row in grid for colour in row):
            raise InputError("a grid is ragged, or holds something else than the colours 0 to 9: correct the task")
        if max(len(grid), len(grid[0])) > self.size:
            raise InputError(
                f"a grid has {len(grid)}x{len(grid[0])} cells, {self.name} has grids of up to "
                f"{self.size}x{self.size}: use a task of larger grids"
            )
        board = np.full((self.size, self.size), OUTSIDE, np.uint8)
        board[: len(grid), : len(grid[0])] = np.array(grid) + 1
        return board

    def grid(self, board: Integer[Tensor, " L"]) -> Grid:
        """The grid after the demonstrations: its rows and columns up to the first that lies outside."""
        cells = board[self.layout.header :].view(self.size, self.size)
        inside = (cells != OUTSIDE).numpy()
        rows, cols = (int(np.cumprod(inside.any(axis)).sum()) for axis in (1, 0))
        colours = (cells[:rows, :cols] - 1).clamp(0, COLOURS - 1)
        return [[int(colour) for colour in row] for row in colours]

    def parse(self, text: str) -> NDArray[np.uint8]:
        """Read colours as digits and ``_`` outside a grid, row by row, demonstrations first."""
        text = squeezed(text)
        if len(text) != self.layout.width:
            raise InputError(
                f"the grids {text[:24]!r} have {len(text)} cells, {self.name} has {self.layout.width}: give "
                f"{self.demos} pairs of {self.size}x{self.size} and the grid asked about, '_' for each cell outside"
            )
        foreign = text.strip(WRITTEN[1:])
        if foreign:
            raise InputError(
                f"cell {text.index(foreign[0]) + 1} of {self.layout.width} holds {foreign[0]!r}: only the digits 0 to "
                "9 for colours and '_' outside a grid are read"
            )
        return np.array([WRITTEN.index(char) for char in text], np.uint8)

    def format(self, board: Integer[Tensor, " L"]) -> str:
        """One line of digits and ``_``."""
        return "".join(WRITTEN[symbol] for symbol in board.tolist())

    def is_solved(self, inputs: Integer[Tensor, "R L"], answers: Integer[Tensor, "R L"]) -> Bool[Tensor, " R"]:
        """Whether the demonstrations stand and no cell is blank: more nobody but the author of the task can tell."""
        header = self.layout.header
        return (inputs[:, :header] == answers[:, :header]).all(-1) & (answers > 0).all(-1)

    def render(self, puzzle: str | Integer[Tensor, " L"], solution: Solution) -> str:
        """The input, the output beside it, and how it was reached."""
        question = torch.from_numpy(self.parse(puzzle)) if isinstance(puzzle, str) else puzzle
        lines = []
        for row in range(self.size):
            start = self.layout.header + row * self.size
            sides = (board[start : start + self.size].tolist() for board in (question, solution.answer))
            arrow = "  ->  " if row == self.size // 2 else "      "
            lines.append(arrow.join(" ".join(WRITTEN[v].replace("_", " ") for v in side) for side in sides))
        return "\n".join([*lines, reached(solution, self.has_rules)])

    def symmetries(self, count: int, rng: np.random.Generator) -> Symmetries:
        """Turn and mirror all grids alike, rename the colours but black, show the demonstrations in another order."""
        size = self.size
        place = turned(np.arange(size * size).reshape(size, size))[rng.integers(8, size=count)]
        order = rng.permuted(np.tile(np.arange(self.demos), (count, 1)), axis=1)
        layers = np.concatenate(
            [(2 * order[:, :, None] + np.arange(2)).reshape(count, -1), np.full((count, 1), 2 * self.demos)], 1
        )
        cells = layers[:, :, None] * size * size + place[:, None, :]
        names = names_kept(count, OUTSIDE)
        names[:, BLACK + 1 : OUTSIDE] = rng.permuted(names[:, BLACK + 1 : OUTSIDE], axis=1)
        return Symmetries(cells.reshape(count, -1), names)

    def generate(self, seed: int, least: int = 0, most: int | None = None, workers: int = 1) -> Iterator[Puzzle]:
        """There is no generator: raises InputError."""
        raise InputError(f"{self.name} puzzles are written by people: make a set of them with `eqr data`")


@cache
def arc_of(size: int = LARGEST, demos: int = 3) -> Arc:
    """The task with grids of up to ``size`` x ``size`` and ``demos`` demonstrations."""
    return Arc(size, demos)
