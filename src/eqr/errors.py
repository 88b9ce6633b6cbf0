"""Errors that are the user's to cure, in one sentence: what, where, the limit, the cure."""

import difflib
from collections.abc import Iterable
from dataclasses import fields
from inspect import formatannotation
from typing import Any, TypeVar

T = TypeVar("T")
DISTRIBUTION = "equilibrium-reasoners"
"""The name to install the package by."""


class InputError(ValueError):
    """Something given cannot be used. The command line prints it and exits with code 2."""


class RankLost(RuntimeError):
    """Another process of the run is gone: this one cannot go on alone. The command line exits with code 1."""


def unknown(kind: str, name: str, known: Iterable[str], plugins: bool = False) -> InputError:
    """The error for a name that is not one of ``known``; suggests the nearest.

    ``plugins`` says that a plugin may bring further names.
    """
    names = list(known)
    close = difflib.get_close_matches(name, names, 1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    cure = ", or import the module that registers it (eqr --import MODULE COMMAND)" if plugins else ""
    return InputError(f"{kind} {name!r} is not known: {hint}choose one of {', '.join(names)}{cure}")


def missing_extra(thing: str, extra: str) -> InputError:
    """The error for something that needs an optional dependency."""
    return InputError(f"{thing} needs the extra {extra!r}: pip install '{DISTRIBUTION}[{extra}]'")


def from_json(kind: type[T], values: Any, place: str) -> T:
    """A dataclass from its JSON object; raises InputError naming a field that is unknown, ill-typed or missing."""
    if not isinstance(values, dict):
        raise InputError(f"{place} holds no JSON object: it is not what a model's folder holds")
    known: dict[str, Any] = {field.name: field.type for field in fields(kind)}  # type: ignore[arg-type]
    for key, value in values.items():
        if key not in known:
            raise unknown(f"{place}: field", key, known)
        # JSON does not tell 1 from 1.0.
        if not isinstance(value, known[key]) and not (type(value) is int and isinstance(1.0, known[key])):
            raise InputError(f"{place}: {key} is {value!r}, it must be of type {formatannotation(known[key])}")
    try:
        return kind(**values)
    except TypeError as error:
        raise InputError(f"{place} is incomplete ({error})") from None
    except InputError as error:
        raise InputError(f"{place}: {error}") from None
