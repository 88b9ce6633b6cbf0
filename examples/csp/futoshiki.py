"""Print Futoshiki with one answer each as JSON lines.

python examples/csp/futoshiki.py --count 1000 --seed 0 --sides 5 6 7 > futoshiki.jsonl
"""

import argparse
import random
import sys
from itertools import cycle, pairwise

from eqr.data.problems import write_problems
from eqr.tasks.exact import Exact
from eqr.tasks.problem import Problem, Relation


def latin_square(side: int, rng: random.Random) -> tuple[str, ...]:
    lines = range(side)
    rows = [tuple(row * side + col for col in lines) for row in lines]
    relations = {"row": Relation(groups=tuple(rows)), "column": Relation(groups=tuple(zip(*rows, strict=True)))}
    with Exact(side * side, [str(value + 1) for value in lines], relations) as exact:
        answer = exact.answer([None] * side * side, rng)
    assert answer  # there are squares of any size
    return answer


def futoshiki(side: int, signs: float, clues: int, name: str) -> Problem:
    """Takes a square, shows a share of the signs between neighbours, and then as few values as leave one answer."""
    rng, lines = random.Random(name), range(side)
    answer = latin_square(side, rng)
    rows = [tuple(row * side + col for col in lines) for row in lines]
    columns = list(zip(*rows, strict=True))
    pairs = [pair for line in (*rows, *columns) for pair in pairwise(line)]
    shown = rng.sample(pairs, round(signs * len(pairs)))
    less = [(a, b) if int(answer[a]) < int(answer[b]) else (b, a) for a, b in sorted(shown)]
    relations = {
        "row": Relation(groups=tuple(rows)),
        "column": Relation(groups=tuple(columns)),
        "less": Relation(groups=tuple(less), ordered=True),
    }
    values = tuple(str(value + 1) for value in lines)
    with Exact(side * side, values, relations) as exact:
        question = exact.thinned(answer, rng, clues)
    # A family holds the values of its largest board, so a smaller one lists its own.
    return Problem(question=question, answer=answer, values=values, relations=relations, shape=(side, side), id=name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sides", type=int, nargs="+", default=[5, 6, 7], help="sides of the boards, in turn")
    parser.add_argument("--signs", type=float, default=0.3, help="share of neighbours with a sign between them")
    parser.add_argument("--clues", type=int, default=0, help="stop at this many given values; 0: none to spare")
    given = parser.parse_args()
    sides = cycle(given.sides)
    names = (f"futoshiki-{given.seed}-{i}" for i in range(given.count))
    write_problems((futoshiki(next(sides), given.signs, given.clues, name) for name in names), sys.stdout)
