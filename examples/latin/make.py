"""Print Latin squares with holes, each with exactly one solution, as CSV. Imports nothing of eqr."""

import argparse
import random

import numpy as np


def latin_square(side: int, rng: random.Random) -> list[list[int]]:
    """A random square, row by row. A row that runs into a dead end starts again: by Hall's theorem some row fits."""
    rows: list[list[int]] = []
    while len(rows) < side:
        row: list[int] = []
        while len(row) < side:
            free = set(range(side)).difference(row, (above[len(row)] for above in rows))
            if not free:
                break
            row.append(rng.choice(sorted(free)))
        rows += [row] if len(row) == side else []
    return rows


def held(masks: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Masks of the symbols that at least one cell along ``axis`` may hold, and of those that at least two may hold."""
    once = twice = np.zeros_like(np.take(masks, [0], axis))
    for cell in np.split(masks, masks.shape[axis], axis):
        once, twice = once | cell, twice | (once & cell)
    return once, twice


def narrowed(masks: np.ndarray) -> np.ndarray:
    """Narrow the possibilities as far as single ones determine others, without guessing.

    ``masks`` (row, column, board): bit v is set where symbol v is possible.
    """
    while True:
        before = masks
        single = np.where(masks & (masks - 1), 0, masks)
        for axis in (0, 1):
            once, twice = held(single, axis)
            masks = masks & ~np.where(single, twice, once)
            once, twice = held(masks, axis)
            only = masks & once & ~twice
            masks = np.where(only, only, masks)
        if (masks == before).all():
            return masks


def with_holes(squares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Empty a cell, in random order, wherever every other symbol leads to a contradiction; ``squares`` (B, side, side).

    So exactly one solution is left: a second one would have another symbol in the cell emptied last.
    """
    side, boards = squares.shape[1], np.arange(len(squares))
    every = np.uint16(2**side - 1)
    masks = (1 << squares).astype(np.uint16).transpose(1, 2, 0)
    for cells in rng.permuted(np.tile(np.arange(side * side), (len(boards), 1)), axis=1).T:
        place = (*np.divmod(cells, side), boards)
        symbol, refuted = masks[place], np.ones(len(boards), bool)
        for shift in range(1, side):
            other = masks.copy()
            other[place] = (symbol << shift | symbol >> (side - shift)) & every
            other = narrowed(other)
            lines = np.concatenate([held(other, axis)[0].reshape(side, -1) for axis in (0, 1)])
            refuted &= (other == 0).any((0, 1)) | (lines != every).any(0)
        masks[place] = np.where(refuted, every, symbol)
    return np.where(masks.transpose(2, 0, 1) == every, -1, squares)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=7)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    shuffle, rng = random.Random(given.seed), np.random.default_rng(given.seed)
    print("question,answer")
    for start in range(0, given.count, 1000):
        squares = np.array([latin_square(given.side, shuffle) for _ in range(min(1000, given.count - start))])
        for pair in zip(with_holes(squares, rng), squares, strict=True):
            print(*("/".join("".join(".123456789"[v + 1] for v in row) for row in board) for board in pair), sep=",")


if __name__ == "__main__":
    main()
