"""Mazes on square boards: mark the shortest way from S to G. Knows the rules, the symmetries and how to carve mazes.

Symbols: 1 wall, 2 open, 3 start S, 4 goal G, 5 path. The answer repeats the question and marks open cells as path, so
no cell of a question is blank and every cell is answered. Steps go up, down, left and right.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Integer
from numpy.typing import NDArray
from torch import Tensor

from eqr.errors import InputError
from eqr.tasks.base import Boards, Puzzle, Task, reached
from eqr.types import Layout, Solution

WALL, OPEN, START, GOAL, PATH = range(1, 6)
IDS = {"#": WALL, ".": OPEN, " ": OPEN, "_": OPEN, "S": START, "G": GOAL, "o": PATH}
WRITTEN = "?#.SGo"
"""Symbol of each id; an open cell is a dot because spaces at the ends of a line get lost. Id 0 is no cell of a maze."""
DRAWN = ("? ", "██", "  ", "S ", "G ", "· ")
"""Two characters a cell make it about square on a terminal."""
PATIENCE = 2_000
"""Mazes without a path of the length wanted after which the search for one is given up."""


class Maze(Task):
    """Mark a shortest path from the start to the goal."""

    def __init__(self, name: str, size: int, least_path: int, most_path: int) -> None:
        """Generated paths take ``least_path`` to ``most_path`` steps; an S beside its G is one step away."""
        self.name, self.size = name, size
        self.least_path, self.most_path = least_path, most_path
        longest = 2 * (((size - 1) // 2) ** 2 - 1)  # through every node; see _doors
        if size < 5 or not 1 <= least_path <= most_path <= longest:
            raise InputError(
                f"a {size}x{size} maze with paths of {least_path} to {most_path} steps is not possible: "
                f"sizes are 5 or more, a path has at least 1 step and at this size at most {longest}"
            )
        self.layout = Layout(
            rows=size, cols=size, symbols=5, axes=(size, size), relations=((1,), (0,)), clues_stand=False
        )

    @cached_property
    def _neighbours(self) -> list[list[int]]:
        """The cells one step from each cell."""
        cells = np.pad(np.arange(self.size**2).reshape(self.size, self.size), 1, constant_values=-1)
        around = np.stack([cells[:-2, 1:-1], cells[2:, 1:-1], cells[1:-1, :-2], cells[1:-1, 2:]], -1)
        return [[near for near in four if near >= 0] for four in around.reshape(-1, 4).tolist()]

    @cached_property
    def _doors(self) -> dict[int, list[tuple[int, int]]]:
        """For each node the nodes beside it, with the cell between. Nodes are the cells on odd rows and columns."""
        odd = range(1, 2 * ((self.size - 1) // 2), 2)
        nodes = {row * self.size + col for row in odd for col in odd}
        ways = (-self.size, self.size, -1, 1)
        return {node: [(node + 2 * way, node + way) for way in ways if node + 2 * way in nodes] for node in nodes}

    def parse(self, text: str) -> NDArray[np.uint8]:
        """Read ``#``, ``S``, ``G``, ``o`` and a dot, underscore or space for open; line ends and ``/`` are ignored."""
        text = text.translate(str.maketrans("", "", "\r\n/"))
        if len(text) != self.layout.cells:
            raise InputError(
                f"maze {text[:24]!r} has {len(text)} cells, a {self.name} maze has {self.layout.cells}: "
                f"give {self.size} rows of {self.size}, '#' for each wall and '.' for each open cell"
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
        """One line of ``#``, ``.``, ``S``, ``G`` and ``o``."""
        return "".join(WRITTEN[symbol] for symbol in board.tolist())

    def is_solved(self, inputs: Integer[Tensor, "R L"], answers: Integer[Tensor, "R L"]) -> Bool[Tensor, " R"]:
        """The question stands, and the marked cells lead from S to G in as few steps as any way does."""
        stands = ((answers == inputs) | ((inputs == OPEN) & (answers == PATH))).all(-1)
        possible = stands & ((inputs == START).sum(-1) == 1) & ((inputs == GOAL).sum(-1) == 1)
        solved = torch.zeros(len(inputs), dtype=torch.bool)
        for row in possible.nonzero()[:, 0].tolist():
            solved[row] = self._is_shortest(answers[row].tolist())
        return solved

    def _is_shortest(self, answer: list[int]) -> bool:
        start, goal = answer.index(START), answer.index(GOAL)
        marked = self._distances([symbol in (PATH, GOAL) for symbol in answer], start)[goal]
        # A way through marked cells that needs each of them is the whole of what is marked.
        if marked != answer.count(PATH) + 1:
            return False
        return marked == self._distances([symbol != WALL for symbol in answer], start)[goal]

    def _distances(self, passable: Sequence[int], start: int) -> list[int]:
        """Steps from ``start`` to every cell through passable ones; -1 where no way leads."""
        neighbours, distances, queue = self._neighbours, [-1] * len(passable), [start]
        distances[start] = 0
        for cell in queue:
            steps = distances[cell] + 1
            for near in neighbours[cell]:
                if passable[near] and distances[near] < 0:
                    distances[near] = steps
                    queue.append(near)
        return distances

    def render(self, puzzle: str | Integer[Tensor, " L"], solution: Solution) -> str:
        """The maze with the path marked, ``?`` where the answer contradicts the question, and how it was reached."""
        question = self.parse(puzzle).tolist() if isinstance(puzzle, str) else puzzle.tolist()
        pairs = zip(question, solution.answer.tolist(), strict=True)
        cells = [DRAWN[new if new == old or (old, new) == (OPEN, PATH) else 0] for old, new in pairs]
        grid = "\n".join("".join(cells[at : at + self.size]).rstrip() for at in range(0, len(cells), self.size))
        return f"{grid}\n{reached(solution)}"

    def augment(self, inputs: Boards, labels: Boards, rng: np.random.Generator) -> tuple[Boards, Boards]:
        """Turn and mirror each board into one of its eight positions."""
        board = np.arange(self.layout.cells).reshape(self.size, self.size)
        positions = np.stack([np.rot90(side, turns).ravel() for side in (board, board.T) for turns in range(4)])
        cells = positions[rng.integers(len(positions), size=len(inputs))]
        return np.take_along_axis(inputs, cells, 1), np.take_along_axis(labels, cells, 1)

    def generate(self, seed: int, min_guesses: int = 0, workers: int = 1) -> Iterator[Puzzle]:
        """Mazes with one way between any two open cells; the rating is the number of steps from S to G.

        Lengths are uniform from ``least_path``, or ``min_guesses`` if that is more, to ``most_path``. One thread makes
        them whatever ``workers`` says. An even board is an odd one and a line of wall more at the bottom and the right,
        as in the Maze-Unique set of the paper (appendix C).
        """
        least = max(self.least_path, min_guesses)
        if least > self.most_path:
            raise InputError(f"a path of {self.name} has at most {self.most_path} steps, not {least}: ask for fewer")
        return self._stream(np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed))), least)

    def _stream(self, rng: np.random.Generator, least: int) -> Iterator[Puzzle]:
        while True:
            # The length is drawn first and kept until a maze has it, or short paths would be the more frequent ones.
            length = int(rng.integers(least, self.most_path + 1))
            for _ in range(PATIENCE):
                passable = self._carved(rng)
                path = self._path_of(length, passable, rng)
                if path:
                    yield _puzzle(passable, path)
                    break
            else:
                raise InputError(
                    f"none of {PATIENCE:,} mazes of {self.size}x{self.size} has a path of {length} steps: "
                    f"such are too rare to be found, take shorter paths or a larger board"
                )

    def _carved(self, rng: np.random.Generator) -> bytearray:
        """A spanning tree of the nodes by randomized depth-first search: 1 for open cells, 0 for walls."""
        passable = bytearray(self.layout.cells)
        doors = self._doors
        draws = iter(rng.random(len(doors)).tolist())
        stack = [list(doors)[int(next(draws) * len(doors))]]
        passable[stack[0]] = 1
        while stack:
            choices = [door for door in doors[stack[-1]] if not passable[door[0]]]
            if not choices:
                stack.pop()
                continue
            node, between = choices[int(next(draws) * len(choices))]
            passable[node] = passable[between] = 1
            stack.append(node)
        return passable

    def _path_of(self, length: int, passable: bytearray, rng: np.random.Generator) -> list[int]:
        """The cells of a random path of ``length`` steps in a tree, from start to goal; empty if it has none."""
        cells = rng.permutation(np.flatnonzero(np.frombuffer(passable, np.uint8))).tolist()
        # The cell farthest from any cell of a tree ends a longest path, so two searches tell whether there is one.
        distances = self._distances(passable, cells[0])
        if max(self._distances(passable, distances.index(max(distances)))) < length:
            return []
        for start in cells:
            distances = self._distances(passable, start)
            goals = [cell for cell in cells if distances[cell] == length]  # in random order
            if goals:
                break
        path = [goals[0]]
        while distances[path[-1]] > 0:
            path.append(next(near for near in self._neighbours[path[-1]] if distances[near] == length - len(path)))
        return path[::-1]


def _puzzle(passable: bytearray, path: list[int]) -> Puzzle:
    """The maze with S and G at the ends of ``path``."""
    question = np.where(np.frombuffer(passable, np.uint8), OPEN, WALL).astype(np.uint8)
    question[path[0]], question[path[-1]] = START, GOAL
    answer = question.copy()
    answer[path[1:-1]] = PATH
    return Puzzle(question, answer, len(path) - 1)
