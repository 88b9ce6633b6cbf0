"""Which restart answers, and how many are enough, from evidence written by hand."""

import math

import pytest
import torch

from eqr.engine.policy.breadth import enough_restarts, waves
from eqr.engine.policy.selection import by_rank, choose, selection_rule
from eqr.evidence import Evidence
from eqr.measure.report import pass_at_k
from eqr.types import Calibration

NAN, INF = math.nan, math.inf


def evidence(
    answers: list[list[int]],
    residual: list[float] | None = None,
    logit_change: list[float] | None = None,
    halt_logit: list[float] | None = None,
    halted: list[bool] | None = None,
    valid: list[bool] | None = None,
) -> Evidence:
    count = len(answers)
    return Evidence(
        puzzle=torch.zeros(2, dtype=torch.long),
        answers=torch.tensor(answers),
        residual=torch.tensor(residual or [1.0] * count),
        logit_change=torch.tensor(logit_change or [1.0] * count),
        halt_logit=torch.tensor(halt_logit or [0.0] * count),
        depth=torch.full((count,), 5),
        converged=torch.zeros(count, dtype=torch.bool),
        halted=torch.tensor(halted or [False] * count),
        valid=torch.tensor(valid or [False] * count),
    )


A, B, C = [1, 2], [2, 1], [2, 2]


@pytest.mark.parametrize(
    ("rule", "found", "chosen"),
    [
        ("residual", evidence([A, B, C], residual=[0.3, 1e-6, 0.2]), 1),
        ("residual", evidence([A, B, C], residual=[NAN, 0.2, INF]), 1),
        ("residual", evidence([A, B], residual=[0.1, 0.1]), 0),
        ("logit_change", evidence([A, B, C], residual=[0.0, 1.0, 1.0], logit_change=[INF, 0.2, 0.1]), 2),
        ("vote", evidence([A, B, B, C]), 1),
        ("vote", evidence([A, B, B, A]), 0),
        ("halt_score", evidence([A, B, C], halt_logit=[-3.0, NAN, 2.0]), 2),
        ("first", evidence([A, B], residual=[9.0, 0.0]), 0),
        ("verifier", evidence([A, B, C], valid=[False, True, True]), 1),
        ("verifier", evidence([A, B]), 0),
    ],
)
def test_the_rule_chooses(rule: str, found: Evidence, chosen: int) -> None:
    assert selection_rule(rule).selects(found) == chosen


def test_a_residual_that_is_no_number_ranks_last() -> None:
    assert by_rank(evidence([A, B, C], residual=[NAN, 2.0, 1.0])) == [2, 1, 0]


def test_a_row_that_halted_goes_before_one_that_ran_out_of_depth() -> None:
    found = evidence([A, B, B], residual=[0.5, 0.1, 0.2], halted=[True, False, False], valid=[False, False, True])
    assert [choose(found, selection_rule(rule)) for rule in ("residual", "vote", "first", "verifier")] == [0, 0, 0, 2]
    assert (
        choose(evidence([A, B, B], residual=[0.5, 0.3, 0.2], halted=[False, True, True]), selection_rule("residual"))
        == 2
    )
    assert choose(evidence([A, B], residual=[0.5, 0.3]), selection_rule("residual")) == 1


@pytest.mark.parametrize(
    ("found", "enough"),
    [
        (evidence([A]), False),
        (evidence([A, A, A]), False),
        (evidence([A], residual=[1e-9]), False),  # it has not halted
        (evidence([A], residual=[1e-9], halted=[True]), True),
        (evidence([A], residual=[1e-3], halted=[True]), False),
        (evidence([A], halt_logit=[9.0], halted=[True]), True),
        (evidence([A, A], halted=[True, True]), True),
        (evidence([A, A], halted=[True, False]), False),
        (evidence([A, B], halted=[True, True]), False),
        (evidence([A, B, C, B], halted=[True, True, False, True]), True),
    ],
)
def test_restarts_stop_when_the_evidence_suffices(found: Evidence, enough: bool) -> None:
    calibration = Calibration(
        delta=5.0, tol=1e-6, delta_rows=100, tol_rows=100, precision=0.999, puzzles=100, data="x", depth=64, window=3
    )
    assert enough_restarts(found, calibration) is enough


def test_without_calibration_only_agreement_counts() -> None:
    assert not enough_restarts(evidence([A], residual=[0.0], halt_logit=[99.0], halted=[True]), None)
    assert enough_restarts(evidence([A, A], halted=[True, True]), None)


def test_waves_grow_with_what_was_tried_and_stop_at_the_most() -> None:
    assert list(waves(16, adaptive=True)) == [1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 1]
    assert list(waves(3, adaptive=True)) == [1, 1, 1]
    assert list(waves(6, adaptive=False)) == [6]


@pytest.mark.parametrize(("restarts", "right"), [(1, 0), (1, 1), (5, 2), (8, 0), (8, 1), (8, 8)])
def test_pass_at_k_is_the_share_of_all_choices_with_a_right_one(restarts: int, right: int) -> None:
    from itertools import combinations

    for k, estimate in pass_at_k(restarts, right).items():
        choices = list(combinations([number < right for number in range(restarts)], k))
        assert estimate == pytest.approx(sum(any(choice) for choice in choices) / len(choices))
    assert list(pass_at_k(restarts, right)) == [k for k in (1, 2, 4, 8) if k <= restarts]
