"""Print the boards of a CSV (question, answer) as problems: in rows, columns and boxes the values differ.

python examples/csp/boards.py latin.csv > latin.jsonl

A board is its rows with '/' between them or, if it is a square, its cells alone; boards may differ in size.
"""

import argparse
import sys
from collections.abc import Iterator

from eqr.data.parsing import Refused
from eqr.data.problems import write_problems
from eqr.data.text import read_rows
from eqr.errors import InputError
from eqr.tasks.grid import cells_of, shape_in
from eqr.tasks.problem import Problem, Relation


def relations_of(rows: int, cols: int, boxes: tuple[int, int] | None) -> dict[str, Relation]:
    """A relation of your own is one more entry: its name, and for each cell the number of its group."""
    cells = [(cell // cols, cell % cols) for cell in range(rows * cols)]
    places = {"row": [row for row, _ in cells], "column": [col for _, col in cells]}
    if boxes:
        places["box"] = [row // boxes[0] * cols + col // boxes[1] for row, col in cells]
    return {
        name: Relation(groups=tuple(tuple(cell for cell in range(len(of)) if of[cell] == group) for group in set(of)))
        for name, of in places.items()
    }


def problems_of(path: str, blank: str, boxes: tuple[int, int] | None) -> Iterator[Problem]:
    for row in read_rows(path):
        if isinstance(row, Refused):
            raise row.error()
        shape = shape_in(row.question)
        if shape is None:
            raise InputError(f"{row.place}: the cells form no square: put '/' between the rows of the board")
        try:
            question, answer = (cells_of(text, *shape) for text in (row.question, row.answer or ""))
        except InputError as error:
            raise InputError(f"{row.place}: {error}") from None
        cells, relations = tuple(None if cell == blank else cell for cell in question), relations_of(*shape, boxes)
        values = tuple(sorted(set(answer)))  # a family holds those of all boards, so a board lists its own
        yield Problem(question=cells, answer=tuple(answer), values=values, relations=relations, shape=shape)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--blank", default=".", help="the character of a cell to find")
    parser.add_argument("--boxes", type=int, nargs=2, help="rows and columns of a box")
    given = parser.parse_args()
    try:
        write_problems(problems_of(given.file, given.blank, given.boxes), sys.stdout)
    except InputError as error:
        sys.exit(str(error))
