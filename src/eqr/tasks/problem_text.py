"""Reads JSON texts of people strictly: one problem, or the rules of its relations. Knows no file."""

from typing import Any

from eqr.errors import InputError, parsed, printable
from eqr.tasks.problem import Problem, problem_of

MOST_DIGITS = 20
"""Digits of a number in a text; no field takes one of half as many."""


def problem_from_text(text: str) -> Problem:
    """Returns the problem in a JSON text; raises InputError, without the place, naming its first fault."""
    try:
        return problem_of(strictly(text))
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"the problem is not JSON ({error}): give one object, as docs/your_problem.md shows") from None


def strictly(text: str) -> Any:
    """Returns the value of a JSON text; raises InputError for numbers that are none, and ValueError if it is no JSON.

    A name that is given twice is refused, since the first of its values would be lost silently.
    """
    return parsed(text, object_pairs_hook=_once, parse_constant=_no_number, parse_int=_bounded)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise InputError(f"the name '{printable(twice[:80])}' is given twice: leave one of them out")
    return names


def _no_number(text: str) -> None:
    raise InputError(f"the line holds {text}, which is no number: write null or a whole number")


def _bounded(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise InputError(f"the line holds a number of {len(digits):,} digits: up to {MOST_DIGITS} are read")
    return int(digits)
