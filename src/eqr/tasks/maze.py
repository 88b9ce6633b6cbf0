"""Mazes on square boards: mark the shortest path from S to G. Knows the rules; ``maze_carving`` makes the mazes.

Symbols: 1 wall, 2 open, 3 start S, 4 goal G, 5 path. The answer repeats the question and marks open cells as path, so
no cell of a question is blank and every cell is answered. Steps go up, down, left and right.
"""

import re
from collections.abc import Iterator
from functools import cache
from math import isqrt

import numpy as np
import torch
from jaxtyping import Bool, Integer
from numpy.typing import NDArray
from torch import Tensor

from eqr.errors import InputError
from eqr.evidence import Solution
from eqr.tasks.base import SIDE, Puzzle, Symmetries, Task, names_kept, painted, reached, turned
from eqr.tasks.maze_carving import distances, mazes, open_cells
from eqr.types import Layout

WALL, OPEN, START, GOAL, PATH = range(1, 6)
IDS = {"#": WALL, ".": OPEN, " ": OPEN, "_": OPEN, "S": START, "G": GOAL, "o": PATH}
WRITTEN = "?#.SGo"
"""Character of each id; an open cell is a dot because spaces at the ends of a line get lost. No cell has id 0."""
DRAWN = ("? ", "██", "  ", "S ", "G ", "· ")
"""Two characters of each id, about square on a terminal; ``?`` where an answer contradicts its question."""
COLOURS = np.array(
    [(214, 64, 159), (43, 48, 59), (250, 247, 240), (26, 127, 75), (190, 48, 48), (244, 169, 64)], np.uint8
)
"""Red, green and blue of each id."""
LETTERS = {
    START: (".####", "#....", ".###.", "....#", "####."),
    GOAL: (".####", "#....", "#..##", "#...#", ".####"),
}
"""Letters that mark start and goal in a picture, where their colours may look alike."""
SMALLEST, LARGEST = 5, 99
PAPER = 30
"""Size of the paper's mazes, whose paths take 100 to 140 steps (EqR appendix C)."""


class Maze(Task):
    """Mark a shortest path from the start to the goal."""

    has_rules = True

    def __init__(self, size: int) -> None:
        """Raises InputError for a size out of range."""
        if not SMALLEST <= size <= LARGEST:
            raise InputError(
                f"a maze of {size}x{size} is not supported: sizes are {SMALLEST} to {LARGEST}, such as maze30"
            )
        self.name, self.size = f"maze{size}", size
        self.longest = open_cells(size) - 1
        """Steps of a path through every open cell."""
        # Paths longer than the 0.9th power of the open cells are too rare to find.
        self.usual = (100, 140) if size == PAPER else (size - 2, int(open_cells(size) ** 0.9))
        """Fewest and most steps of generated paths by default."""
        self.layout = Layout(
            rows=size,
            cols=size,
            symbols=5,
            axes=(size, size),
            relations=((1,), (0,)),
            near=(0, 1),
            symbol_kinds=tuple(range(5)),
            clues_fixed=False,
        )

    def sized(self, cells: int) -> Task:
        """Returns the maze of ``cells`` cells if they form a square of a supported size; else itself."""
        size = isqrt(cells)
        return maze_of(size) if size * size == cells and SMALLEST <= size <= LARGEST else self

    def larger(self) -> Task:
        """Returns the maze with one more node along each side."""
        return maze_of(self.size + 2)

    def cells_in(self, text: str) -> int:
        """Counts all characters but row ends, spaces included: a space is an open cell."""
        return sum(map(len, _rows(text)))

    def lines_of(self, line: str) -> int:
        """Returns 1 if ``line`` is a whole maze (a square with S and G); else the rows of a maze of that width."""
        cells = self.cells_in(line)
        square = self.sized(cells).layout.cells == cells
        whole = square and "S" in line and "G" in line
        return 1 if whole or len(_rows(line)) > 1 or cells > LARGEST else max(1, cells)

    def parse(self, text: str) -> NDArray[np.uint8]:
        """Parses ``#``, ``S``, ``G``, ``o``, and a dot, underscore or space for an open cell, into (L,) ids.

        The maze is one line, or rows that end with a line end or ``/``.
        """
        rows = _rows(text)
        uneven = next((number for number, row in enumerate(rows, 1) if len(row) != len(rows)), 0)
        if len(rows) > 1 and uneven:
            raise InputError(
                f"row {uneven} of the maze has {len(rows[uneven - 1])} cells, and there are {len(rows)} rows: "
                f"give as many cells in each row as there are rows, '.' for each open cell"
            )
        text = "".join(rows)
        if len(text) != self.layout.cells:
            raise InputError(
                f"maze {text[:24]!r} has {len(text)} cells, a {self.name} maze has {self.layout.cells}: "
                f"give {self.size} rows of {self.size}, or another square of {SMALLEST}x{SMALLEST} to "
                f"{LARGEST}x{LARGEST}, '#' for each wall and '.' for each open cell"
            )
        for cell, char in enumerate(text):
            if char not in IDS:
                raise InputError(
                    f"{self._place(cell)} holds {char!r}: only '#' for walls, '.' for open cells, "
                    f"'S', 'G' and 'o' for the path are read"
                )
        for char, other in ("SG", "GS"):
            if char not in text:
                raise InputError(f"the maze has no {char}: exactly one S and one G are needed, add the {char}")
            if text.count(char) > 1:
                second = self._place(text.index(char, text.index(char) + 1))
                raise InputError(
                    f"the maze has {text.count(char)} {char}, the second in {second}: "
                    f"exactly one {char} and one {other} are needed"
                )
        return np.array([IDS[char] for char in text], np.uint8)

    def _place(self, cell: int) -> str:
        row, col = divmod(cell, self.size)
        return f"row {row + 1}, column {col + 1}"

    def format(self, board: Integer[Tensor, " L"]) -> str:
        """Returns one line of ``#``, ``.``, ``S``, ``G`` and ``o``."""
        return "".join(WRITTEN[symbol] for symbol in board.tolist())

    def is_solved(self, inputs: Integer[Tensor, "R L"], answers: Integer[Tensor, "R L"]) -> Bool[Tensor, " R"]:
        """Returns whether the question is unchanged and the marked cells are a shortest path from S to G."""
        stands = ((answers == inputs) | ((inputs == OPEN) & (answers == PATH))).all(-1)
        possible = stands & ((inputs == START).sum(-1) == 1) & ((inputs == GOAL).sum(-1) == 1)
        solved = torch.zeros(len(inputs), dtype=torch.bool)
        for row in possible.nonzero()[:, 0].tolist():
            solved[row] = self._is_shortest(answers[row].tolist())
        return solved

    def _is_shortest(self, answer: list[int]) -> bool:
        start, goal = answer.index(START), answer.index(GOAL)
        marked = distances([symbol in (PATH, GOAL) for symbol in answer], start, self.size)[goal]
        # If the shortest path through marked cells uses all of them, nothing else is marked.
        if marked != answer.count(PATH) + 1:
            return False
        return marked == distances([symbol != WALL for symbol in answer], start, self.size)[goal]

    def about_question(self, question: Integer[Tensor, " L"]) -> str | None:
        """Returns a sentence if no way leads from S to G, or several of the shortest."""
        cells = question.tolist()
        passable, start, goal = [symbol != WALL for symbol in cells], cells.index(START), cells.index(GOAL)
        before, behind = distances(passable, start, self.size), distances(passable, goal, self.size)
        if before[goal] < 0:
            return "no way leads from S to G"
        on_shortest = sum(there + on == before[goal] for there, on in zip(before, behind, strict=True))
        return "several shortest paths lead from S to G" if on_shortest > before[goal] + 1 else None

    def render(self, puzzle: str | Integer[Tensor, " L"], solution: Solution) -> str:
        """Returns text: the maze, ``?`` where the answer contradicts the question, and how the answer was reached."""
        question = torch.from_numpy(self.parse(puzzle)) if isinstance(puzzle, str) else puzzle
        cells = self.drawn(question, solution.answer)
        grid = "\n".join("".join(cells[at : at + self.size]).rstrip() for at in range(0, len(cells), self.size))
        return f"{grid}\n{reached(solution)}"

    def drawn(self, puzzle: Integer[Tensor, " L"], answer: Integer[Tensor, " L"]) -> list[str]:
        """Returns each cell as two characters, ``?`` where the answer contradicts the question."""
        return [DRAWN[symbol] for symbol in _stands(puzzle, answer).tolist()]

    def picture(self, puzzle: Integer[Tensor, " L"], answer: Integer[Tensor, " L"]) -> NDArray[np.uint8]:
        """Returns an (H, W, 3) picture of the maze with the path and both ends marked; see COLOURS."""
        symbols = _stands(puzzle, answer).view(self.size, self.size).numpy()
        picture = painted(COLOURS[symbols])
        for end, letter in LETTERS.items():
            ink = np.array([[mark == "#" for mark in row] for row in letter]).repeat(2, 0).repeat(2, 1)
            for row, col in np.argwhere(symbols == end) * SIDE + 1:
                picture[row : row + len(ink), col : col + len(ink)][ink] = COLOURS[OPEN]
        return picture

    def symmetries(self, count: int, rng: np.random.Generator) -> Symmetries:
        """Turns and mirrors each board into one of its eight positions."""
        positions = turned(np.arange(self.layout.cells).reshape(self.size, self.size))
        cells = positions[rng.integers(len(positions), size=count)]
        return Symmetries(cells, names_kept(count, self.layout.symbols))

    def generate(self, seed: int, least: int = 0, most: int | None = None, workers: int = 1) -> Iterator[Puzzle]:
        """Returns mazes with one path between any two open cells; the rating is the number of steps from S to G.

        Lengths are uniform from ``least`` to ``most``, by default those usual for the size. One thread makes the mazes,
        whatever ``workers`` is. A board of even size is one of odd size with another line of wall at the bottom and the
        right, as in the Maze-Unique set of the paper (appendix C).
        """
        length = f"{least} or more" if most is None else f"{least} to {most}"
        most = max(self.usual[1], least) if most is None else most
        least = least or (self.usual[0] if self.usual[0] <= most else 1)
        if not 1 <= least <= most <= self.longest:
            raise InputError(
                f"paths of {length} steps in a {self.name} are not possible: "
                f"a path has at least 1 step and at this size at most {self.longest}"
            )
        return (_puzzle(passable, path) for passable, path in mazes(self.size, seed, least, most))


@cache
def maze_of(size: int = PAPER) -> Maze:
    """Returns the task of ``size`` x ``size`` mazes."""
    return Maze(size)


def _rows(text: str) -> list[str]:
    """Splits ``text`` at line ends and slashes; keeps spaces, which are open cells."""
    return [row for row in re.split(r"[\r\n/]+", text) if row]


def _stands(puzzle: Integer[Tensor, " L"], answer: Integer[Tensor, " L"]) -> Integer[Tensor, " L"]:
    """Returns the answer, 0 where it contradicts the question."""
    return torch.where((answer == puzzle) | ((puzzle == OPEN) & (answer == PATH)), answer, 0)


def _puzzle(passable: bytearray, path: list[int]) -> Puzzle:
    """Returns the maze with S and G at the ends of ``path``."""
    question = np.where(np.frombuffer(passable, np.uint8), OPEN, WALL).astype(np.uint8)
    question[path[0]], question[path[-1]] = START, GOAL
    answer = question.copy()
    answer[path[1:-1]] = PATH
    return Puzzle(question, answer, len(path) - 1)
