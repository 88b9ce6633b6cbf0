"""Print Sudokus of several sizes, one answer each, as problems of one family.

python examples/csp/sudoku.py --count 1000 --seed 0 --sides 4 6 9 16 > sudoku_sizes.jsonl
"""

import argparse
import random
import sys
from collections.abc import Iterator
from itertools import cycle, islice

from eqr.data.problems import write_problems
from eqr.tasks import task_named
from eqr.tasks.problem import Problem, Relation
from eqr.tasks.sudoku import Sudoku, units_of

CLUES = {4: (4, 8), 6: (9, 16), 9: (23, 36), 16: (140, 170), 25: (370, 420)}
"""Fewest and most clues of a board, by its side."""


def relations_of(task: Sudoku) -> dict[str, Relation]:
    """The first units are rows, then come columns, then boxes."""
    units, side = [tuple(unit) for unit in units_of(task.box_rows, task.box_cols).tolist()], task.side
    named = {"row": units[:side], "column": units[side : 2 * side], "box": units[2 * side :]}
    return {name: Relation(groups=tuple(groups)) for name, groups in named.items()}


def sudokus(side: int, clues: tuple[int, int], seed: int) -> Iterator[Problem]:
    """Yields boards without end; the number of clues differs from one to the next."""
    task, rng = task_named(f"sudoku{side}" if side != 9 else "sudoku"), random.Random(f"sudoku-{side}-{seed}")
    assert isinstance(task, Sudoku)
    values, relations = tuple(str(value + 1) for value in range(side)), relations_of(task)
    # Seeds of their own, or boards with different numbers of clues would have the same solutions.
    makers = {count: task.generate_with(count, 1000 * seed + count) for count in range(clues[0], clues[1] + 1)}
    while True:
        made = next(makers[rng.randint(*clues)])
        question, answer = ([str(value) if value else None for value in board] for board in made[:2])
        yield Problem(
            question=tuple(question),
            answer=tuple(str(value) for value in answer),
            values=values,
            relations=relations,
            shape=(side, side),
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sides", type=int, nargs="+", default=[4, 6, 9, 16], help="sides of the boards, in turn")
    parser.add_argument("--clues", type=int, nargs=2, help="fewest and most clues of every board")
    given = parser.parse_args()
    makers = [sudokus(side, given.clues or CLUES[side], given.seed) for side in given.sides]
    write_problems((next(maker) for maker in islice(cycle(makers), given.count)), sys.stdout)
