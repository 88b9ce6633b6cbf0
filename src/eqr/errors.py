"""Errors that the user can fix. Each message is one sentence: what is wrong, where, the limit, the fix."""

import difflib
import json
import reprlib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import fields
from inspect import formatannotation
from typing import Any, TypeVar

T = TypeVar("T")
DISTRIBUTION = "equilibrium-reasoners"
"""Name under which the package is installed."""

DIRECTIONS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Characters that change the direction of text, and so can make a line read as another one."""


class InputError(ValueError):
    """An input cannot be used. The command line prints the message and exits with code 2."""


class RankLost(RuntimeError):
    """Another process of the run is gone, and this one cannot continue alone. The command line exits with code 1."""


def printable(text: str) -> str:
    """Returns ``text`` with escapes for characters that act on a terminal, reorder its text, or cannot be encoded.

    These are control characters, line ends included, marks of direction and unpaired surrogates.
    """
    return "".join(
        ascii(char)[1:-1] if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") or char in DIRECTIONS else char
        for char in text
    )


def shown(value: object) -> str:
    """A value of a file as text for a message: on one line, and "something else" if it may be too deep or too long."""
    if isinstance(value, str):
        return printable(value[:80])
    if value is None or isinstance(value, float) or (isinstance(value, int) and abs(value) <= 2**20):
        return str(value)
    return "something else"


def unknown(kind: str, name: str, known: Iterable[str], plugins: bool = False) -> InputError:
    """Returns the error for a name that is not in ``known``; the message suggests the closest known name.

    With ``plugins`` the message also says how to import a plugin, which may register further names.
    """
    names, name = list(known), name[:80]
    close = difflib.get_close_matches(name, names, 1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    cure = ", or import the module that registers it (eqr --import MODULE COMMAND)" if plugins else ""
    return InputError(f"{kind} {name!r} is not known: {hint}choose one of {', '.join(names)}{cure}")


def registered(kind: str, value: T | str, known: Mapping[str, T]) -> T:
    """Returns the value itself, or the value registered under that name; raises InputError for an unknown name."""
    if not isinstance(value, str):
        return value
    if value not in known:
        raise unknown(kind, value, known, plugins=True)
    return known[value]


def missing_extra(thing: str, extra: str) -> InputError:
    """Returns the error for a feature that needs an optional dependency."""
    return InputError(f"{thing} needs the extra {extra!r}: pip install '{DISTRIBUTION}[{extra}]'")


def parsed(text: str, **hooks: Any) -> Any:
    """Returns what ``json.loads`` returns with these hooks; raises ValueError for values that are nested too deep."""
    try:
        return json.loads(text, **hooks)
    except RecursionError:
        raise ValueError("values are nested too deep") from None


def from_json(kind: type[T], values: Any, place: str) -> T:
    """Builds a dataclass from its JSON object; raises InputError naming an unknown, ill-typed or missing field."""
    if not isinstance(values, dict):
        raise InputError(f"{place} holds no JSON object: copy or train the model again")
    known: dict[str, Any] = {field.name: field.type for field in fields(kind)}  # type: ignore[arg-type]
    given = dict(values)
    for key, value in values.items():
        if key not in known:
            raise unknown(f"{place}: field", key, known)
        # JSON does not distinguish 1 from 1.0, so an int becomes a float where one is expected; True is no number.
        number = type(value) is int and isinstance(1.0, known[key])
        truth = type(value) is bool and known[key] is not bool
        if truth or not (isinstance(value, known[key]) or number):
            written = formatannotation(known[key])
            raise InputError(f"{place}: {key} is {reprlib.repr(value)}, it must be of type {written}")
        given[key] = float(value) if number else value
    try:
        return kind(**given)
    except TypeError as error:
        raise InputError(f"{place} is incomplete ({error})") from None
    except InputError as error:
        raise InputError(f"{place}: {error}") from None
