"""Problems as JSON lines: every fault gets one sentence with its place, and nothing sound is refused or changed."""

import gzip
import io
import json
import re
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eqr.data.parsing import Refused
from eqr.data.problems import problems_in, read_problems, write_problems
from eqr.errors import InputError, printable
from eqr.tasks.family import Family, family_from_json, family_of
from eqr.tasks.problem import Problem, Relation, problem_of

GOOD: dict[str, Any] = {
    "question": ["3", None, None, "1"],
    "answer": ["3", "2", "4", "1"],
    "relations": {"row": [[0, 1], [2, 3]], "less": {"ordered": True, "groups": [[1, 0], [3, 2]]}},
    "attributes": {"cage_sum": [12, None, 7, 0], "room": ["A", "B", None, "B"]},
    "shape": [2, 2],
    "id": "first",
}
ABSENT = object()
LISTS = ("question", "answer", "cage_sum", "room")
NO_TEXTS = ((3, "the number 3"), (True, "true"), (1.5, "the number 1.5"), (["3"], "a list"), ({}, "an object"))
NO_LISTS = ((3, "the number 3"), ("0,1", "the text '0,1'"), (True, "true"))


def changed(*path: str | int, to: object) -> str:
    """The good line with another value, or none, in one place."""
    value = json.loads(json.dumps(GOOD))
    at = value
    for step in path[:-1]:
        at = at[step]
    if to is ABSENT:
        del at[path[-1]]
    else:
        at[path[-1]] = to
    return json.dumps(value)


def row(name: str) -> tuple[str, ...]:
    return (name,) if name in GOOD else ("attributes", name)


def called(name: str) -> str:
    return name if name in GOOD else f"attribute '{name}'"


Fault = tuple[str, tuple[str, ...]]
KINDS: dict[str, list[Fault]] = {
    "no JSON": [
        (text, ("not JSON", "one object on each line")) for text in ("{", "[1,", "{'question': []}", "nul", "}")
    ]
    + [(json.dumps(GOOD)[:cut], ("not JSON",)) for cut in range(1, 200, 20)]
    + [(json.dumps(GOOD) + "]", ("not JSON",)), ("[" * 100_000, ("not JSON", "nested too deep"))],
    "no object": [
        (text, ("the problem is " + said, "not an object"))
        for text, said in [
            ("[]", "a list"),
            ("3", "the number 3"),
            ('"a"', "the text 'a'"),
            ("null", "null"),
            ("true", "t"),
        ]
    ],
    "number that is none": [
        (json.dumps(GOOD).replace("12", word), ("holds " + word, "no number"))
        for word in ("NaN", "Infinity", "-Infinity")
    ],
    "number too long": [
        (json.dumps(GOOD).replace("12", "9" * digits), (f"number of {digits:,} digits",)) for digits in (21, 5000)
    ],
    "name twice": [
        (json.dumps(GOOD).replace('"shape"', '"id"'), ("'id' is given twice",)),
        (json.dumps(GOOD).replace('"less"', '"row"'), ("'row' is given twice",)),
        (json.dumps(GOOD).replace('"room"', '"cage_sum"'), ("'cage_sum' is given twice",)),
    ],
    "unknown field": [
        (
            json.dumps(GOOD).replace(f'"{name}"', f'"{typed}"'),
            (f"field '{typed}' is not known", f"did you mean '{name}'"),
        )
        for name, typed in [
            ("question", "questions"),
            ("answer", "anwser"),
            ("relations", "relation"),
            ("attributes", "attribute"),
            ("shape", "shapes"),
        ]
    ],
    "missing field": [
        (changed(name, to=to), (f"has no {name}",)) for name in ("question", "relations") for to in (ABSENT, None)
    ],
    "list that is none": [
        (changed(*row(name), to=to), (called(name), said, "not a list")) for name in LISTS for to, said in NO_LISTS
    ],
    "no variables": [(changed("question", to=[]), ("question has 0 variables",))],
    "too many variables": [(changed("question", to=[None] * 4097), ("question has 4,097 variables", "4,096"))],
    "value that is no text": [
        (changed(field, i, to=to), (f"{field}, variable {i}, is {said}", "a text in quotes"))
        for field in ("question", "answer")
        for i in range(4)
        for to, said in NO_TEXTS
    ]
    + [(changed("answer", i, to=None), (f"answer, variable {i}, is null",)) for i in range(4)],
    "value too long or empty": [
        (changed(*row(name), i, to=to), (called(name), f"variable {i}, has {len(to)} characters", "1 to 100"))
        for name in ("question", "answer", "room")
        for i in (0, 3)
        for to in ("", "x" * 101)
    ],
    "value that cannot be printed": [
        (changed(*row(name), 1, to=to), (called(name), "variable 1,", "cannot be printed", escaped))
        for name in ("question", "answer", "room")
        for to, escaped in [("\x1b[2J", r"\x1b"), ("a\nb", r"\n"), ("\ud800", r"\ud800"), ("\u202e1", r"\u202e")]
    ],
    "lengths that differ": [
        (
            changed(*row(name), to=GOOD["answer"][:length] if name != "cage_sum" else [1] * length),
            (called(name), f"has {length}", "4"),
        )
        for name in ("answer", "cage_sum", "room")
        for length in (0, 1, 3)
    ],
    "given value changed": [
        (changed("answer", i, to="9"), (f"answer, variable {i}, is '9'", f"the question gives '{value}'"))
        for i, value in [(0, "3"), (3, "1")]
    ],
    "names that are none": [
        (changed(field, to=to), (f"{field} is {said}", "not an object"))
        for field in ("relations", "attributes")
        for to, said in [*NO_LISTS, ([[0, 1]], "a list")]
    ],
    "name that is none": [
        (changed(field, name, to=[]), (f"the name of {field[:-1]} 2", said))
        for field in ("relations", "attributes")
        for name, said in [("", "has 0 characters"), ("n" * 101, "has 101 characters"), ("\x07", r"'\x07'")]
    ],
    "too many names": [
        (changed(field, to={f"n{i}": [] for i in range(65)}), (f"{field} has 65 names", "64"))
        for field in ("relations", "attributes")
    ],
    "relation that is none": [
        (changed("relations", name, to=to), (f"relation '{name}'", said))
        for name in ("row", "less")
        for to, said in NO_LISTS
    ],
    "part of a relation": [
        (changed("relations", "less", "orderd", to=True), ("relation 'less'", "'orderd' is not known", "'ordered'")),
        (changed("relations", "less", "groups", to=ABSENT), ("relation 'less' has no groups",)),
        *(
            (changed("relations", "less", "ordered", to=to), ("relation 'less'", f"ordered is {said}", "true or false"))
            for to, said in [(1, "the number 1"), ("yes", "the text 'yes'"), (None, "null")]
        ),
    ],
    "too many groups": [
        (changed("relations", "row", to=[[0]] * 65537), ("relation 'row' has 65,537 groups", "65,536"))
    ],
    "group that is none": [
        (changed("relations", "row", number, to=to), (f"relation 'row', group {number},", said, "not a list"))
        for number in (0, 1)
        for to, said in [*NO_LISTS, (None, "null"), ({"a": 1}, "an object")]
    ],
    "empty group": [
        (changed("relations", "row", number, to=[]), (f"relation 'row', group {number}, is empty",))
        for number in (0, 1)
    ],
    "member that is no variable": [
        (changed("relations", "less", "groups", 1, place, to=to), ("relation 'less', group 1,", said, "from 0"))
        for place in (0, 1)
        for to, said in [
            ("3", "the text '3'"),
            (1.0, "the number 1.0"),
            (True, "true"),
            (None, "null"),
            ([1], "a list"),
        ]
    ],
    "variable that does not exist": [
        (changed("relations", "row", 1, place, to=to), ("relation 'row', group 1,", f"variable {to}", "0 to 3"))
        for place in (0, 1)
        for to in (-1, 4, 99)
    ],
    "variable twice in a group": [
        (changed("relations", "row", number, to=group), (f"relation 'row', group {number},", f"variable {twice} more"))
        for number in (0, 1)
        for group, twice in [([0, 0], 0), ([3, 1, 3], 3), ([2, 1, 1], 1)]
    ],
    "entry that is none": [
        (changed("attributes", name, i, to=to), (f"attribute '{name}', variable {i}, is {said}", "whole number"))
        for name in ("cage_sum", "room")
        for i in range(4)
        for to, said in [(1.5, "the number 1.5"), (True, "true"), ([1], "a list"), ({}, "an object")]
    ],
    "number too large": [
        (changed("attributes", "cage_sum", i, to=to), (f"attribute 'cage_sum', variable {i},", "beyond 1,073,741,822"))
        for i in range(4)
        for to in (2**31, -(2**31), 10**15)
    ],
    "numbers and texts": [
        (changed("attributes", "cage_sum", i, to="many"), ("attribute 'cage_sum'", "all numbers or all texts"))
        for i in (0, 2, 3)
    ]
    + [(changed("attributes", "room", i, to=7), ("attribute 'room'", "all numbers or all texts")) for i in (0, 1, 3)],
    "shape that is none": [
        (changed("shape", to=to), ("shape", "rows and columns"))
        for to in (4, "2x2", [4], [2, 2, 1], [2.0, 2], [True, 4], [0, 4], [-2, -2], {}, [])
    ],
    "shape that does not fit": [
        (changed("shape", to=[r, c]), (f"shape {r}x{c} has {r * c} cells", "4 variables"))
        for r, c in [(1, 3), (2, 3), (4, 4)]
    ],
    "id that is none": [
        (changed("id", to=to), ("the id", said)) for to, said in [*NO_TEXTS, ("", "0 characters"), ("a\tb", r"'a\tb'")]
    ],
    "line too long": [(changed("id", to="x" * (1 << 20)), ("more than 1,048,576 characters",))],
}
FAULTS = [(kind, number, *fault) for kind, faults in KINDS.items() for number, fault in enumerate(faults)]


def written(tmp_path: Path, *lines: str) -> str:
    path = tmp_path / "F.jsonl"
    path.write_bytes("".join(line + "\n" for line in lines).encode("utf-8", "surrogateescape"))
    return str(path)


def test_there_are_enough_malformed_lines() -> None:
    assert len(KINDS) >= 20
    assert len({text for _, _, text, _ in FAULTS}) >= 200


@pytest.mark.parametrize(("kind", "number", "text", "said"), FAULTS, ids=[f"{kind} {n}" for kind, n, _, _ in FAULTS])
def test_a_malformed_line_gets_one_sentence_with_its_place(
    kind: str, number: int, text: str, said: tuple[str, ...], tmp_path: Path
) -> None:
    path = written(tmp_path, json.dumps(GOOD), text, "", json.dumps(GOOD))
    before, fault, after = read_problems(path)
    assert isinstance(before, Problem)
    assert before == after
    assert isinstance(fault, Refused)
    assert fault.place == f"{path}, line 2"
    assert all(part in fault.reason for part in said), fault.reason
    assert len(fault.reason) < 300
    assert printable(fault.reason) == fault.reason
    with pytest.raises(InputError, match=re.escape(f"{path}, line 2: {fault.reason}")):
        list(problems_in(path))


def test_bytes_that_are_no_text_are_told(tmp_path: Path) -> None:
    path = written(tmp_path, json.dumps(GOOD).replace("first", "\udcff"))
    (fault,) = read_problems(path)
    assert isinstance(fault, Refused)
    assert "not UTF-8 text" in fault.reason


@pytest.mark.parametrize(
    ("content", "said"), [(b"", "is empty"), (b"\n \n", "is empty"), (b"PK\x03\x04", "zip archive")]
)
def test_a_file_without_problems_is_told(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "F.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=said):
        list(read_problems(str(path)))
    with pytest.raises(InputError, match="cannot read"):
        list(read_problems(str(tmp_path / "missing")))


def test_a_line_becomes_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "F.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(GOOD).encode()))
    (problem,) = problems_in(str(path), answered=True)
    assert problem == Problem(
        question=("3", None, None, "1"),
        answer=("3", "2", "4", "1"),
        relations={
            "row": Relation(groups=((0, 1), (2, 3))),
            "less": Relation(groups=((1, 0), (3, 2)), ordered=True),
        },
        attributes={"cage_sum": (12, None, 7, 0), "room": ("A", "B", None, "B")},
        shape=(2, 2),
        id="first",
    )
    assert problem.place == f"{path}, line 1"


def test_fields_that_are_optional_may_be_left_out_or_null(tmp_path: Path) -> None:
    least = {"question": [None], "relations": {}}
    path = written(
        tmp_path,
        json.dumps(least),
        json.dumps({**GOOD, **least, "answer": None, "attributes": None, "shape": None, "id": None}),
    )
    first, second = problems_in(path)
    assert first == second == Problem(question=(None,), relations={})
    (fault, _) = read_problems(path, answered=True)
    assert isinstance(fault, Refused)
    assert "no answer" in fault.reason


def test_unordered_relations_may_say_so() -> None:
    said = problem_of({"question": [None], "relations": {"all": {"ordered": False, "groups": [[0]]}}})
    assert said == problem_of({"question": [None], "relations": {"all": [[0]]}})


words = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp", "Cf")), min_size=1, max_size=8)


@st.composite
def problem_objects(draw: st.DrawFn) -> dict[str, Any]:
    """Sound problems of every form."""
    size = draw(st.integers(1, 6))
    answer = draw(st.lists(words, min_size=size, max_size=size))
    groups = st.lists(st.lists(st.integers(0, size - 1), min_size=1, unique=True), max_size=4)
    ordered = st.builds(lambda given, order: {"groups": given, "ordered": order}, groups, st.booleans())

    def entries(of: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
        return st.lists(st.none() | of, min_size=size, max_size=size)

    return {
        "question": [value if draw(st.booleans()) else None for value in answer],
        "answer": draw(st.none() | st.just(answer)),
        "relations": draw(st.dictionaries(words, groups | ordered, max_size=3)),
        "attributes": draw(st.dictionaries(words, entries(st.integers(-9, 9)) | entries(words), max_size=2)),
        "shape": draw(st.none() | st.sampled_from([[1, size], [size, 1]])),
        "id": draw(st.none() | words),
    }


@given(st.lists(problem_objects(), min_size=1, max_size=3))
def test_written_problems_are_read_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, values: list[dict[str, Any]]
) -> None:
    problems = [problem_of(value) for value in values]
    write_problems(problems, text := io.StringIO())
    path = tmp_path_factory.mktemp("written") / "F.jsonl"
    path.write_text(text.getvalue())
    assert list(problems_in(str(path))) == problems
    for problem in problems:
        if problem.answer or any(problem.question):
            family_of([problem]).check(problem)


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path to every part of a JSON value."""
    for step, part in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*path, step)
        yield from places(part, (*path, step))


JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.just([]), st.just({}), st.just([[0]])
)
MUTATIONS: list[Callable[[Any, Any, Any], object]] = [
    lambda parent, step, junk: parent.__setitem__(step, junk),
    lambda parent, step, junk: parent.__delitem__(step),
    lambda parent, step, junk: parent.append(parent[step]) if isinstance(parent, list) else parent.update(new=junk),
    lambda parent, step, junk: parent.__setitem__(step, [parent[step], junk]),
]


@given(st.data(), JUNK, st.sampled_from(MUTATIONS))
def test_a_mutated_line_is_read_or_gets_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, junk: Any, mutate: Callable[[Any, Any, Any], object]
) -> None:
    value = json.loads(json.dumps(GOOD))
    *path, last = data.draw(st.sampled_from(list(places(value))))
    parent = value
    for step in path:
        parent = parent[step]
    mutate(parent, last, junk)
    file = tmp_path_factory.mktemp("mutated") / "F.jsonl"
    file.write_text(json.dumps(value))
    (item,) = read_problems(str(file))
    if isinstance(item, Refused):
        assert printable(item.reason) == item.reason
        assert len(item.reason) < 300
    else:  # what is accepted is kept whole: nothing is dropped or converted
        again = json.loads(json.dumps(item.as_json()))
        for name, part in value["relations"].items():
            if isinstance(part, dict) and not part.get("ordered"):
                value["relations"][name] = part["groups"]  # the shorter form of an unordered relation
        kept = {name: part for name, part in value.items() if part not in (None, {})}
        assert {name: part for name, part in again.items() if part != {}} == kept


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    def peak(lines: int) -> int:
        path = written(tmp_path, *[json.dumps(GOOD)] * lines)
        tracemalloc.start()
        assert sum(1 for _ in problems_in(path)) == lines
        assert len(family_of(problems_in(path)).values) == 4
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    # 3000 problems take more than 6 MB; Python keeps some freed tuples for later.
    assert peak(4000) < peak(1000) + 500_000


def family(*values: dict[str, Any]) -> Family:
    return family_of(problem_of(value, f"line {number}") for number, value in enumerate(values, 1))


def test_a_family_holds_names_and_values_in_order_whatever_the_order_of_lines() -> None:
    one = {"question": ["10", None], "answer": ["10", "b"], "relations": {"z": [], "a": [[0]]}}
    two = {
        "question": [None, "9"],
        "relations": {"less": {"ordered": True, "groups": []}},
        "attributes": {"room": ["B", "A"], "n": [None, 3], "empty": [None, None]},
    }
    made = family(one, two)
    assert made == family(two, one)
    assert made.values == ("9", "10", "b")
    assert dict(made.relations) == {"a": False, "less": True, "z": False}
    assert dict(made.attributes) == {"room": ("A", "B"), "n": None}
    kept = json.loads(json.dumps(made.as_json()))
    assert family_from_json(kept, "config.json") == made
    assert list(made.relations) == sorted(made.relations)


@pytest.mark.parametrize(
    ("path", "to", "said"),
    [
        (("question", 1), "5", ("question, variable 1, is '5'", "1, 2, 3, 4")),
        (("answer", 2), "5", ("answer, variable 2, is '5'", "the values of the training data")),
        (("relations", "column"), [], ("relation 'column' is not known", "less, row")),
        (("relations", "row"), {"ordered": True, "groups": []}, ("relation 'row' is ordered here",)),
        (("relations", "less"), [], ("relation 'less' is not ordered here",)),
        (("attributes", "colour"), [1, 1, 1, 1], ("attribute 'colour' is not known", "cage_sum, room")),
        (("attributes", "room"), [1, 1, 1, 1], ("attribute 'room' has numbers here",)),
        (("attributes", "cage_sum"), ["1", None, None, None], ("attribute 'cage_sum' has texts here",)),
        (("attributes", "room", 3), "C", ("attribute 'room', variable 3, is 'C'", "A, B")),
    ],
)
def test_a_problem_of_another_family_is_refused(
    path: tuple[str, ...], to: object, said: tuple[str, ...], tmp_path: Path
) -> None:
    known = family(GOOD)
    value = json.loads(changed(*path, to=to))
    if path == ("question", 1):
        value["answer"][1] = "5"
    (fault,) = read_problems(written(tmp_path, json.dumps(value)), known)
    assert isinstance(fault, Refused)
    assert fault.place.endswith("line 1")
    assert all(part in fault.reason for part in said), fault.reason
    (sound,) = read_problems(written(tmp_path, changed("attributes", "room", to=[None] * 4)), known)
    assert isinstance(sound, Problem)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([GOOD, json.loads(changed("relations", "less", to=[]))], "line 2: relation 'less' is not ordered here"),
        ([GOOD, json.loads(changed("attributes", "room", to=[1] * 4))], "line 2: attribute 'room' has numbers here"),
        ([{"question": [None], "relations": {}}], "no values"),
        ([], "no values"),
        ([{"question": [str(i) for i in range(256)], "relations": {}}], "line 1: .*more than 255 values"),
        (
            [{"question": ["1"], "relations": {f"r{i}{j}": [] for i in range(33)}} for j in range(2)],
            "line 2: .*64 relations",
        ),
        (
            [
                {"question": ["1"], "relations": {}, "attributes": {f"r{i}{j}": [1] for i in range(33)}}
                for j in range(2)
            ],
            "line 2: .*64 attributes",
        ),
        (
            [
                {"question": ["1"] * 4000, "relations": {}, "attributes": {"a": [f"{i}-{j}" for i in range(4000)]}}
                for j in range(2)
            ],
            "line 2: .*4,096 different texts of attribute 'a'",
        ),
    ],
)
def test_problems_that_are_no_family_are_refused(values: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(InputError, match=said):
        family(*values)


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        {**family(GOOD).as_json(), "more": 1},
        *(
            {**family(GOOD).as_json(), "values": to}
            for to in (3, [], ["1", "1"], [1], [""], [str(i) for i in range(256)])
        ),
        *(
            {**family(GOOD).as_json(), "relations": to}
            for to in ([], {"row": 1}, {"": True}, {f"r{i}": True for i in range(65)})
        ),
        *({**family(GOOD).as_json(), "attributes": to} for to in ([], {"a": "AB"}, {"a": [1]}, {"a": ["A", "A"]})),
    ],
)
def test_a_damaged_family_is_refused(value: object) -> None:
    with pytest.raises(InputError, match=r"config\.json"):
        family_from_json(value, "config.json")
