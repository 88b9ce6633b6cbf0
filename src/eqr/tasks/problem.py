"""A problem as data: variables, their values, and relations between variables. Knows no file and no network.

Variables are numbers from 0, values are texts, and a relation is a name with groups of variables. ``problem_of`` builds
a problem from a JSON object in the form of docs/your_problem.md and checks all of it. What the relations demand is not
part of a problem: ``eqr.tasks.rules`` states it, for marking answers.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from eqr.errors import InputError, printable, shown, unknown

MOST_VARIABLES = 4096
MOST_VALUES = 255
"""Values of a family; 0 stands for an unknown one, and a byte holds them all."""
MOST_NAMES = 64
"""Relations of a family, and attributes of a family."""
MOST_GROUPS = 1 << 16
"""Groups of one relation in one problem."""
LONGEST = 100
"""Characters of a value, of a name or of an id."""
GREATEST = 2**30 - 2
"""Greatest absolute value of an attribute."""
NUMBER = re.compile(r"-?[0-9]+")
FIELDS = ("question", "answer", "values", "relations", "attributes", "shape", "id")
Entry = int | str | None
"""An attribute of one variable; None if the variable has none."""


@dataclass(frozen=True, kw_only=True)
class Relation:
    """The groups of variables that a relation joins."""

    groups: tuple[tuple[int, ...], ...]
    """The variables of each group; a variable may be in any number of groups, and once in each."""
    ordered: bool = False
    """True if the place of a variable in its group matters."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One problem of L variables; ``problem_of`` makes one that is checked."""

    question: tuple[str | None, ...]
    """(L,) the given value of each variable; None where one is to be found."""
    answer: tuple[str, ...] | None = None
    """(L,) the value of each variable, given values included; None if the answer is not known."""
    values: tuple[str, ...] | None = None
    """The values that a variable may have in this problem, if they are not those of its whole family."""
    relations: Mapping[str, Relation]
    attributes: Mapping[str, tuple[Entry, ...]] = field(default_factory=dict)
    """(L,) entries of each attribute, all numbers or all texts."""
    shape: tuple[int, int] | None = None
    """Rows and columns in which the variables are drawn; nothing else depends on it."""
    id: str | None = None
    place: str = field(default="", compare=False)
    """The file and the line, for messages."""

    def as_json(self) -> dict[str, Any]:
        """Returns the JSON object that ``problem_of`` reads, without fields that are empty."""
        relations: dict[str, Any] = {
            name: {"ordered": True, "groups": relation.groups} if relation.ordered else relation.groups
            for name, relation in self.relations.items()
        }
        optional = {"attributes": dict(self.attributes) or None, "shape": self.shape, "id": self.id}
        return {
            "question": self.question,
            **({} if self.answer is None else {"answer": self.answer}),
            **({} if self.values is None else {"values": self.values}),
            "relations": relations,
            **{name: value for name, value in optional.items() if value is not None},
        }


def problem_of(value: object, place: str = "") -> Problem:
    """Returns the problem in a JSON object; lists may also be tuples.

    Raises InputError, without the place, naming relation, group and variable of the first fault. ``place`` is kept for
    messages about the problem.
    """
    if not isinstance(value, dict):
        raise InputError(f"the problem is {kind_of(value)}, not an object: write the fields in curly brackets")
    for name in value:
        if name not in FIELDS:
            raise unknown("field", printable(str(name)), FIELDS)
    for name in ("question", "relations"):
        if value.get(name) is None:
            empty = "{}" if name == "relations" else "null for each value to find"
            raise InputError(f"the problem has no {name}: add the field, with {empty} if nothing is given")
    question = _question(value["question"])
    answer = _answer(value.get("answer"), question)
    return Problem(
        question=question,
        answer=answer,
        values=_values(value.get("values"), question, answer),
        relations=_relations(value["relations"], len(question)),
        attributes=_attributes(value.get("attributes"), len(question)),
        shape=_shape(value.get("shape"), len(question)),
        id=None if value.get("id") is None else _text(value["id"], "the id"),
        place=place,
    )


def number_of(value: str) -> int | None:
    """Returns the whole number that a value writes; None if it is another text."""
    return int(value) if NUMBER.fullmatch(value) else None


def kind_of(value: object) -> str:
    """Returns a JSON value as words for a message: its kind, and the value itself if it is short."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, int | float):
        return f"the number {shown(value)}" if abs(value) <= 2**20 else "a large number"
    if isinstance(value, str):
        return f"the text '{shown(value)}'"
    return "a list" if isinstance(value, list | tuple) else "an object"


def _text(value: object, what: str) -> str:
    """Returns a value, a name or an id; raises InputError unless it is a text that can be printed on one line."""
    if not isinstance(value, str):
        raise InputError(f'{what} is {kind_of(value)}: it must be a text in quotes, such as "3"')
    if not 1 <= len(value) <= LONGEST:
        raise InputError(f"{what} has {len(value):,} characters: 1 to {LONGEST} are possible")
    if printable(value) != value:
        raise InputError(f"{what} is '{printable(value)}': leave out characters that cannot be printed")
    return value


def _listed(value: object, what: str, of: str) -> list[object] | tuple[object, ...]:
    if not isinstance(value, list | tuple):
        raise InputError(f"{what} is {kind_of(value)}, not a list: list {of}")
    return value


def _question(value: object) -> tuple[str | None, ...]:
    values = _listed(value, "question", "the value of each variable, or null where it is to be found")
    if not 1 <= len(values) <= MOST_VARIABLES:
        raise InputError(f"question has {len(values):,} variables: 1 to {MOST_VARIABLES:,} are possible")
    return tuple(None if v is None else _text(v, f"question, variable {i},") for i, v in enumerate(values))


def _answer(value: object, question: tuple[str | None, ...]) -> tuple[str, ...] | None:
    if value is None:
        return None
    values = _listed(value, "answer", "the value of each variable")
    if len(values) != len(question):
        raise InputError(f"answer has {len(values):,} values, question has {len(question):,} variables: correct one")
    answer = tuple(_text(v, f"answer, variable {i},") for i, v in enumerate(values))
    for i, (given, answered) in enumerate(zip(question, answer, strict=True)):
        if given is not None and given != answered:
            raise InputError(
                f"answer, variable {i}, is {answered!r} and the question gives {given!r}: an answer keeps given values"
            )
    return answer


def _values(value: object, question: tuple[str | None, ...], answer: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if value is None:
        return None
    listed = _listed(value, "values", "the values that a variable may have")
    values = tuple(_text(v, f"values, entry {i},") for i, v in enumerate(listed))
    if not 1 <= len(values) <= MOST_VALUES:
        raise InputError(f"values has {len(values):,} entries: 1 to {MOST_VALUES} are possible")
    if len(set(values)) < len(values):
        twice = next(v for i, v in enumerate(values) if v in values[:i])
        raise InputError(f"values holds {twice!r} twice: list each value once")
    for name, row in (("question", question), ("answer", answer or ())):
        for i, v in enumerate(row):
            if v is not None and v not in values:
                raise InputError(f"{name}, variable {i}, is {v!r}, which values does not list: correct one of them")
    return values


def _named(value: object, what: str) -> dict[str, object]:
    """Returns an object of names; raises InputError if it is none, or if a name cannot be printed."""
    if not isinstance(value, dict):
        raise InputError(f"{what}s is {kind_of(value)}, not an object: write the name of each {what} and its content")
    if len(value) > MOST_NAMES:
        raise InputError(f"{what}s has {len(value):,} names: {MOST_NAMES} are the most")
    return {_text(name, f"the name of {what} {number}"): v for number, (name, v) in enumerate(value.items())}


def _relations(value: object, variables: int) -> dict[str, Relation]:
    return {name: _relation(v, f"relation {name!r}", variables) for name, v in _named(value, "relation").items()}


def _relation(value: object, what: str, variables: int) -> Relation:
    groups, ordered = _parts(value, what) if isinstance(value, dict) else (value, False)
    groups = _listed(groups, what, "its groups, each a list of variables")
    if len(groups) > MOST_GROUPS:
        raise InputError(f"{what} has {len(groups):,} groups: {MOST_GROUPS:,} are the most")
    read = tuple(_group(group, f"{what}, group {number},", variables) for number, group in enumerate(groups))
    return Relation(groups=read, ordered=ordered)


def _parts(value: dict[str, object], what: str) -> tuple[object, bool]:
    """Returns the groups in an object, and whether they are ordered."""
    for name in value:
        if name not in ("ordered", "groups"):
            raise unknown(f"{what}: field", printable(str(name)), ("ordered", "groups"))
    if "groups" not in value:
        raise InputError(f"{what} has no groups: add the field, with [] if there are none")
    ordered = value.get("ordered", False)
    if not isinstance(ordered, bool):
        raise InputError(f"{what}: ordered is {kind_of(ordered)}, it must be true or false")
    return value["groups"], ordered


def _group(value: object, what: str, variables: int) -> tuple[int, ...]:
    members = _listed(value, what, "the numbers of its variables")
    if not members:
        raise InputError(f"{what} is empty: list its variables, or leave the group out")
    group: dict[int, None] = {}
    for member in members:
        if not isinstance(member, int) or isinstance(member, bool):
            raise InputError(f"{what} holds {kind_of(member)}: a variable is written as its number, from 0")
        if not 0 <= member < variables:
            raise InputError(f"{what} holds variable {shown(member)}: the variables are 0 to {variables - 1}")
        if member in group:
            raise InputError(f"{what} holds variable {member} more than once: list each variable of a group once")
        group[member] = None
    return tuple(group)


def _attributes(value: object, variables: int) -> dict[str, tuple[Entry, ...]]:
    names = {} if value is None else _named(value, "attribute")
    return {name: _entries(v, f"attribute {name!r}", variables) for name, v in names.items()}


def _entries(value: object, what: str, variables: int) -> tuple[Entry, ...]:
    entries = _listed(value, what, "a number, a text or null for each variable")
    if len(entries) != variables:
        raise InputError(f"{what} has {len(entries):,} entries, question has {variables:,} variables: correct one")
    read = tuple(_entry(entry, f"{what}, variable {i},") for i, entry in enumerate(entries))
    first = next((entry for entry in read if entry is not None), None)
    for i, entry in enumerate(read):
        if entry is not None and type(entry) is not type(first):
            raise InputError(
                f"{what}, variable {i}, is {kind_of(entry)} after {kind_of(first)}: "
                "the entries of an attribute are all numbers or all texts"
            )
    return read


def _entry(entry: object, what: str) -> Entry:
    if entry is None:
        return None
    if isinstance(entry, str):
        return _text(entry, what)
    if not isinstance(entry, int) or isinstance(entry, bool):
        raise InputError(f"{what} is {kind_of(entry)}: an entry is a whole number, a text or null")
    if abs(entry) > GREATEST:
        raise InputError(f"{what} is a number beyond {GREATEST:,}: use smaller numbers, or texts")
    return entry


def _shape(value: object, variables: int) -> tuple[int, int] | None:
    if value is None:
        return None
    sides = value if isinstance(value, list | tuple) else ()
    if len(sides) != 2 or not all(type(side) is int and 1 <= side <= variables for side in sides):
        raise InputError("shape is not two whole numbers: write rows and columns, such as [9, 9], or leave it out")
    rows, cols = sides
    if rows * cols != variables:
        raise InputError(f"shape {rows}x{cols} has {rows * cols:,} cells, question has {variables:,} variables")
    return rows, cols
