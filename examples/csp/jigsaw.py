"""Print jigsaw Sudokus, one answer each: `python examples/csp/jigsaw.py --count 1000 --seed 0 > jigsaw.jsonl`."""

import argparse
import random
import sys
from functools import cache

from eqr.data.problems import write_problems
from eqr.tasks.exact import Exact
from eqr.tasks.problem import Problem, Relation


@cache
def neighbours(cell: int, side: int) -> set[int]:
    near = {cell - side, cell + side, cell - (cell % side > 0), cell + ((cell + 1) % side > 0)}
    return {other for other in near - {cell} if 0 <= other < side * side}


def connected(region: set[int], side: int) -> bool:
    reached = {min(region)}
    while more := {near for cell in reached for near in neighbours(cell, side)} & region - reached:
        reached |= more
    return reached == region


def random_regions(side: int, rng: random.Random) -> list[set[int]]:
    """Starts with rows as regions, and swaps cells at the border of two regions if both stay connected."""
    of = [cell // side for cell in range(side * side)]
    regions = [set(range(row * side, (row + 1) * side)) for row in range(side)]
    for a in rng.choices(range(side * side), k=40 * side * side):
        second = of[rng.choice(sorted(neighbours(a, side)))]
        b = rng.choice(sorted(cell for cell in regions[second] if neighbours(cell, side) & regions[of[a]]))
        parts = [regions[of[a]] - {a} | {b}, regions[second] - {b} | {a}]
        if of[a] != second and all(connected(part, side) for part in parts):
            regions[of[a]], regions[second] = parts
            of[a], of[b] = second, of[a]
    return regions


def jigsaw(side: int, clues: int, name: str) -> Problem:
    rng, values = random.Random(name), [str(value + 1) for value in range(side)]
    rows = tuple(tuple(range(row * side, (row + 1) * side)) for row in range(side))
    relations = {"row": Relation(groups=rows), "column": Relation(groups=tuple(zip(*rows, strict=True)))}
    while True:
        regions = sorted(tuple(sorted(region)) for region in random_regions(side, rng))
        relations["region"] = Relation(groups=tuple(regions))
        with Exact(side * side, values, relations) as exact:
            if answer := exact.answer([None] * side * side, rng):  # some maps have none
                given = exact.thinned(answer, rng, clues)
                return Problem(question=given, answer=answer, relations=relations, shape=(side, side), id=name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--side", type=int, default=9)
    parser.add_argument("--clues", type=int, default=0, help="stop at this many given values; 0: none to spare")
    size = parser.parse_args()
    write_problems((jigsaw(size.side, size.clues, f"jigsaw-{size.seed}-{i}") for i in range(size.count)), sys.stdout)
