"""The names and values that the problems of a family share. Knows no file and no network.

A network learns from the problems of one family, so its names and values are kept with it, and every further problem
is checked against them. The number of variables, the groups and the order of names may differ from problem to problem.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from eqr.errors import InputError, from_json
from eqr.tasks.problem import LONGEST, MOST_NAMES, MOST_VALUES, Problem, number_of

MOST_TEXTS = 4096
"""Different texts of one attribute."""
LISTED = 12
"""Names that a message lists."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """The names and values that problems share."""

    values: tuple[str, ...]
    """Values in order: whole numbers by size, then other texts by alphabet."""
    relations: Mapping[str, bool]
    """Names of the relations in order; True for an ordered one."""
    attributes: Mapping[str, tuple[str, ...] | None]
    """Names of the attributes in order: the texts of each in order, or None if its entries are numbers."""
    interchangeable: bool = False
    """True if a problem stays a problem when its values swap names, as the digits of a Sudoku may."""
    values_as_groups: bool = False
    """True if every problem that the family was made of lists as many values as its largest group has members, as a
    Sudoku does; then a problem that lists none has so many."""

    def as_json(self) -> dict[str, Any]:
        """Returns the JSON object that ``family_from_json`` reads."""
        texts = {name: None if known is None else list(known) for name, known in self.attributes.items()}
        return {
            "values": list(self.values),
            "relations": dict(self.relations),
            "attributes": texts,
            "interchangeable": self.interchangeable,
            "values_as_groups": self.values_as_groups,
        }

    def values_of(self, problem: Problem) -> tuple[str, ...]:
        """Returns the values that a variable of the problem may have."""
        if problem.values or not self.values_as_groups:
            return problem.values or self.values
        count = largest_group(problem)
        if not self.interchangeable:
            return self.values[:count]
        given = {value for value in (*problem.question, *(problem.answer or ())) if value is not None}
        names = dict.fromkeys((*sorted(given, key=_by_size), *self.values, *map(str, range(1, count + 1))))
        return tuple(sorted([*names][: max(count, len(given))], key=_by_size))

    def including(self, problem: Problem) -> "Family":
        """Returns the family with the problem's values, which may be new where values are interchangeable."""
        new = [value for value in self.values_of(problem) if value not in self.values]
        if not new:
            return self
        _limited(len(self.values) + len(new), MOST_VALUES, "values")
        return replace(self, values=(*self.values, *new))

    def check(self, problem: Problem) -> None:
        """Raises InputError, without the place, if the problem has a value, name or text that the family lacks."""
        self._check_values(problem)
        values = set(self.values_of(problem))
        for field, row in (("question", problem.question), ("answer", problem.answer or ())):
            for variable, value in enumerate(row):
                if value is not None and value not in values:
                    raise _foreign(f"{field}, variable {variable}, is {value!r}", "values", self.values)
        for name, relation in problem.relations.items():
            if name not in self.relations:
                raise _foreign(f"relation {name!r} is not known", "relations", self.relations)
            if relation.ordered != self.relations[name]:
                raise _two_orders(name, relation.ordered)
        for name, kind in _attributes_of(problem).items():
            if name not in self.attributes:
                raise _foreign(f"attribute {name!r} is not known", "attributes", self.attributes)
            texts = self.attributes[name]
            if (texts is None) != (kind is int):
                raise _two_kinds(name, kind)
            known = None if texts is None else {*texts, None}
            for variable, entry in enumerate(problem.attributes[name]):
                if known is not None and entry not in known:
                    raise _foreign(f"attribute {name!r}, variable {variable}, is {entry!r}", "texts", texts or ())

    def _check_values(self, problem: Problem) -> None:
        """Raises InputError if the problem's own values are not among the family's; new names do where they swap."""
        listed = problem.values or ()
        if self.interchangeable or listed == self.values[: len(listed)]:
            return
        foreign = next((value for value in listed if value not in self.values), None)
        if foreign is not None:
            raise _foreign(f"values holds {foreign!r}", "values", self.values)
        first = ", ".join(self.values[: len(listed)][:LISTED])
        raise InputError(f"values is not the first of the family's values: list {first}, in this order")


def family_of(problems: Iterable[Problem], interchangeable: bool = False) -> Family:
    """Returns the family of all problems in one pass; keeps their names and values only.

    Raises InputError naming the place of the problem with which there are too many names or values, or whose relation
    or attribute is of another kind than before; also if no value is left.
    """
    values: set[str] = set()
    relations: dict[str, bool] = {}
    attributes: dict[str, set[str] | None] = {}
    as_groups = True
    for problem in problems:
        as_groups &= problem.values is not None and len(problem.values) == largest_group(problem)
        try:
            written = (*problem.question, *(problem.answer or ()), *(problem.values or ()))
            values.update(value for value in written if value is not None)
            for name, relation in problem.relations.items():
                if relations.setdefault(name, relation.ordered) != relation.ordered:
                    raise _two_orders(name, relation.ordered)
            for name, kind in _attributes_of(problem).items():
                texts = attributes.setdefault(name, set() if kind is str else None)
                if (texts is None) != (kind is int):
                    raise _two_kinds(name, kind)
                if texts is not None:
                    texts.update(str(entry) for entry in problem.attributes[name] if entry is not None)
                    _limited(len(texts), MOST_TEXTS, f"different texts of attribute {name!r}")
            for seen, most, kinds in (
                (values, MOST_VALUES, "values"),
                (relations, MOST_NAMES, "relations"),
                (attributes, MOST_NAMES, "attributes"),
            ):
                _limited(len(seen), most, kinds)
        except InputError as error:
            raise InputError(f"{problem.place}: {error}" if problem.place else str(error)) from None
    if not values:
        raise InputError("the problems have no values: give problems with answers")
    return Family(
        values=tuple(sorted(values, key=_by_size)),
        relations=dict(sorted(relations.items())),
        attributes={
            name: None if texts is None else tuple(sorted(texts, key=_by_size))
            for name, texts in sorted(attributes.items())
        },
        interchangeable=interchangeable,
        values_as_groups=as_groups,
    )


def largest_group(problem: Problem) -> int:
    """Returns the number of members of the problem's largest group."""
    return max((len(group) for relation in problem.relations.values() for group in relation.groups), default=0)


@dataclass(frozen=True, kw_only=True)
class _Written:
    """The fields of a family as JSON holds them."""

    values: list  # type: ignore[type-arg]
    relations: dict  # type: ignore[type-arg]
    attributes: dict  # type: ignore[type-arg]
    interchangeable: bool = False
    values_as_groups: bool = False


def family_from_json(value: object, place: str) -> Family:
    """Returns the family in a JSON object; raises InputError naming ``place`` if it is none."""
    written = from_json(_Written, value, place)
    texts = [written.values, *(known for known in written.attributes.values() if known is not None)]
    right = (
        all(_are_names(names) for names in (*texts, list(written.relations), list(written.attributes)))
        and all(isinstance(ordered, bool) for ordered in written.relations.values())
        and 1 <= len(written.values) <= MOST_VALUES
        and max(len(written.relations), len(written.attributes)) <= MOST_NAMES
        and all(len(known) <= MOST_TEXTS for known in texts)
    )
    if not right:
        raise InputError(f"{place} describes no family of problems: copy or train the model again")
    attributes = {name: None if known is None else tuple(known) for name, known in written.attributes.items()}
    return Family(
        values=tuple(written.values),
        relations=written.relations,
        attributes=attributes,
        interchangeable=written.interchangeable,
        values_as_groups=written.values_as_groups,
    )


def _are_names(names: object) -> bool:
    """Returns whether ``names`` is a list of different texts of usual length."""
    if not isinstance(names, list) or not all(isinstance(name, str) and 1 <= len(name) <= LONGEST for name in names):
        return False
    return len(set(names)) == len(names)


def _attributes_of(problem: Problem) -> dict[str, type]:
    """Returns the type of each attribute of which at least one variable has an entry."""
    firsts = {
        name: next((entry for entry in entries if entry is not None), None)
        for name, entries in problem.attributes.items()
    }
    return {name: type(first) for name, first in firsts.items() if first is not None}


def _by_size(text: str) -> tuple[bool, int, str]:
    number = number_of(text)
    return (number is None, number or 0, text)


def _limited(count: int, most: int, kinds: str) -> None:
    if count > most:
        raise InputError(f"the problems up to here have more than {most:,} {kinds}: use fewer")


def _foreign(fault: str, kinds: str, known: Iterable[str]) -> InputError:
    names = list(known)
    shown = ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED:,} more" if len(names) > LISTED else "")
    return InputError(f"{fault}: the {kinds} of the training data are {shown or 'none'}, use these or train again")


def _two_orders(name: str, ordered: bool) -> InputError:
    here, elsewhere = ("ordered", "not ordered") if ordered else ("not ordered", "ordered")
    return InputError(f"relation {name!r} is {here} here and {elsewhere} in other problems: write all alike")


def _two_kinds(name: str, kind: type) -> InputError:
    here, elsewhere = ("numbers", "texts") if kind is int else ("texts", "numbers")
    return InputError(f"attribute {name!r} has {here} here and {elsewhere} in other problems: write all alike")
