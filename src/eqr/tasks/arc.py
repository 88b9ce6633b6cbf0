"""Few-shot grid puzzles (ARC-AGI, Mini-ARC): turn a given grid into another one, by a rule that examples show.

A header names the rule: it identifies one of the tasks that the model was trained on, and the network has a learned
embedding of each task, as HRM and TRM have. Demonstrations as input were tried and solved fewer tests (docs/arc.md).

Each task has an embedding for each of its eight positions, and for the meaning of each colour in each position. So the
network must know which position a symmetry has put the board into, and what it has renamed each colour to. The header
states both. It precedes the board and holds, in this order: the palette, where cell c holds the symbol that colour c
has become; the position, eight cells of which one is marked; the task's number, four decimal digits written as colours.
A symmetry moves and renames the cells of the header like all others, so the header stays true.

Symbols: ids 1 to 10 are the colours 0 to 9; id 11 fills the cells outside a grid that is smaller than N x N.
"""

from collections.abc import Iterator
from functools import cache, cached_property

import numpy as np
import torch
from jaxtyping import Bool, Integer
from numpy.typing import NDArray
from torch import Tensor

from eqr.errors import InputError
from eqr.tasks.base import Puzzle, Symmetries, Task, names_kept, squeezed, turned
from eqr.types import Layout

Grid = list[list[int]]
"""Rows of colours 0 to 9."""
COLOURS, POSITIONS, DIGITS = 10, 8, 4
HEADER = COLOURS + POSITIONS + DIGITS
BLACK, OUTSIDE = 1, 11
"""Ids that no symmetry renames; black also marks the position."""
WRITTEN = ".0123456789_"
"""Character of each id."""
LARGEST, MOST = 30, 10**DIGITS


class Arc(Task):
    """Find the output grid of an input grid under a known rule."""

    def __init__(self, size: int, tasks: int) -> None:
        """Raises InputError for a size or a number of tasks out of range."""
        if not 2 <= size <= LARGEST:
            raise InputError(f"grids of {size}x{size} are not supported: sizes are 2 to {LARGEST}, use arc5 or arc30")
        if not 1 <= tasks <= MOST:
            raise InputError(f"{tasks} tasks are not supported: 1 to {MOST} are, such as arc{size}x400")
        self.name, self.size, self.tasks = f"arc{size}x{tasks}", size, tasks
        self.layout = Layout(
            rows=size,
            cols=size,
            symbols=OUTSIDE,
            axes=(size, size),
            relations=((1,), (0,), (0, 1)),
            near=(0, 1),
            # Black is the background in most tasks, so only the other nine colours are interchangeable.
            symbol_kinds=(0, *(1,) * (COLOURS - 1), 2),
            rule_cells=HEADER,
            rules=tasks,
            positions=POSITIONS,
            clues_fixed=False,
        )

    def sized(self, cells: int) -> Task:
        """Returns the task whose header and grid together have ``cells`` cells; itself if there is none."""
        sizes = [size for size in range(2, LARGEST + 1) if HEADER + size * size == cells]
        return arc_of(sizes[0], self.tasks) if sizes else self

    def board(self, number: int, grid: Grid) -> NDArray[np.uint8]:
        """Returns (L,) ids of a question or an answer of task ``number``.

        Raises InputError if the grid is malformed or larger than the boards, or if there is no such task.
        """
        if not 0 <= number < self.tasks:
            raise InputError(f"task number {number} is not one of the {self.tasks} of {self.name}: use a larger model")
        if len({len(row) for row in grid}) != 1 or not all(0 <= colour < COLOURS for row in grid for colour in row):
            raise InputError("a grid is ragged, or holds something other than the colours 0 to 9: correct the task")
        if max(len(grid), len(grid[0])) > self.size:
            raise InputError(
                f"a grid has {len(grid)}x{len(grid[0])} cells, {self.name} has grids of up to "
                f"{self.size}x{self.size}: use a task with larger grids"
            )
        board = np.full((self.size, self.size), OUTSIDE, np.uint8)
        board[: len(grid), : len(grid[0])] = np.array(grid) + 1
        position = np.full(POSITIONS, OUTSIDE)
        position[0] = BLACK
        digits = [int(digit) + 1 for digit in f"{number:0{DIGITS}}"]
        return np.concatenate([np.arange(1, COLOURS + 1), position, digits, board.ravel()]).astype(np.uint8)

    def grid(self, board: Integer[Tensor, " L"]) -> Grid:
        """Returns the grid on a board: its rows and columns up to the first that lies outside."""
        cells = board[HEADER:].view(self.size, self.size)
        inside = (cells != OUTSIDE).numpy()
        rows, cols = (int(np.cumprod(inside.any(axis)).sum()) for axis in (1, 0))
        colours = (cells[:rows, :cols] - 1).clamp(0, COLOURS - 1)
        return [[int(colour) for colour in row] for row in colours]

    def named_rule(
        self, header: Integer[Tensor, "R H"]
    ) -> tuple[Integer[Tensor, " R"], Integer[Tensor, " R"], Integer[Tensor, "R V"]]:
        """Returns the task's number, the board's position, and the colour that each symbol was before symmetries."""
        palette, position, digits = torch.split(header, [COLOURS, POSITIONS, DIGITS], 1)
        symbols = torch.arange(1, OUTSIDE, device=header.device)
        # (R, V, colours) is True where the colour has become the symbol; argmax returns that colour.
        colour = (palette.unsqueeze(1) == symbols.unsqueeze(-1)).long().argmax(-1)
        decimal = colour.gather(1, (digits - 1).clamp(min=0))
        place = torch.tensor([10**power for power in reversed(range(DIGITS))], device=header.device)
        number = (decimal * place).sum(1).clamp(max=self.tasks - 1)
        outside = torch.full_like(colour[:, :1], OUTSIDE - 1)
        return number, (position == BLACK).long().argmax(1), torch.cat([colour, outside], 1)

    def parse(self, text: str) -> NDArray[np.uint8]:
        """Parses the text that ``format`` writes: the header, then the board; returns (L,) ids."""
        text = squeezed(text)
        if len(text) != self.layout.width:
            raise InputError(
                f"the board {text[:24]!r} has {len(text)} cells, {self.name} has {self.layout.width}: "
                "let `eqr data` or `eqr submit` write it"
            )
        foreign = text.strip(WRITTEN[1:])
        if foreign:
            raise InputError(
                f"cell {text.index(foreign[0]) + 1} of {self.layout.width} holds {foreign[0]!r}: only the digits 0 to "
                "9 for colours and '_' outside a grid are read"
            )
        board = np.array([WRITTEN.index(char) for char in text], np.uint8)
        palette, position = board[:COLOURS], board[COLOURS : COLOURS + POSITIONS]
        if sorted(palette) != list(range(1, OUTSIDE)) or (position == BLACK).sum() != 1:
            raise InputError(f"the header {text[:HEADER]!r} names no rule: let `eqr data` or `eqr submit` write it")
        return board

    def format(self, board: Integer[Tensor, " L"]) -> str:
        """Returns one line: colours as digits, ``_`` outside the grid."""
        return "".join(WRITTEN[symbol] for symbol in board.tolist())

    def is_solved(self, inputs: Integer[Tensor, "R L"], answers: Integer[Tensor, "R L"]) -> Bool[Tensor, " R"]:
        """Returns whether the header is unchanged and no cell is blank; only the task's author knows its rule."""
        return (inputs[:, :HEADER] == answers[:, :HEADER]).all(-1) & (answers > 0).all(-1)

    def cells(self, board: Integer[Tensor, " L"]) -> list[str]:
        """Returns the board's colours as digits, a space outside the grid."""
        return [WRITTEN[symbol].replace("_", " ") for symbol in board[HEADER:].tolist()]

    def drawn(self, puzzle: Integer[Tensor, " L"], answer: Integer[Tensor, " L"]) -> list[str]:
        """Returns the board's colours as digits, ``_`` outside the grid."""
        return [f"{char} " for char in self.format(answer)[HEADER:]]

    @cached_property
    def _turns(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """For each of the eight turns: (8, N*N) source cells of the board, (8, 8) source cells of the position."""
        places = turned(np.arange(self.size**2).reshape(self.size, self.size))
        after = [[(places == was[turn]).all(1).argmax() for was in places] for turn in places]
        # A turn takes a board from position p to after[p], so the new cell after[p] is taken from the old cell p.
        return places, np.argsort(after, 1)

    def symmetries(self, count: int, rng: np.random.Generator) -> Symmetries:
        """Turns and mirrors the grids, and renames all colours but black."""
        turn = rng.integers(POSITIONS, size=count)
        places, positions = self._turns
        cells = np.tile(np.arange(self.layout.width), (count, 1))
        cells[:, COLOURS : COLOURS + POSITIONS] = COLOURS + positions[turn]
        cells[:, HEADER:] = HEADER + places[turn]
        names = names_kept(count, OUTSIDE)
        names[:, BLACK + 1 : OUTSIDE] = rng.permuted(names[:, BLACK + 1 : OUTSIDE], axis=1)
        return Symmetries(cells, names)

    def generate(self, seed: int, least: int = 0, most: int | None = None, workers: int = 1) -> Iterator[Puzzle]:
        """Raises InputError: there is no generator."""
        raise InputError(f"{self.name} puzzles are written by people: make a set of them with `eqr data`")


@cache
def arc_of(size: int = LARGEST, tasks: int = 400) -> Arc:
    """Returns the task with grids of up to ``size`` x ``size`` and ``tasks`` rules."""
    return Arc(size, tasks)
