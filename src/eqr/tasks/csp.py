"""Problems of variables, values and relations (docs/your_problem.md) as a task. Each brings its own relations.

A puzzle is a JSON object on one line. Its row holds a header that describes the relations, and then the variables, so
that one network answers problems of any size. The rules mark answers; a network never sees them.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import astuple, dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Bool, Integer
from numpy.typing import NDArray
from torch import Tensor

from eqr.errors import InputError
from eqr.evidence import Solution
from eqr.tasks.base import Boards, Checker, Symmetries, Task, names_kept, names_shuffled, reached, side_by_side
from eqr.tasks.family import Family, family_from_json
from eqr.tasks.problem import MOST_VALUES, MOST_VARIABLES, Problem
from eqr.tasks.problem_rows import (
    Row,
    Sizes,
    exact,
    frame_of,
    problem_in,
    refuse_too_large,
    row_of,
    sizes_of,
)
from eqr.tasks.problem_text import problem_from_text
from eqr.tasks.rules import Broken, ProblemChecker, Rules, rules_from_json, usual_rules
from eqr.types import Layout

SHOWN = 12
"""Changed variables of a problem without a shape that a line for people lists."""
MOST_SIZES = ((1, MOST_VARIABLES), (1, MOST_VALUES), *[(0, 2**19)] * 3)
"""Least and largest of each of ``Sizes``; a line of a file has a million characters, and so half as many members."""


class Csp(Task):
    """Give every variable a value, as the answers in the training file do."""

    name = "csp"
    whole_lines = True

    def __init__(self, family: Family, sizes: Sizes, rules: Any = None, checker: ProblemChecker | None = None) -> None:
        """``sizes`` is the room for a problem; ``rules`` is the JSON value that states them; None: the usual ones."""
        refuse_too_large(sizes)
        self.known, self.sizes, self.checker = family, sizes, checker
        stated = usual_rules(family) if rules is None else rules_from_json(rules, family)
        self.rules = stated or (Rules(of_relations={}) if checker else None)
        if self.rules and checker:
            self.rules = self.rules.with_checker(checker)
        self.has_rules = self.rules is not None
        self.options = {"family": family.as_json(), "sizes": list(astuple(sizes)), "rules": rules}
        self.frame = frame_of(family, sizes)
        self.layout = Layout(
            rows=sizes.variables,
            cols=1,
            axes=(sizes.variables,),
            symbols=sizes.values,
            relations=(),
            symbol_kinds=() if family.interchangeable else tuple(range(sizes.values)),
            rule_cells=sum(self.frame.parts),
            frame=self.frame,
        )

    def _identity(self) -> tuple[object, ...]:
        return *super()._identity()[:-1], json.dumps(dict(self.options)), self.checker

    def akin(self, other: Task) -> bool:
        """Returns whether ``other`` has the same relations, attributes and kind of values."""
        if not isinstance(other, Csp):
            return False
        ours, theirs = (
            replace(family, values=() if family.interchangeable else family.values, values_as_groups=False)
            for family in (self.known, other.known)
        )
        return ours == theirs

    def with_checker(self, check: Checker) -> "Csp":
        """Returns the task with ``check(problem, answer)`` as a further judge of its answers."""
        return Csp(self.known, self.sizes, self.options["rules"], cast(ProblemChecker, check))

    def with_rules(self, rules: Any) -> "Csp":
        """Returns the task with the rules of a JSON value."""
        return Csp(self.known, self.sizes, rules, self.checker)

    def described(self) -> str:
        """Describes the problems in one line for people."""
        family, values = self.known, ", ".join(self.known.values[:SHOWN])
        kind = "interchangeable" if family.interchangeable else "each of its own kind, in this order"
        relations = ", ".join(f"{name} (ordered)" if ordered else name for name, ordered in family.relations.items())
        parts = [
            f"up to {self.sizes.variables:,} variables",
            f"{len(family.values)} values {values}{', ...' if len(family.values) > SHOWN else ''} ({kind})",
            f"relations {relations or 'none'}",
            *([f"attributes {', '.join(family.attributes)}"] if family.attributes else []),
            "answers are marked by rules" if self.rules else "no rules to mark answers by",
        ]
        return "; ".join(parts)

    def with_room(self, family: Family, sizes: Sizes) -> "Csp":
        """Returns the task with a frame of these sizes; itself if it has that frame already."""
        same = family == self.known and sizes == self.sizes
        return self if same else Csp(family, sizes, self.options["rules"], self.checker)

    def fitting(self, text: str) -> "Csp":
        """Returns the task with room for the problem in ``text``; itself if it has room, or if there is no problem."""
        try:
            problem = self._problem(text)
        except InputError:
            return self  # ``parse`` will tell the fault
        return self.with_room_for(problem)

    def with_room_for(self, problem: Problem) -> "Csp":
        """Returns the task with room for ``problem``, rounded up; itself if it has the room."""
        needed = sizes_of(problem, self.known)
        if self.sizes.or_more(needed) == self.sizes:
            return self.with_room(self.known.including(problem), self.sizes)
        return self.with_room(self.known.including(problem), needed.rounded())

    def parse(self, text: str) -> NDArray[np.integer[Any]]:
        """Reads the problem in a JSON text as its row (W,); raises InputError naming relation, group and variable."""
        problem = self._problem(text)
        return row_of(problem, problem.question, self.known.including(problem), self.frame)

    def _problem(self, text: str) -> Problem:
        problem = problem_from_text(text)
        self.known.check(problem)
        return problem

    def rows_of(self, problem: Problem) -> tuple[Row, Row]:
        """Returns question and answer of a problem that has one, as rows."""
        question, answer = (
            row_of(problem, values, self.known, self.frame) for values in (problem.question, problem.answer or ())
        )
        return question, answer

    def problem_of(self, board: Integer[Tensor, " W"]) -> tuple[Problem, tuple[str | None, ...]]:
        """Returns the problem of a row, without question and answer, and the values of its variables."""
        return problem_in(board.cpu().numpy().astype(np.int32), self.known, self.frame)

    def format(self, board: Integer[Tensor, " W"]) -> str:
        """Writes the values of the variables as a JSON list; null for a blank."""
        return json.dumps(self.as_json(board), ensure_ascii=False)

    def as_json(self, board: Integer[Tensor, " W"]) -> list[str | None]:
        """Returns the values of the variables; None for a blank."""
        return list(self.problem_of(board)[1])

    def cells(self, board: Integer[Tensor, " W"]) -> list[str]:
        """Returns the value of each variable; a dot for a blank, and nothing beyond the problem's variables."""
        values = [value or "." for value in self.problem_of(board)[1]]
        return values + [""] * (self.frame.variables - len(values))

    def identity(self, puzzle: Integer[Tensor, " W"]) -> bytes:
        """Returns the problem without its padding, which no draw depends on; raises InputError if there is none."""
        self.problem_of(puzzle)
        return exact(puzzle.cpu().numpy().astype(np.int32), self.frame)[0].tobytes()

    def is_solved(self, inputs: Integer[Tensor, "R W"], answers: Integer[Tensor, "R W"]) -> Bool[Tensor, " R"]:
        """Returns whether each answer keeps the given values and obeys the rules, as far as they are known."""
        good = super().is_solved(inputs, answers)
        for row in good.nonzero()[:, 0].tolist():
            good[row] = self._broken(inputs[row], answers[row]) is None
        return good

    def fault(self, question: Integer[Tensor, " W"], answer: Integer[Tensor, " W"]) -> str:
        """Returns the first demand that the answer does not meet."""
        broken = self._broken(question, answer)
        return broken.reason if broken else "a value is missing"

    def _broken(self, question: Integer[Tensor, " W"], answer: Integer[Tensor, " W"]) -> Broken | None:
        if self.rules is None:
            return None
        problem, given = self.problem_of(question)
        values = cast(tuple[str, ...], self.problem_of(answer)[1])
        return self.rules.broken(replace(problem, question=given), values)

    def render(self, puzzle: str | Integer[Tensor, " W"], solution: Solution) -> str:
        """Returns text for people: the answer in its shape, or the variables that were to be found."""
        board = torch.from_numpy(self.parse(puzzle)) if isinstance(puzzle, str) else puzzle
        problem, given = self.problem_of(board)
        answer = [value or "." for value in self.problem_of(solution.answer)[1]]
        if problem.shape is None:
            found = [f"{i}: {value}" for i, value in enumerate(answer) if given[i] is None]
            more = f", and {len(found) - SHOWN:,} more" if len(found) > SHOWN else ""
            lines = [f"{len(answer):,} variables; " + ", ".join(found[:SHOWN]) + more]
        else:
            wide = max(map(len, answer))
            boards = ([value or "." for value in given], answer)
            lines = side_by_side(([value.rjust(wide) for value in board] for board in boards), problem.shape[0])
        return "\n".join([*lines, reached(solution, self.has_rules)])

    def symmetries(self, count: int, rng: np.random.Generator) -> Symmetries:
        """Draws other names for the values, if they are interchangeable; no network depends on the variables' order."""
        symbols = self.layout.symbols
        names = names_shuffled(count, symbols, rng) if self.known.interchangeable else names_kept(count, symbols)
        return _Renamed(np.tile(np.arange(self.layout.width), (count, 1)), names, self.layout.rule_cells)


@dataclass(frozen=True)
class _Renamed(Symmetries):
    """Other names for values. The order of the first V numbers renames the V values that a problem has."""

    header: int
    """Numbers before the variables."""

    def apply(self, boards: Boards) -> Boards:
        """Returns the rows with other values of their variables; their headers stay."""
        return self._renamed(boards, lambda order: np.argsort(np.argsort(order)))

    def undo(self, boards: Boards) -> Boards:
        """Returns the rows whose images are ``boards``."""
        return self._renamed(boards, np.argsort)

    def _renamed(self, boards: Boards, names_of: Callable[[NDArray[Any]], NDArray[Any]]) -> Boards:
        renamed = boards.copy()
        orders = np.broadcast_to(self.symbols, (len(boards), self.symbols.shape[1]))  # one may serve many boards
        for row, order in zip(renamed, orders, strict=True):
            values, variables = row[1] - 1, row[0] - 1
            names = np.concatenate([[0], 1 + names_of(order[1 : values + 1])])
            cells = row[self.header : self.header + variables]
            cells[:] = names[cells]
        return renamed


def csp_for(problems: Iterable[Problem], family: Family, rules: Any = None) -> Csp:
    """Returns the task with room for all of these problems, exactly."""
    sizes = Sizes()
    for problem in problems:
        sizes = sizes.or_more(sizes_of(problem, family))
    return Csp(family, sizes, rules)


def csp_of(*, family: Any = None, sizes: Any = None, rules: Any = None) -> Csp:
    """Returns the task of a family and sizes as ``Task.options`` holds them; raises InputError without them."""
    if family is None:
        raise InputError("csp needs a file of problems: eqr train csp --data F.jsonl (docs/your_problem.md)")
    right = isinstance(sizes, list) and len(sizes) == len(MOST_SIZES) and all(type(size) is int for size in sizes)
    if not right or not all(least <= n <= most for n, (least, most) in zip(sizes, MOST_SIZES, strict=True)):
        raise InputError("csp: the sizes are not five whole numbers within limits, copy or train the model again")
    return Csp(family_from_json(family, "csp"), Sizes(*sizes), rules)
