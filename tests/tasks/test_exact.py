"""The exact solver against a brute force that knows nothing of clauses."""

import random
import sys
from itertools import pairwise, product
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eqr.errors import InputError
from eqr.tasks import exact as module
from eqr.tasks.exact import Exact
from eqr.tasks.problem import Relation
from eqr.tasks.rules import Rule

VALUES = ("1", "2", "3")
SIZE = 5
groups = st.lists(st.lists(st.integers(0, SIZE - 1), min_size=1, max_size=3, unique=True).map(tuple), max_size=4)


def all_answers(different: list[tuple[int, ...]], less: list[tuple[int, ...]]) -> list[tuple[str, ...]]:
    return [
        answer
        for answer in product(VALUES, repeat=SIZE)
        if all(len({answer[i] for i in group}) == len(group) for group in different)
        and all(answer[a] < answer[b] for group in less for a, b in pairwise(group))
    ]


@given(
    groups, groups, st.lists(st.none() | st.none() | st.sampled_from(VALUES), min_size=SIZE, max_size=SIZE), st.data()
)
def test_answers_are_found_and_counted_as_by_brute_force(
    different: list[tuple[int, ...]], less: list[tuple[int, ...]], question: list[str | None], data: st.DataObject
) -> None:
    relations = {"row": Relation(groups=tuple(different)), "less": Relation(groups=tuple(less), ordered=True)}
    every = all_answers(different, less)
    fitting = [a for a in every if all(q in (None, value) for q, value in zip(question, a, strict=True))]
    rng = random.Random(0)
    with Exact(SIZE, VALUES, relations) as exact:
        assert exact.count(question, 1000) == len(fitting)
        assert exact.count(question) == min(2, len(fitting))  # what was counted before is forgotten
        assert (exact.answer(question, rng) in fitting) if fitting else exact.answer(question, rng) is None
        if every:
            answer = data.draw(st.sampled_from(every))
            thin = exact.thinned(answer, rng)
            assert [a for a in every if all(q in (None, v) for q, v in zip(thin, a, strict=True))] == [answer]
            kept = [i for i, value in enumerate(thin) if value is not None]
            assert all(exact.count([None if i == j else v for i, v in enumerate(thin)]) == 2 for j in kept)
            assert sum(value is not None for value in exact.thinned(answer, rng, 4)) >= 4


def test_random_answers_differ() -> None:
    rows = Relation(groups=((0, 1, 2, 3),))
    with Exact(4, ("1", "2", "3", "4"), {"row": rows}) as exact:
        rng = random.Random(0)
        assert len({exact.answer([None] * 4, rng) for _ in range(400)}) == 24


def test_a_search_that_is_too_long_decides_nothing() -> None:
    # Ten pigeons in nine holes: a refutation by clauses takes thousands of conflicts.
    pigeons = Relation(groups=tuple((a, b) for a in range(10) for b in range(a)))
    with patch.object(module, "MOST_CONFLICTS", 5), Exact(10, [str(v) for v in range(9)], {"edge": pigeons}) as exact:
        assert exact.count([None] * 10) is None
        assert exact.answer([None] * 10, random.Random(0)) is None


@pytest.mark.parametrize("rules", [{}, {"cage": None}, {"cage": Rule("sum", "total")}])
def test_a_relation_that_cannot_be_decided_is_refused(rules: dict[str, Rule | None]) -> None:
    with pytest.raises(InputError, match="relation 'cage' cannot be decided exactly"):
        Exact(2, VALUES, {"cage": Relation(groups=((0, 1),))}, rules)


def test_without_the_extra_one_sentence_says_what_to_install() -> None:
    with patch.dict(sys.modules, {"pysat.solvers": None}), pytest.raises(InputError, match=r"\[csp\]"):
        Exact(2, VALUES, {})
