"""Paths through square boards, and mazes carved out of them. Knows which cells are passable; no symbols, no tensors.

Contract: cells are numbered row by row; ``passable`` holds a truth value for each cell; steps go up, down, left and
right. A carved maze is perfect: exactly one path leads from any open cell to any other.
"""

from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np

from eqr.errors import InputError

PATIENCE = 2_000
"""Mazes to try for a path of the wanted length before the search gives up."""


@cache
def _neighbours(size: int) -> list[list[int]]:
    """Returns, for each cell, the cells one step away."""
    cells = np.pad(np.arange(size**2).reshape(size, size), 1, constant_values=-1)
    around = np.stack([cells[:-2, 1:-1], cells[2:, 1:-1], cells[1:-1, :-2], cells[1:-1, 2:]], -1)
    return [[near for near in four if near >= 0] for four in around.reshape(-1, 4).tolist()]


@cache
def _doors(size: int) -> dict[int, list[tuple[int, int]]]:
    """Returns, for each node, its neighbours and the cells between. Nodes are the cells in odd rows and columns."""
    odd = range(1, 2 * ((size - 1) // 2), 2)
    nodes = {row * size + col for row in odd for col in odd}
    ways = (-size, size, -1, 1)
    return {node: [(node + 2 * way, node + way) for way in ways if node + 2 * way in nodes] for node in nodes}


def open_cells(size: int) -> int:
    """Returns the number of open cells of a carved maze: its nodes, and the cells of the tree that joins them."""
    return 2 * ((size - 1) // 2) ** 2 - 1


def distances(passable: Sequence[int], start: int, size: int) -> list[int]:
    """Returns the steps from ``start`` to every cell through passable cells; -1 for a cell out of reach."""
    neighbours, steps_to, queue = _neighbours(size), [-1] * len(passable), [start]
    steps_to[start] = 0
    for cell in queue:
        steps = steps_to[cell] + 1
        for near in neighbours[cell]:
            if passable[near] and steps_to[near] < 0:
                steps_to[near] = steps
                queue.append(near)
    return steps_to


def carved(size: int, rng: np.random.Generator) -> bytearray:
    """Carves a spanning tree of the nodes by randomized depth-first search; returns 1 for open cells, 0 for walls."""
    passable, doors = bytearray(size**2), _doors(size)
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


def path_of(length: int, passable: bytearray, size: int, rng: np.random.Generator) -> list[int]:
    """Returns the cells of a random path of ``length`` steps in a tree, from start to goal; empty if there is none."""
    cells = rng.permutation(np.flatnonzero(np.frombuffer(passable, np.uint8))).tolist()
    # In a tree, the cell farthest from an arbitrary cell is one end of a longest path, and the cell farthest from that
    # end is the other end. Any cell's greatest distance is to one of the two ends, so they show which cells can start.
    first = distances(passable, cells[0], size)
    one_end = distances(passable, first.index(max(first)), size)
    if max(one_end) < length:
        return []
    other_end = distances(passable, one_end.index(max(one_end)), size)
    start = next(cell for cell in cells if max(one_end[cell], other_end[cell]) >= length)
    steps = distances(passable, start, size)
    path = [next(cell for cell in cells if steps[cell] == length)]
    while steps[path[-1]] > 0:
        path.append(next(near for near in _neighbours(size)[path[-1]] if steps[near] == length - len(path)))
    return path[::-1]


def mazes(size: int, seed: int, least: int, most: int) -> Iterator[tuple[bytearray, list[int]]]:
    """Yields mazes without end (passable cells, cells of the path), with paths of ``least`` to ``most`` steps.

    Raises InputError if paths of the length drawn are too rare to find.
    """
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
    while True:
        # The length is drawn first and kept until a maze has such a path; otherwise short paths would be more frequent.
        length = int(rng.integers(least, most + 1))
        for _ in range(PATIENCE):
            passable = carved(size, rng)
            path = path_of(length, passable, size, rng)
            if path:
                yield passable, path
                break
        else:
            raise InputError(
                f"none of {PATIENCE:,} mazes of {size}x{size} has a path of {length} steps: "
                f"such mazes are too rare to find, use shorter paths or a larger board"
            )
