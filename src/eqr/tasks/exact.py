"""Decides exactly how many answers a problem has, by a SAT solver (extra ``csp``). Never used to answer a puzzle.

Generators use it to give as few values as leave one answer. Every call ends after a number of conflicts, not after a
time, so the same seed gives the same problems on any machine with the same version of the solver.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, pairwise

from eqr.errors import InputError, missing_extra
from eqr.tasks.problem import Relation
from eqr.tasks.rules import USUAL, Rule

MOST_CONFLICTS = 20_000
"""Conflicts of one call of a method; on a 25x25 Sudoku they take about ten seconds, elsewhere much less."""
Given = Sequence[str | None]
"""(L,) the given value of each variable; None where one is to be found."""


class Exact:
    """The answers of L variables under the rules of their relations, for any given values."""

    def __init__(
        self,
        variables: int,
        values: Sequence[str],
        relations: Mapping[str, Relation],
        rules: Mapping[str, Rule | None] = USUAL,
    ) -> None:
        """Builds the clauses; ``values``, in increasing order, are the values of each variable.

        Raises InputError without the extra, and for a relation without a rule or with the rule ``sum``.
        """
        try:
            from pysat.solvers import Glucose4  # optional, and only generators need it
        except ImportError:
            raise missing_extra("deciding whether a problem has one answer", "csp") from None
        self.variables, self.values = variables, tuple(values)
        self.number = {value: number for number, value in enumerate(values)}
        self.left = 0
        """Conflicts that the present call may still have."""
        self.solver = Glucose4(bootstrap_with=self._clauses(relations, rules))

    def __enter__(self) -> "Exact":
        return self

    def __exit__(self, *_: object) -> None:
        self.solver.delete()  # its memory is not Python's

    def answer(self, given: Given, rng: random.Random) -> tuple[str, ...] | None:
        """Returns a random answer, though not every answer is equally likely; None if there is none or none is found.

        Each variable prefers a random value, which the solver tries first.
        """
        self.left = MOST_CONFLICTS
        likes = [rng.randrange(len(self.values)) for _ in range(self.variables)]
        phases = (
            self._literal(i, v) * (1 if v == like else -1)
            for i, like in enumerate(likes)
            for v in range(len(self.values))
        )
        self.solver.set_phases(list(phases))
        return self._found() if self._search(self._assumed(given)) else None

    def count(self, given: Given, most: int = 2) -> int | None:
        """Returns the number of answers, at most ``most``; None if the search was too long to tell."""
        # Each answer found is excluded by a clause that holds only while `active` is assumed.
        self.left = MOST_CONFLICTS
        active = self.solver.nof_vars() + 1
        for found in range(most):
            exists = self._search([active, *self._assumed(given)])
            if exists is None:
                return None
            if not exists:
                return found
            self.solver.add_clause([-active, *(-literal for literal in self._assumed(self._found()))])
        return most

    def thinned(self, answer: Sequence[str], rng: random.Random, fewest: int = 0) -> tuple[str | None, ...]:
        """Returns a question with this only answer; a variable keeps its value if its removal would allow others.

        Variables are tried once each, in random order, until ``fewest`` values are given. If more are left at the end,
        none of them could be left out, or the search was too long to tell.
        """
        self.left, given = MOST_CONFLICTS, len(answer)
        question: list[str | None] = list(answer)
        for variable in rng.sample(range(self.variables), self.variables):
            if given <= fewest or self.left <= 0:
                break
            question[variable] = None
            # With this value the answer is the only one, so another answer has another value here.
            other = -self._literal(variable, self.number[answer[variable]])
            if self._search([*self._assumed(question), other]) is False:
                given -= 1
            else:
                question[variable] = answer[variable]
        return tuple(question)

    def _literal(self, variable: int, value: int) -> int:
        return variable * len(self.values) + value + 1

    def _assumed(self, given: Given) -> list[int]:
        return [self._literal(i, self.number[value]) for i, value in enumerate(given) if value is not None]

    @property
    def conflicts(self) -> int:
        """Conflicts of all calls so far: the measure of work."""
        return int(self.solver.accum_stats()["conflicts"])

    def _search(self, assumptions: list[int]) -> bool | None:
        """Returns whether there is an answer; None if no conflicts are left."""
        before = self.conflicts
        self.solver.conf_budget(max(1, self.left))
        exists: bool | None = self.solver.solve_limited(assumptions=assumptions)
        self.left -= self.conflicts - before
        return exists

    def _found(self) -> tuple[str, ...]:
        model, size = self.solver.get_model(), len(self.values)
        places = (literal - 1 for literal in model[: self.variables * size] if literal > 0)
        return tuple(self.values[place % size] for place in places)

    def _clauses(self, relations: Mapping[str, Relation], rules: Mapping[str, Rule | None]) -> Iterator[list[int]]:
        size = len(self.values)
        different: set[tuple[int, ...]] = set()
        for variable in range(self.variables):
            yield [self._literal(variable, v) for v in range(size)]
            for v, w in combinations(range(size), 2):
                yield [-self._literal(variable, v), -self._literal(variable, w)]
        for name, relation in relations.items():
            rule = rules.get(name)
            if rule is None or rule.predicate == "sum":
                raise InputError(
                    f"relation {name!r} cannot be decided exactly: its rule must be all_different or increasing"
                )
            for group in relation.groups:
                if rule.predicate == "increasing":
                    yield from self._increasing(group)
                    continue
                different.update(combinations(sorted(group), 2))
                if len(group) == size:  # implied, and finds hidden singles at once
                    yield from ([self._literal(i, v) for i in group] for v in range(size))
        for a, b in sorted(different):  # once, although a row and a box may share the pair
            yield from ([-self._literal(a, v), -self._literal(b, v)] for v in range(size))

    def _increasing(self, group: Sequence[int]) -> Iterator[list[int]]:
        size = len(self.values)
        for a, b in pairwise(group):
            for v in range(size):
                yield [-self._literal(a, v), *(self._literal(b, w) for w in range(v + 1, size))]
