"""Rules mark answers as a brute force does, name the first group that breaks, and refuse files that mean nothing."""

import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eqr.commands.plugins import checker_named
from eqr.data.problems import read_rules
from eqr.errors import InputError
from eqr.tasks.family import Family
from eqr.tasks.problem import Problem, problem_of
from eqr.tasks.rules import Rules, rules_from_json, usual_rules

FAMILY = Family(
    values=("1", "2", "3"),
    relations={"row": False, "less": True, "cage": False, "friends": False},
    attributes={"total": None, "room": ("A", "B")},
)
RULES = {"row": "all_different", "less": "increasing", "cage": {"sum": "total"}, "friends": None}
SIZE = 4


@st.composite
def small_problems(draw: st.DrawFn) -> Problem:
    groups = st.lists(st.lists(st.integers(0, SIZE - 1), min_size=1, max_size=3, unique=True), max_size=3)
    names = draw(st.permutations(list(FAMILY.relations)))
    relations = {name: {"ordered": FAMILY.relations[name], "groups": draw(groups)} for name in names}
    totals = draw(st.lists(st.none() | st.integers(3, 7), min_size=SIZE, max_size=SIZE))
    question = draw(st.lists(st.none() | st.none() | st.sampled_from(FAMILY.values), min_size=SIZE, max_size=SIZE))
    return problem_of({"question": question, "relations": relations, "attributes": {"total": totals}})


def faults(problem: Problem, answer: tuple[int, ...]) -> Iterator[tuple[str | None, int | None]]:
    """Relation and group of every fault, by the definitions of the rules and not by their code."""
    if any(given not in (None, str(value)) for given, value in zip(problem.question, answer, strict=True)):
        yield None, None
    for name, relation in problem.relations.items():
        for number, group in enumerate(relation.groups):
            values, totals = [answer[i] for i in group], {problem.attributes["total"][i] for i in group} - {None}
            if (
                (name == "row" and len(set(values)) < len(values))
                or (name == "less" and (values != sorted(values) or len(set(values)) < len(values)))
                or (name == "cage" and totals and totals != {sum(values)})
            ):
                yield name, number


@given(small_problems())
def test_answers_are_marked_as_by_brute_force(problem: Problem) -> None:
    rules = rules_from_json(RULES, FAMILY)
    for answer in product((1, 2, 3), repeat=SIZE):
        broken = rules.broken(problem, [str(value) for value in answer])
        first = next(faults(problem, answer), None)
        assert (broken and broken[:2]) == first
        assert rules.holds(problem, [str(value) for value in answer]) == (first is None)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("1131", "variable 3 is '1', and the question gives '2'"),
        ("1132", "relation 'row', group 1: variables 0 and 1 are both '1'"),
        ("3212", "relation 'less', group 0: variable 0 is '3', which is not less than variable 1, '2'"),
        ("1232", "relation 'cage', group 0: the values add up to 5, and 'total' of variable 2 is 4"),
        ("1212", None),
    ],
)
def test_the_first_fault_is_told_with_its_variables(answer: str, said: str | None) -> None:
    problem = problem_of(
        {
            "question": [None, None, None, "2"],
            "relations": {
                "row": [[0, 3], [0, 1]],
                "less": {"ordered": True, "groups": [[0, 1]]},
                "cage": [[1, 2], [0, 3]],
            },
            "attributes": {"total": [None, None, 4, None]},
        }
    )
    if answer == "1212":
        problem = problem_of({**problem.as_json(), "attributes": {"total": [None, None, 3, None]}})
    broken = rules_from_json(RULES, FAMILY).broken(problem, answer)
    assert (broken and broken.reason) == said


def family(values: tuple[str, ...] = ("1", "2"), **relations: bool) -> Family:
    return Family(values=values, relations=relations, attributes={})


def test_relations_with_usual_names_have_their_rules_without_a_file() -> None:
    rules = usual_rules(family(row=False, column=False, region=False, box=False, edge=False, conflict=False, less=True))
    assert rules is not None
    for name in ("row", "column", "region", "box", "edge", "conflict", "less"):
        ordered = {"ordered": name == "less", "groups": [[0, 1]]}
        problem = problem_of({"question": [None, None], "relations": {name: ordered}})
        assert rules.holds(problem, ("1", "2"))
        assert not rules.holds(problem, ("2", "2"))
        assert rules.holds(problem, ("2", "1")) == (name != "less")


@pytest.mark.parametrize(
    "unusual",
    [
        family(),
        family(row=False, friends=False),
        family(row=False, less=False),
        family(("mon", "tue"), row=False, less=True),
    ],
)
def test_without_a_rule_for_every_relation_nothing_is_called_valid(unusual: Family) -> None:
    assert usual_rules(unusual) is None


def without(name: str) -> dict[str, Any]:
    return {relation: rule for relation, rule in RULES.items() if relation != name}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("[]", "the rules are a list"),
        ("{", "is not JSON"),
        ("", "is not JSON"),
        ('{"row": null, "row": null}', "'row' is given twice"),
        (json.dumps({**RULES, "rows": "all_different"}), "relation 'rows' is not known: did you mean 'row'"),
        (json.dumps(without("row")), "relation 'row' has no rule: add one, or null"),
        (
            json.dumps({**RULES, "row": "all_diferent"}),
            "relation 'row': rule 'all_diferent' is not known: did you mean",
        ),
        (json.dumps({**RULES, "row": 3}), "the rule of relation 'row' is the number 3"),
        (json.dumps({**RULES, "row": {}}), "the rule of relation 'row' is an object"),
        (json.dumps({**RULES, "cage": "sum"}), "the rule of relation 'cage' does not fit sum"),
        (json.dumps({**RULES, "row": {"increasing": "total"}}), "relation 'row' does not fit increasing"),
        (
            json.dumps({**RULES, "cage": {"sum": "totals"}}),
            "cannot add up to 'totals': attributes with numbers are total",
        ),
        (json.dumps({**RULES, "cage": {"sum": "room"}}), "cannot add up to 'room'"),
        (json.dumps({**RULES, "row": "increasing"}), "relation 'row' cannot be increasing: it is not ordered"),
    ],
)
def test_a_file_of_rules_that_cannot_be_used_is_told(value: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "rules.json"
    path.write_text(value)
    with pytest.raises(InputError) as raised:
        read_rules(str(path), FAMILY)
    assert str(raised.value).startswith(str(path))
    assert said in str(raised.value)


def test_rules_that_compare_need_numbers() -> None:
    with pytest.raises(InputError, match="relation 'less' cannot be increasing: value 'mon' is no whole number"):
        rules_from_json({"less": "increasing"}, family(("1", "mon"), less=True))


def test_a_file_of_rules_is_read(tmp_path: Path) -> None:
    path = tmp_path / "rules.json"
    path.write_text(json.dumps(RULES, indent=1))
    assert read_rules(str(path), FAMILY) == rules_from_json(RULES, FAMILY)


CHECKER = """
def first_is_one(problem, answer):
    return answer[0] == "1" and problem.id == "x"

def raising(problem, answer):
    raise KeyError(answer[0])

def undecided(problem, answer):
    return None
"""


def test_a_checker_decides_after_the_rules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my_checker_of_problems.py").write_text(CHECKER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    problem = problem_of({"question": [None, None], "relations": {"row": [[0, 1]]}, "id": "x"})

    def checked_by(name: str) -> Rules:
        rules = usual_rules(family(row=False))
        assert rules is not None
        return rules.with_checker(checker_named(f"my_checker_of_problems:{name}"))

    assert checked_by("first_is_one").holds(problem, ("1", "2"))
    refused = checked_by("first_is_one").broken(problem, ("2", "1"))
    assert refused is not None
    assert refused == (None, None, "the checker refuses the answer")
    for _ in range(2):
        assert not checked_by("raising").holds(problem, ("1", "2"))
    assert capsys.readouterr().err.count("notice: the checker raised KeyError: '1'") == 1
    same = checked_by("undecided").broken(problem, ("1", "1"))  # broken rules come first
    assert same is not None
    assert same.relation == "row"
    with pytest.raises(InputError, match="returned None"):
        checked_by("undecided").holds(problem, ("1", "2"))
