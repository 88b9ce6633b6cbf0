"""Calls a user's checker, which may do anything, on one answer."""

import sys
from collections.abc import Callable

import numpy as np

from eqr.errors import InputError

_RAISED: list[Callable[..., object]] = []
"""Checkers that have raised, so that each is reported once."""


def accepted(check: Callable[..., object], question: object, answer: object, shown: Callable[[], str]) -> bool:
    """Returns what ``check(question, answer)`` says; False if it raises, which is told once on standard error.

    ``shown`` returns the question for that notice. Raises InputError if the checker returns neither True nor False.
    """
    try:
        verdict = check(question, answer)
    except Exception as error:
        # The checker is a user's function, which may raise anything; a run of many puzzles goes on without it.
        if not any(check is known for known in _RAISED):
            _RAISED.append(check)
            fault = " ".join(f"{type(error).__name__}: {error}".split())
            print(
                f"notice: the checker raised {fault}, first for the question {shown()}: "
                "answers for which it raises count as not valid",
                file=sys.stderr,
            )
        return False
    if not isinstance(verdict, bool | np.bool_):
        raise InputError(f"the checker returned {verdict!r}: it must return True or False")
    return bool(verdict)
