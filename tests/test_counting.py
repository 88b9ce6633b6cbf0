"""The counters of the guards count."""

import torch
from counting import Operators, Syncs

from eqr.evidence import Evidence, Solution
from eqr.solvers import relative_residual


def test_operators_are_counted_and_views_are_not() -> None:
    with Operators() as operators:
        relative_residual(torch.ones(2, 3), torch.full((2, 3), 2.0))
    assert operators.names == {"sub": 1, "linalg_vector_norm": 2, "div": 1, "ones": 1, "full": 1}
    assert operators.total == 6


def test_waits_are_counted_by_the_line_of_the_package_that_makes_them() -> None:
    evidence = Evidence(
        puzzle=torch.zeros(1),
        answers=torch.zeros(1, 1),
        **{name: torch.zeros(1) for name in ("residual", "logit_change", "halt_logit", "depth")},
        **{name: torch.ones(1, dtype=torch.bool) for name in ("converged", "halted", "valid")},
    )
    solution = Solution(evidence=evidence, restart=0, text="")
    with Syncs() as syncs, Syncs("evidence.py") as apart:
        assert evidence.depth.tolist() == [0]  # here, not in the package
        for _ in range(3):
            assert (solution.depth, solution.valid) == (0, True)
    assert apart.total == 0
    assert sorted(syncs.lines.values()) == [3, 3]
    assert {line.split(":")[0] for line in syncs.lines} == {"evidence.py"}
    assert {line.split()[1] for line in syncs.lines} == {"__int__", "__bool__"}
