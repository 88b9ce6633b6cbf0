"""What a puzzle is. Knows symbols, boards and rules; knows nothing of models, files or training."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Integer
from numpy.typing import NDArray
from torch import Tensor

from eqr.types import Ids, Layout, Solution

Boards = NDArray[np.uint8]
"""(B, L) ids on the data side, where torch is not needed."""


def squeezed(text: str) -> str:
    """``text`` without white space and the lines people draw into boards (``|``, ``+``, ``-``)."""
    return "".join(char for char in text if not char.isspace() and char not in "|+-")


def reached(solution: Solution) -> str:
    """How an answer was reached, in one line for people."""
    state = "valid" if solution.valid else "NOT valid"
    settled = "converged" if solution.converged else "not converged"
    return f"{state}, {settled}, residual {solution.residual:.1e}, depth {solution.depth}"


class Puzzle(NamedTuple):
    """A generated puzzle with its one solution."""

    question: NDArray[np.uint8]
    answer: NDArray[np.uint8]
    rating: int
    """Difficulty; its unit is the task's."""


class Task(ABC):
    """A family of puzzles on one board shape."""

    name: str
    """Key in ``TASKS``."""
    layout: Layout
    """Board shape and relations between cells."""

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
        return torch.from_numpy(np.array(boards, np.int64).reshape(len(boards), self.layout.cells))

    @abstractmethod
    def is_solved(self, inputs: Integer[Tensor, "R L"], answers: Integer[Tensor, "R L"]) -> Bool[Tensor, " R"]:
        """Whether each answer obeys all rules and keeps the clues. Needs no label."""

    @abstractmethod
    def render(self, puzzle: str | Integer[Tensor, " L"], solution: Solution) -> str:
        """A board for people, with what is known of how it was reached."""

    @abstractmethod
    def augment(self, inputs: Boards, labels: Boards, rng: np.random.Generator) -> tuple[Boards, Boards]:
        """Apply a random symmetry of the task to each row; new arrays."""

    @abstractmethod
    def generate(self, seed: int, min_guesses: int = 0, workers: int = 1) -> Iterator[Puzzle]:
        """Endless stream of puzzles, a function of ``seed`` alone."""
