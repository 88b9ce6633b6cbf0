"""A bitmask Sudoku solver and a generator of minimal puzzles, compiled by numba.

Contract: boards are flat uint8 arrays, 0 for a blank and 1..V for symbols; the candidates of a cell are the bits of
one integer. The solver propagates naked and hidden singles and branches on the first cell with fewest candidates. A
puzzle's rating is the number of branches it tries until uniqueness is proved. Nothing here knows of tensors or models.
"""

import math
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from eqr.errors import InputError
from eqr.tasks.base import Puzzle

Board = NDArray[np.uint8]
_compiled = partial(njit, cache=True, nogil=True)  # nogil: worker threads generate side by side

PATIENCE, LATER_PATIENCE = 50_000, 1_000_000
"""Puzzles to try without finding one in the wanted range before the search gives up: at first, which takes a core about
a minute, and once one has been found. A set of 1,000 puzzles that are rarer than 1 in 50,000 would take half a day."""


class Geometry(NamedTuple):
    """Which cells of a board constrain each other."""

    units: NDArray[np.int64]
    """(3V, V) the cells of every row, column and box."""
    peers: NDArray[np.int64]
    """(L, P) for each cell, the other cells that share a unit with it."""


def geometry(units: NDArray[np.int64]) -> Geometry:
    """Returns the geometry of a board with these ``units`` (3V, V)."""
    cells = range(units.max() + 1)
    peers = [sorted({int(c) for unit in units if cell in unit for c in unit} - {cell}) for cell in cells]
    return Geometry(units, np.array(peers))


@_compiled()
def _propagate(candidates, done, queue, waiting, units, peers):  # type: ignore[no-untyped-def]
    """Applies naked and hidden singles until nothing changes; returns False on a contradiction."""
    side = units.shape[1]
    every = (1 << side) - 1
    while True:
        while waiting > 0:
            waiting -= 1
            cell = queue[waiting]
            if done[cell]:
                continue
            done[cell] = 1
            bit = candidates[cell]
            for peer in peers[cell]:
                if candidates[peer] & bit:
                    left = candidates[peer] ^ bit
                    candidates[peer] = left
                    if left == 0:
                        return False
                    if left & (left - 1) == 0:  # one bit: a naked single
                        queue[waiting] = peer
                        waiting += 1
        for u in range(units.shape[0]):
            once, twice = 0, 0
            for k in range(side):
                mask = candidates[units[u, k]]
                twice |= once & mask
                once |= mask
            if once != every:
                return False
            hidden = once & ~twice  # symbols that only one cell of the unit can take
            for k in range(side):
                cell = units[u, k]
                bit = candidates[cell] & hidden
                if bit and not done[cell]:
                    if bit & (bit - 1):  # two symbols have this as their only cell
                        return False
                    candidates[cell] = bit
                    queue[waiting] = cell
                    waiting += 1
            if waiting > 0:
                break
        if waiting == 0:
            return True


@_compiled()
def _load(board, candidates, done, queue, units, peers):  # type: ignore[no-untyped-def]
    """Starts from the clues of ``board`` and propagates them; returns False if they contradict each other."""
    every = (1 << units.shape[1]) - 1
    waiting = 0
    for cell in range(board.shape[0]):
        done[cell] = 0
        candidates[cell] = every
        if board[cell] > 0:
            candidates[cell] = 1 << (board[cell] - 1)
            queue[waiting] = cell
            waiting += 1
    return _propagate(candidates, done, queue, waiting, units, peers)


@_compiled()
def _search(candidates, done, queue, units, peers, limit, shuffle, rng, solution):  # type: ignore[no-untyped-def]
    """Searches depth-first from level 0 of the stacks; returns (solutions found up to ``limit``, branches tried)."""
    cells, side = candidates.shape[1], units.shape[1]
    branch_cell = np.empty(cells + 1, np.int64)
    untried = np.empty(cells + 1, np.int64)
    solutions, guesses, level = 0, 0, 0
    descend = True
    while level >= 0:
        if descend:
            fewest, cell = side + 1, -1
            for c in range(cells):
                if not done[level, c]:
                    count = 0
                    mask = candidates[level, c]
                    while mask:
                        mask &= mask - 1
                        count += 1
                    if count < fewest:
                        fewest, cell = count, c
                        if count == 2:  # no open cell has fewer after propagation
                            break
            if cell < 0:
                solutions += 1
                solution[:] = candidates[level]
                if solutions >= limit:
                    break
                level -= 1
                descend = False
                continue
            branch_cell[level], untried[level] = cell, candidates[level, cell]
        mask = untried[level]
        if mask == 0:
            level -= 1
            descend = False
            continue
        bit = mask & -mask
        if shuffle:  # reservoir sampling: every candidate is equally likely
            count = 0
            while mask:
                count += 1
                if rng.random() * count < 1.0:
                    bit = mask & -mask
                mask &= mask - 1
        untried[level] ^= bit
        guesses += 1
        candidates[level + 1] = candidates[level]
        done[level + 1] = done[level]
        cell = branch_cell[level]
        candidates[level + 1, cell] = bit
        queue[0] = cell
        descend = _propagate(candidates[level + 1], done[level + 1], queue, 1, units, peers)
        if descend:
            level += 1
    return solutions, guesses


@_compiled()
def _solve(board, units, peers, limit, shuffle, rng, answer):  # type: ignore[no-untyped-def]
    """Solves ``board`` into ``answer``; returns (solutions found up to ``limit``, branches tried)."""
    cells = board.shape[0]
    candidates = np.empty((cells + 1, cells), np.int64)
    done = np.empty((cells + 1, cells), np.uint8)
    queue = np.empty(2 * cells, np.int64)
    if not _load(board, candidates[0], done[0], queue, units, peers):
        return 0, 0
    solution = np.zeros(cells, np.int64)
    solutions, guesses = _search(candidates, done, queue, units, peers, limit, shuffle, rng, solution)
    for cell in range(cells):
        symbol, bit = 0, solution[cell]
        while bit:
            symbol += 1
            bit >>= 1
        answer[cell] = symbol
    return solutions, guesses


@_compiled()
def _generate(units, peers, rng, question, answer):  # type: ignore[no-untyped-def]
    """Fills a board at random, then removes clues in random order while the solution stays unique; returns the rating.

    The puzzle goes into ``question``, its solution into ``answer``.
    """
    cells = question.shape[0]
    question[:] = 0
    _solve(question, units, peers, 1, True, rng, answer)
    question[:] = answer
    order = np.arange(cells)
    rng.shuffle(order)
    candidates = np.empty((cells + 1, cells), np.int64)
    done = np.empty((cells + 1, cells), np.uint8)
    queue = np.empty(2 * cells, np.int64)
    solution = np.empty(cells, np.int64)
    for cell in order:
        clue = question[cell]
        question[cell] = 0
        # The solution stays unique without this clue if no solution has another symbol in the clue's cell.
        if _load(question, candidates[0], done[0], queue, units, peers) and candidates[0, cell] != 1 << (clue - 1):
            candidates[0, cell] &= ~(1 << (clue - 1))
            others, _ = _search(candidates, done, queue, units, peers, 1, False, rng, solution)
            if others:
                question[cell] = clue
    return _solve(question, units, peers, 2, False, rng, solution)[1]


def _rng(*key: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))


def solve_board(board: Board, geo: Geometry, limit: int = 2) -> tuple[int, Board]:
    """Returns the number of solutions of ``board`` (L,), up to ``limit``, and the last one found (zeros if none)."""
    answer = np.zeros_like(board)
    solutions, _ = _solve(board, geo.units, geo.peers, limit, False, _rng(0), answer)
    return int(solutions), answer


def generate_one(geo: Geometry, seed: int, index: int) -> Puzzle:
    """Returns the minimal puzzle number ``index`` of the stream ``seed``."""
    question, answer = (np.zeros(len(geo.peers), np.uint8) for _ in range(2))
    rating = _generate(geo.units, geo.peers, _rng(seed, index), question, answer)
    return Puzzle(question, answer, int(rating))


def must_compile(function: Any = _generate) -> bool:
    """Returns whether numba compiles ``function`` at its next call, because no file holds the compiled code yet.

    Does not notice that a file was made for another kind of processor, which numba compiles for again.
    """
    if not hasattr(function, "stats") or function.signatures:
        return False  # numba is switched off, or this process has compiled or loaded the function
    source, folder = Path(function.py_func.__code__.co_filename), Path(function.stats.cache_path)
    kept = folder.glob(f"{source.stem}.{function.__name__}-*.nbi")
    # numba compiles again if the source is newer.
    return not any(index.stat().st_mtime >= source.stat().st_mtime for index in kept)


@cache
def say_once_that_it_compiles() -> None:
    """Tells somebody at a terminal why the first puzzle takes long, if it does."""
    if sys.stderr.isatty() and must_compile():
        print("compiling the generator of Sudokus, once; this takes up to a minute", file=sys.stderr)


def generate(geo: Geometry, seed: int, least: int = 0, most: int | None = None, workers: int = 1) -> Iterator[Puzzle]:
    """Yields puzzles rated ``least`` to ``most`` without end; the stream does not depend on the number of ``workers``.

    Raises InputError if such puzzles are too rare to find (PATIENCE).
    """
    chunk, upper = 64, math.inf if most is None else most

    def block(number: int) -> list[Puzzle]:
        generated = (generate_one(geo, seed, i) for i in range(number * chunk, (number + 1) * chunk))
        return [puzzle for puzzle in generated if least <= puzzle.rating <= upper]

    with ThreadPoolExecutor(workers) as pool:
        first, last_found, patience = 0, 0, PATIENCE
        while True:
            for number, puzzles in enumerate(pool.map(block, range(first, first + workers)), first):
                yield from puzzles
                if puzzles:
                    last_found, patience = number, LATER_PATIENCE
            first += workers
            if (first - last_found) * chunk > patience:
                wanted = f"{least:,} guesses or more" if most is None else f"{least:,} to {most:,} guesses"
                raise InputError(
                    f"none of {patience:,} puzzles tried in a row needs {wanted}: such puzzles are too rare to find, "
                    "lower --least or widen the range"
                )
