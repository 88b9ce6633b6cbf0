"""Counts the solutions of a Sudoku exactly, without compiled code. Never used to answer a puzzle.

Contract: boards are flat uint8 arrays, 0 for a blank and 1..V for symbols; the candidates of a cell are the bits of
one integer. A board of the search gives its cells their candidates. The search deduces what naked and hidden singles
allow, then splits the cell with fewest candidates. ``sudoku_search`` is faster, but numba compiles it for up to a
minute first, which is too long for one sentence about one puzzle.
"""

import math
import time

import numpy as np
from numpy.typing import NDArray

from eqr.tasks.base import Boards

Masks = NDArray[np.int64]
"""(N, L) candidates of each cell of N boards."""
AT_A_TIME = 256
"""Most boards deduced at a time: numpy takes about as long for one board as for fifty."""


def count_solutions(board: Boards, units: NDArray[np.int64], most: int = 2, seconds: float = 1.0) -> int | None:
    """Returns the number of solutions of ``board`` (L,), at most ``most``; None if ``seconds`` were too few.

    ``units`` (3V, V) holds the cells of every row, column and box. A board whose clues repeat has no solution.
    """
    deadline = time.monotonic() + seconds
    side = units.shape[1]
    every = (1 << side) - 1
    start = np.where(board > 0, 1 << np.maximum(board.astype(np.int64) - 1, 0), every)
    found, width, stack = 0, 1, start[None]
    # Taking from the end of the stack goes into depth first, so the stack stays short: at most ``width * side`` boards
    # for each blank. The width grows with the search, since most puzzles need a single board.
    while len(stack):
        stack, boards = stack[:-width], stack[-width:]
        deduced = _deduced(boards, units, deadline)
        if deduced is None:
            return None
        sizes = np.bitwise_count(deduced)
        solved = (sizes == 1).all(1)
        found += int(solved.sum())
        if found >= most:
            return most
        stack = np.concatenate([stack, _split(deduced[~solved], sizes[~solved], side)])
        width = min(2 * width, AT_A_TIME)
    return found


def _deduced(boards: Masks, units: NDArray[np.int64], deadline: float) -> Masks | None:
    """Returns the boards without contradictions after all naked and hidden singles; None after the deadline."""
    every = (1 << units.shape[1]) - 1
    units_of_cell = np.stack([np.flatnonzero((units == cell).any(1)) for cell in range(boards.shape[1])])
    while True:
        if time.monotonic() > deadline:
            return None
        in_units = boards[:, units]
        singles = np.where(np.bitwise_count(in_units) == 1, in_units, 0)
        taken = np.bitwise_or.reduce(singles, -1)
        once, twice = taken * 0, taken * 0
        for place in range(units.shape[1]):
            twice |= once & in_units[..., place]
            once |= in_units[..., place]
        # Different symbols are different bits, so the sum of singles exceeds their union if a symbol is there twice.
        possible = ((once == every) & (singles.sum(-1) == taken)).all(1)
        if not possible.all():
            boards, taken, once, twice = (array[possible] for array in (boards, taken, once, twice))
        forbidden = np.bitwise_or.reduce(taken[:, units_of_cell], -1)
        hidden = boards & np.bitwise_or.reduce((once & ~twice)[:, units_of_cell], -1)
        left = np.where(np.bitwise_count(boards) == 1, boards, boards & ~forbidden)
        # A cell that is the only place of two symbols keeps the first; the unit then lacks the other symbol.
        left = np.where(hidden > 0, left & hidden & -hidden, left)
        if (left == boards).all():
            return boards
        boards = left


def _split(boards: Masks, sizes: NDArray[np.uint8], side: int) -> Masks:
    """Returns the boards with the cell of fewest candidates, of those with several, set to each candidate in turn."""
    cells = np.where(sizes > 1, sizes, math.inf).argmin(1)[:, None]
    candidates = np.take_along_axis(boards, cells, 1)
    bits = 1 << np.arange(side)
    board, symbol = np.nonzero(candidates & bits)
    chosen = boards[board]
    np.put_along_axis(chosen, cells[board], bits[symbol][:, None], 1)
    return chosen
