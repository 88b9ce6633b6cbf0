"""Makes Sudokus of any size with a stated number of clues and one solution, by the exact solver (extra ``csp``)."""

import random
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from eqr.errors import InputError
from eqr.tasks.base import Puzzle
from eqr.tasks.exact import Exact
from eqr.tasks.problem import Relation

MOST_CONFLICTS = 60_000
"""Conflicts of the solver between two puzzles before the search gives up; on 25x25 they take half a minute."""
MOST_TRIES = 1000
"""Solutions to start from between two puzzles; on small boards hardly any has a conflict."""


def puzzles_with(clues: int, name: str, units: NDArray[np.int64]) -> Iterator[Puzzle]:
    """Yields puzzles with ``clues`` clues and one solution without end; ``name`` is the seed.

    Starts from a random solution and removes clues in random order, each if the solution stays the only one.
    ``units`` (3V, V) holds the cells of every row, column and box. Raises InputError if the next puzzle takes more than
    MOST_CONFLICTS or MOST_TRIES.
    """
    side = units.shape[1]
    blank: list[str | None] = [None] * side * side
    values = [str(symbol + 1) for symbol in range(side)]
    rng, tries, conflicts = random.Random(name), 0, 0
    with Exact(len(blank), values, {"row": Relation(groups=tuple(map(tuple, units.tolist())))}) as exact:
        while tries < MOST_TRIES and exact.conflicts - conflicts < MOST_CONFLICTS:
            tries += 1
            solution = exact.answer(blank, rng)
            question = exact.thinned(solution, rng, clues) if solution else ()
            if solution and len(blank) - question.count(None) == clues:
                yield Puzzle(_ids(question), _ids(solution), rating=len(blank) - clues)
                tries, conflicts = 0, exact.conflicts
    raise InputError(f"no {side}x{side} Sudoku with {clues} clues was found in a bounded search: ask for more clues")


def _ids(board: Sequence[str | None]) -> NDArray[np.uint8]:
    return np.array([int(value or 0) for value in board], np.uint8)
