"""Rows that are not sure suppose something for a while; their answers stand without it."""

import random

import torch
from jaxtyping import Bool, Float
from torch import Tensor

import eqr
from eqr.engine import SolveConfig, evidence_stream
from eqr.engine.policy.suppose import AFTER, FIRST, NEVER_ZERO, Due, Suppositions, doubted_cells

LOGITS = torch.tensor([[9.0, 0.0], [1.0, 0.0], [0.0, 9.0], [0.0, 1.0]])
BLANK = torch.tensor([False, True, True, True])
HARD = ".6.5.1.9.1...9..539....7....4.8...7.......5.8.817.5.3.....5.2............76..8..."
"""Norvig's top95 #12."""


def begun(*holds: int, most: int = 2) -> Suppositions:
    """Rows before their first segment."""
    hold = torch.tensor(holds)
    symbols, zeros = torch.zeros(len(hold), 4, dtype=torch.long), torch.zeros_like(hold)
    return Suppositions(symbols, hold, zeros + most, FIRST * hold, zeros)


def after(
    rows: Suppositions, sure: Tensor, chance: Tensor, logits: Tensor = LOGITS, to_find: Tensor = BLANK
) -> Suppositions:
    """The rows after another segment, in which all have these logits."""
    due = rows.due.nonzero().flatten()
    many = (logits.expand(len(sure), 4, 2), to_find.expand(len(sure), 4))
    return rows.after(sure, *many, Due(due, chance[due]) if len(due) else None)


def turns(hold: int, sure: list[bool], seed: int = 0, most: int = 2) -> list[dict[int, int]]:
    """The symbols that a row supposes after each segment, by cell."""
    row, rng, seen = begun(hold, most=most), random.Random(seed), []
    for each in sure:
        row = after(row, torch.tensor([each]), torch.tensor([rng.random()]).double())
        seen.append({cell: symbol for cell, symbol in enumerate(row.symbols[0].tolist()) if symbol})
    return seen


def doubted_cell(logits: Float[Tensor, "L V"], open_cells: Bool[Tensor, " L"], chance: float) -> int:
    """The cell of one row, drawn among its open cells alone."""
    cells = open_cells.nonzero().flatten()
    confidence = logits[cells].softmax(-1).amax(-1).cpu().nan_to_num()
    doubt = confidence * (1 - confidence).clamp(min=0) + NEVER_ZERO
    ends = doubt.double().cumsum(0)
    return int(cells[torch.searchsorted(ends, chance * ends[-1], right=True)])


def test_a_row_settles_first_then_supposes_twice_then_lets_go_and_begins_again() -> None:
    held = [len(cells) for cells in turns(3, [False] * (12 + AFTER))]
    assert held == [0] * 5 + [1] * 3 + [2] * 3 + [0] * AFTER + [1]


def test_a_row_supposes_as_often_as_it_may_and_no_more_than_it_has_blank_cells() -> None:
    for most, held in ((1, [1, 1]), (3, [1, 1, 2, 2, 3, 3]), (9, [1, 1, 2, 2, 3, 3])):
        seen = [len(cells) for cells in turns(2, [False] * (4 + len(held) + AFTER), most=most)]
        assert seen == [0] * 3 + held + [0] * AFTER + [1]


def test_a_row_that_becomes_sure_lets_go_at_once_and_supposes_nothing_while_it_stays_so() -> None:
    held = [len(cells) for cells in turns(2, [False] * 4 + [True] * 6)]
    assert held == [0, 0, 0, 1, 0, 0, 0, 0, 0, 0]


def test_a_row_is_done_when_it_stays_sure_without_suppositions() -> None:
    row, done = begun(1), []
    # Sure for a moment, it goes on and supposes; sure with that, it lets go; sure of what is left, it has to stay so.
    for sure in (True, False, True, True, True):
        row = after(row, torch.tensor([sure]), torch.tensor([0.5]).double())
        done.append(bool(row.done))
    assert done == [False, False, False, False, True]


def test_what_is_supposed_is_the_likeliest_symbol_of_a_blank_that_the_row_doubts() -> None:
    drawn = [turns(1, [False, False], seed)[1] for seed in range(200)]
    assert all(cells in ({1: 1}, {2: 2}, {3: 2}) for cells in drawn)
    assert drawn.count({2: 2}) < 10  # the row is sure of that cell
    assert min(drawn.count({1: 1}), drawn.count({3: 2})) > 60


def test_nothing_is_supposed_where_nothing_is_to_be_found_or_a_row_never_supposes() -> None:
    for rows, to_find in ((begun(1), BLANK & False), (begun(0), BLANK)):
        for _ in range(9):
            rows = after(rows, torch.tensor([False]), torch.tensor([0.5]).double(), to_find=to_find)
            assert not rows.held.any()


def test_an_overflown_state_may_suppose_anything() -> None:
    row = begun(1)
    for _ in range(2):
        row = after(row, torch.tensor([False]), torch.tensor([0.5]).double(), logits=LOGITS * torch.nan)
    assert row.held.tolist() == [1]


def test_rows_suppose_together_as_they_do_alone() -> None:
    generator, count = torch.Generator().manual_seed(0), 40
    holds = torch.randint(0, 4, (count,), generator=generator).tolist()
    together, alone, most = begun(*holds), [begun(hold) for hold in holds], 0
    for _ in range(60):
        sure = torch.rand(count, generator=generator) < 0.2
        chance = torch.rand(count, generator=generator, dtype=torch.double)
        together = after(together, sure, chance)
        alone = [after(row, sure[at : at + 1], chance[at : at + 1]) for at, row in enumerate(alone)]
        for mine, theirs in zip(together, zip(*alone, strict=True), strict=True):
            assert torch.equal(mine, torch.cat(theirs))
        most = max(most, int(together.held.sum()))
    assert most > 20


def test_supposing_solves_what_settling_does_not() -> None:
    model = eqr.load("sudoku")
    puzzle = model.task.encode(HARD)
    settled, supposed = (
        next(evidence_stream(model, puzzle, SolveConfig(depth=64, breadth=4, halt="learned", suppose=suppose)))
        for suppose in (0, 3)
    )
    assert not settled.halted.any()
    assert supposed.halted.any()
    assert supposed.valid[supposed.halted].all()


def test_rows_end_when_the_head_has_been_sure_for_two_segments() -> None:
    model = eqr.load("sudoku")
    config = SolveConfig(depth=64, breadth=4, halt="learned", delta=5.0, suppose=3)
    found = next(evidence_stream(model, model.task.encode(HARD), config, record=True))
    ended = [history.halt_logit > 5 for history, halted in zip(found.histories, found.halted, strict=True) if halted]
    assert ended
    assert all(sure[-2:].tolist() == [True, True] for sure in ended)


def test_the_cells_drawn_for_many_rows_are_those_drawn_for_each_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(500, 81, 9, generator=generator)
    logits[::7] *= 100  # rows that doubt nothing
    logits[::11] = torch.nan
    open_cells = torch.rand(500, 81, generator=generator) < torch.rand(500, 1, generator=generator)
    open_cells[torch.arange(500), torch.arange(500) % 81] = True
    chances = torch.rand(500, generator=generator, dtype=torch.double)
    chances[:2] = torch.tensor(
        [0.5 / 2**32, 1 - 0.5 / 2**32], dtype=torch.double
    )  # the least and the greatest of the streams
    alone = [doubted_cell(*row) for row in zip(logits.unbind(), open_cells.unbind(), chances.tolist(), strict=True)]
    assert doubted_cells(logits, open_cells, chances).tolist() == alone
    assert doubted_cells(logits[3:4], open_cells[3:4], chances[3:4]).tolist() == alone[3:4]
    assert len(set(alone)) > 40


def test_a_row_without_open_cells_does_not_disturb_the_draw_of_others() -> None:
    open_cells = torch.tensor([[False] * 4, [False, False, False, True]])
    cells = doubted_cells(LOGITS.expand(2, 4, 2), open_cells, torch.full((2,), 0.5, dtype=torch.double))
    assert cells[1] == 3
    assert 0 <= cells[0] < 4
