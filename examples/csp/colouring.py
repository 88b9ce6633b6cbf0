"""Print 3-colourings of random graphs with one answer each as JSON lines.

python examples/csp/colouring.py --count 1000 --seed 0 --vertices 30 60 > colouring.jsonl
"""

import argparse
import random
import sys
from itertools import combinations

from eqr.data.problems import write_problems
from eqr.tasks.exact import Exact
from eqr.tasks.problem import Problem, Relation


def colouring(smallest: int, largest: int, degree: float, colours: int, least: float, name: str) -> Problem:
    """Colours the vertices at random, joins random pairs of different colours, and shows as few colours as suffice."""
    rng = random.Random(name)
    vertices = rng.randint(smallest, largest)
    values = [str(colour + 1) for colour in range(colours)]
    planted = [rng.choice(values) for _ in range(vertices)]
    pairs = [(a, b) for a, b in combinations(range(vertices), 2) if planted[a] != planted[b]]
    edges = rng.sample(pairs, min(len(pairs), round(vertices * degree / 2)))
    relations = {"edge": Relation(groups=tuple(sorted(edges)))}
    with Exact(vertices, values, relations) as exact:
        question = exact.thinned(planted, rng, round(least * vertices))
    return Problem(question=question, answer=tuple(planted), relations=relations, id=name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--vertices", type=int, nargs=2, default=[30, 60], help="fewest and most, such as 120 120")
    parser.add_argument("--degree", type=float, default=4.5, help="average number of edges at a vertex")
    parser.add_argument("--colours", type=int, default=3)
    parser.add_argument("--given", type=float, default=0, help="least share of given colours; 0: none to spare")
    given = parser.parse_args()
    names = (f"colouring-{given.seed}-{i}" for i in range(given.count))
    size = (*given.vertices, given.degree, given.colours, given.given)
    write_problems((colouring(*size, name) for name in names), sys.stdout)
