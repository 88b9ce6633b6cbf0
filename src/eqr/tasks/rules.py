"""Rules of relations, for marking answers only: a network is never told them. Knows no file.

A rule names a predicate that every group of a relation must satisfy. In JSON, an object gives each relation of the
family its rule: ``{"row": "all_different", "less": "increasing", "cage": {"sum": "cage_sum"}, "friends": null}``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple

from eqr.errors import InputError, printable, unknown
from eqr.tasks.checking import accepted
from eqr.tasks.family import Family
from eqr.tasks.problem import Problem, kind_of, number_of

ProblemChecker = Callable[[Problem, tuple[str, ...]], bool]
"""``check(problem, answer)`` returns whether the answer, one value for each variable, solves the problem."""


class Broken(NamedTuple):
    """The first demand that an answer does not meet."""

    relation: str | None
    """None if a given value is not kept, or if the checker refuses the answer."""
    group: int | None
    """Number of the group in the relation, from 0."""
    reason: str
    """A sentence with the variables, without a full stop."""


@dataclass(frozen=True)
class Rule:
    """The demand of a relation on each of its groups."""

    predicate: str
    """A key of PREDICATES."""
    attribute: str | None = None
    """The attribute that holds the totals, for ``sum``."""

    def as_json(self) -> str | dict[str, str]:
        """Returns the JSON value that states the rule."""
        return self.predicate if self.attribute is None else {self.predicate: self.attribute}


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Marks the answers of a family's problems."""

    of_relations: Mapping[str, Rule | None]
    """The rule of each relation; None for a relation that demands nothing by itself."""
    checker: ProblemChecker | None = None
    """A user's function, asked about answers that meet all other demands."""

    def broken(self, problem: Problem, answer: Sequence[str]) -> Broken | None:
        """Returns the first demand that the answer (L,) does not meet, in the order of the problem's relations.

        None if the answer is valid. A relation that is not in ``of_relations`` demands nothing.
        """
        for i, (given, value) in enumerate(zip(problem.question, answer, strict=True)):
            if given is not None and given != value:
                return Broken(None, None, f"variable {i} is {value!r}, and the question gives {given!r}")
        for name, relation in problem.relations.items():
            rule = self.of_relations.get(name)
            if rule is None:
                continue
            for number, group in enumerate(relation.groups):
                fault = PREDICATES[rule.predicate](group, answer, problem, rule)
                if fault:
                    return Broken(name, number, f"relation {name!r}, group {number}: {fault}")
        if self.checker is not None and not accepted(
            self.checker, problem, tuple(answer), lambda: str([value or "" for value in problem.question])
        ):
            return Broken(None, None, "the checker refuses the answer")
        return None

    def holds(self, problem: Problem, answer: Sequence[str]) -> bool:
        """Returns whether the answer keeps the given values and obeys all rules."""
        return self.broken(problem, answer) is None

    def as_json(self) -> dict[str, Any]:
        """Returns the JSON object that ``rules_from_json`` reads."""
        return {name: rule and rule.as_json() for name, rule in self.of_relations.items()}

    def with_checker(self, checker: ProblemChecker) -> "Rules":
        """Returns the rules with a checker, which is asked as well."""
        return replace(self, checker=checker)


def _all_different(group: Sequence[int], answer: Sequence[str], problem: Problem, rule: Rule) -> str | None:
    seen: dict[str, int] = {}
    for i in group:
        if answer[i] in seen:
            return f"variables {seen[answer[i]]} and {i} are both {answer[i]!r}"
        seen[answer[i]] = i
    return None


def _increasing(group: Sequence[int], answer: Sequence[str], problem: Problem, rule: Rule) -> str | None:
    numbers = [number_of(answer[i]) for i in group]
    for place, (first, second) in enumerate(pairwise(numbers)):
        if first is None or second is None or first >= second:
            a, b = group[place : place + 2]
            return f"variable {a} is {answer[a]!r}, which is not less than variable {b}, {answer[b]!r}"
    return None


def _sum(group: Sequence[int], answer: Sequence[str], problem: Problem, rule: Rule) -> str | None:
    """The total stands at one variable of the group or at several; a group without a total demands nothing."""
    totals = problem.attributes.get(rule.attribute or "", (None,) * len(answer))
    reached = sum(number_of(answer[i]) or 0 for i in group)
    for i in group:
        if totals[i] is not None and totals[i] != reached:
            return f"the values add up to {reached}, and {rule.attribute!r} of variable {i} is {totals[i]}"
    return None


PREDICATES: dict[str, Callable[[Sequence[int], Sequence[str], Problem, Rule], str | None]] = {
    "all_different": _all_different,
    "increasing": _increasing,
    "sum": _sum,
}
"""Each predicate's function of a group, an answer, the problem and the rule: the fault of the group, or None."""
USUAL: dict[str, Rule] = {
    **dict.fromkeys(("row", "column", "region", "box", "edge", "conflict"), Rule("all_different")),
    "less": Rule("increasing"),
}
"""The rules of relations by their names, where no rules are given."""


def usual_rules(family: Family) -> Rules | None:
    """Returns the rules by the names of the family's relations; None if there are none or one has no usual name.

    Such a relation may demand something that nobody checks, and then no answer can be called valid.
    """
    rules = {name: USUAL[name] for name in family.relations if name in USUAL}
    known = 0 < len(rules) == len(family.relations)
    if not known or any(_misfit(name, rule, family) for name, rule in rules.items()):
        return None
    return Rules(of_relations=rules)


def rules_from_json(value: object, family: Family) -> Rules:
    """Returns the rules in a JSON object, one for each relation of the family.

    Raises InputError, without the place, naming the relation whose rule is missing, unknown or does not fit.
    """
    if not isinstance(value, dict):
        raise InputError(f"the rules are {kind_of(value)}, not an object: write each relation and its rule")
    for name in value:
        if name not in family.relations:
            raise unknown("relation", printable(name), family.relations)
    rules: dict[str, Rule | None] = {}
    for name in family.relations:
        if name not in value:
            raise InputError(
                f"relation {name!r} has no rule: add one, or null if the relation demands nothing by itself"
            )
        rules[name] = None if value[name] is None else _rule(name, value[name])
        if (rule := rules[name]) and (fault := _misfit(name, rule, family)):
            raise InputError(fault)
    return Rules(of_relations=rules)


def _rule(name: str, value: object) -> Rule:
    forms = 'write "all_different", "increasing", {"sum": ATTRIBUTE} or null'
    if isinstance(value, dict) and len(value) == 1 and all(isinstance(part, str) for part in value.values()):
        ((predicate, attribute),) = value.items()
    elif isinstance(value, str):
        predicate, attribute = value, None
    else:
        raise InputError(f"the rule of relation {name!r} is {kind_of(value)}: {forms}")
    if predicate not in PREDICATES:
        raise unknown(f"relation {name!r}: rule", printable(predicate), PREDICATES)
    if (predicate == "sum") != (attribute is not None):
        raise InputError(f"the rule of relation {name!r} does not fit {predicate}: {forms}")
    return Rule(predicate, attribute)


def _misfit(name: str, rule: Rule, family: Family) -> str | None:
    """Returns the reason for which the relation cannot have this rule, or None."""
    texts = [value for value in family.values if number_of(value) is None]
    if rule.predicate != "all_different" and texts:
        return f"relation {name!r} cannot be {rule.predicate}: value {texts[0]!r} is no whole number"
    if rule.predicate == "increasing" and not family.relations[name]:
        return f'relation {name!r} cannot be increasing: it is not ordered, write "ordered": true in the problems'
    if rule.attribute is not None and family.attributes.get(rule.attribute, ()) is not None:
        numbers = ", ".join(attribute for attribute, texts in family.attributes.items() if texts is None)
        wrong = printable(rule.attribute[:80])
        return f"relation {name!r} cannot add up to {wrong!r}: attributes with numbers are {numbers or 'missing'}"
    return None
