"""Rows that are not sure suppose something for a while; their answers stand without it."""

import torch

import eqr
from eqr.engine import SolveConfig, gather
from eqr.engine.suppositions import AFTER, Suppositions, doubt

LOGITS = torch.tensor([[9.0, 0.0], [1.0, 0.0], [0.0, 9.0], [0.0, 1.0]])
BLANK = torch.tensor([False, True, True, True])
HARD = "..53.....8......2..7..1.5..4....53...1..7...6..32...8..6.5....9..4....3......97.."
"""Norvig's hardest #2 (examples/sudoku/puzzles.csv)."""


def turns(row: Suppositions, sure: list[bool], seed: int = 0) -> list[dict[int, int]]:
    """What the row supposes after each segment."""
    generator, seen = torch.Generator().manual_seed(seed), []
    for each in sure:
        before = row.cells
        changed = row.turn(each, LOGITS, BLANK, generator)
        assert changed == (row.cells != before)
        seen.append(row.cells)
    return seen


def test_a_row_settles_first_then_supposes_twice_then_lets_go_and_begins_again() -> None:
    held = [len(cells) for cells in turns(Suppositions(hold=3), [False] * (12 + AFTER))]
    assert held == [0] * 5 + [1] * 3 + [2] * 3 + [0] * AFTER + [1]


def test_a_row_that_becomes_sure_lets_go_at_once_and_supposes_nothing_while_it_stays_so() -> None:
    held = [len(cells) for cells in turns(Suppositions(hold=2), [False] * 4 + [True] * 6)]
    assert held == [0, 0, 0, 1, 0, 0, 0, 0, 0, 0]


def test_what_is_supposed_is_a_blank_and_mostly_one_the_row_doubts() -> None:
    drawn = [turns(Suppositions(hold=1), [False, False], seed)[1] for seed in range(200)]
    assert all(len(cells) == 1 and not cells.keys() & {0} for cells in drawn)
    doubted = [cells for cells in drawn if not cells.keys() & {2}]
    assert len(doubted) > 180
    of_second = [cells[1] for cells in doubted if 1 in cells]
    assert 0.55 < of_second.count(1) / len(of_second) < 0.9  # softmax of (1, 0) is 0.73


def test_nothing_is_supposed_where_nothing_is_to_be_found() -> None:
    row = Suppositions(hold=1)
    assert not any(row.turn(False, LOGITS, torch.zeros(4, dtype=torch.bool), torch.Generator()) for _ in range(9))


def test_an_overflown_state_may_suppose_anything() -> None:
    row = Suppositions(hold=1)
    for _ in range(9):
        row.turn(False, torch.full((4, 2), torch.nan), BLANK, torch.Generator().manual_seed(0))


def test_doubt_prefers_confident_cells_that_are_not_certain() -> None:
    half, likely, certain = doubt(torch.tensor([0.5, 0.75, 1.0])).tolist()
    assert likely > 3 * half
    assert certain < 1e-9


def test_supposing_solves_what_settling_does_not() -> None:
    model = eqr.load("sudoku")
    puzzle = model.task.encode(HARD)
    settled, supposed = (
        next(gather(model, puzzle, SolveConfig(depth=64, breadth=4, halt="learned", suppose=suppose)))
        for suppose in (0, 6)
    )
    assert not settled.halted.any()
    assert supposed.halted.any()
    assert supposed.valid[supposed.halted].all()
