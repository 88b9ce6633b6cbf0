"""Files of problems as JSON lines (docs/your_problem.md): reads them one line at a time, and writes them."""

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, TextIO

from eqr.data.lines import name_of, opened
from eqr.data.parsing import Refused
from eqr.data.text import json_values, undecoded
from eqr.errors import InputError
from eqr.tasks.family import Family
from eqr.tasks.problem import Problem, problem_of
from eqr.tasks.problem_text import strictly
from eqr.tasks.rules import Rules, rules_from_json

MOST_LINES = 1000
"""Lines of a file of rules; a relation needs one, and a family has few relations."""


def read_problems(source: str, family: Family | None = None, answered: bool = False) -> Iterator[Problem | Refused]:
    """Yields one item per line that is not empty, in order: a Problem, or Refused for a line that is none.

    ``source`` is a path, compressed or not, or ``-`` for standard input; one line is held at a time. Refuses problems
    that do not belong to ``family``, if it is given, and with ``answered`` problems without an answer. Raises
    InputError for a file that is missing, empty, damaged or not text.
    """
    name, empty = name_of(source), True
    with opened(source) as lines:
        for item in json_values(name, lines, _strictly):
            empty = False
            yield item if isinstance(item, Refused) else _problem(item.place, item.value, family, answered)
    if empty:
        raise InputError(f"{name} is empty: give one problem on each line, as a JSON object")


def problems_in(source: str, family: Family | None = None, answered: bool = False) -> Iterator[Problem]:
    """Yields the problems of a file as ``read_problems`` does; raises InputError at the first that is refused."""
    for item in read_problems(source, family, answered):
        if isinstance(item, Refused):
            raise item.error()
        yield item


def write_problems(problems: Iterable[Problem], file: TextIO) -> None:
    """Writes each problem on a line."""
    for problem in problems:
        file.write(json.dumps(problem.as_json(), ensure_ascii=False) + "\n")


def read_rules(source: str, family: Family) -> Rules:
    """Reads the rules of the family's relations from a JSON file, such as ``{"row": "all_different"}``.

    Raises InputError naming the file and the relation for a file that cannot be used.
    """
    with opened(source) as lines:
        text = "\n".join(line.text for line in islice(lines, MOST_LINES))
    try:
        return rules_from_json(_strictly(text), family)
    except InputError as error:
        raise InputError(f"{name_of(source)}: {error}") from None
    except ValueError as error:
        raise InputError(f"{name_of(source)} is not JSON ({error}): give one object of relations and rules") from None


def _problem(place: str, value: Any, family: Family | None, answered: bool) -> Problem | Refused:
    try:
        problem = problem_of(value, place)
        if answered and problem.answer is None:
            raise InputError("the problem has no answer: training and evaluation need one, add it or remove the line")
        if family is not None:
            family.check(problem)
        return problem
    except InputError as error:
        return Refused(place, str(error))


def _strictly(text: str) -> Any:
    """Returns the value of a line; raises InputError for bytes that are no text, and ValueError if it is no JSON."""
    if fault := undecoded(text):
        raise InputError(fault)
    return strictly(text)
