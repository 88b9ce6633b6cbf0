"""Errors that are the user's to cure, in one sentence: what, where, the limit, the cure."""

import difflib
from collections.abc import Iterable


class InputError(Exception):
    """Something given cannot be used. The command line prints it and exits with code 2."""


def unknown(kind: str, name: str, known: Iterable[str]) -> InputError:
    """The error for a name that is not one of ``known``; suggests the nearest."""
    names = list(known)
    close = difflib.get_close_matches(name, names, 1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return InputError(f"{kind} {name!r} is not known: {hint}choose one of {', '.join(names)}")
