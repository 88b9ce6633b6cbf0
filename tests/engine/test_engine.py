"""What a user relies on when solving, on a 4x4 model trained in seconds."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from alike import same

from eqr.data.parsing import Refused
from eqr.engine import SolveConfig, evidence_stream, outcomes, select, solve
from eqr.errors import InputError
from eqr.evidence import Evidence
from eqr.model import Reasoner
from eqr.storage.checkpoint import load
from eqr.tasks import task_named
from eqr.types import Calibration, Settings

TASK = task_named("sudoku4")
CONFIG = SolveConfig(depth=24, tol=0.05)
CALIBRATION = Calibration(precision=0.999, delta_rows=100, tol_rows=100, puzzles=100, data="x", depth=24, window=3)


@pytest.fixture(scope="module")
def model(tiny_run: Path) -> Reasoner:
    return load(tiny_run)


@pytest.fixture(scope="module")
def puzzles() -> torch.Tensor:
    """40 puzzles with one solution, and some no row can settle on: without clues, and contradictory ones."""
    found = [torch.from_numpy(p.question).long() for p in itertools.islice(TASK.generate(seed=77), 40)]
    impossible = TASK.encode(["123........4....", "12....34........", "." * 16])
    return torch.cat([torch.stack(found), impossible])


def run(model: Reasoner, puzzles: torch.Tensor, config: SolveConfig) -> list[Evidence]:
    return list(evidence_stream(model, puzzles, config))


@pytest.mark.parametrize(
    "config",
    [
        SolveConfig(depth=12, breadth=3, halt="fixed", noise=0.05),
        SolveConfig(depth=24, breadth=3, tol=0.05),
        SolveConfig(depth=24, breadth="auto:6", tol=0.05),
        SolveConfig(depth=24, breadth=2, tol=0.05, solver="anderson"),
        SolveConfig(depth=24, breadth=2, halt="learned", delta=5.0, suppose=2),
    ],
    ids=["fixed depth and noise", "halting", "auto breadth", "anderson", "suppositions"],
)
def test_neither_neighbours_nor_slots_nor_order_change_an_answer(
    model: Reasoner, puzzles: torch.Tensor, config: SolveConfig
) -> None:
    puzzles = puzzles[25:]
    whole = run(model, puzzles, replace(config, rows=256))
    order = torch.randperm(len(puzzles), generator=torch.Generator().manual_seed(0))
    for rows in (1, 7, 64):
        found = run(model, puzzles[order], replace(config, rows=rows))
        assert all(same(mine, whole[at]) for mine, at in zip(found, order.tolist(), strict=True))
    assert same(run(model, puzzles[5:6], config)[0], whole[5])


def test_another_seed_starts_elsewhere(model: Reasoner, puzzles: torch.Tensor) -> None:
    one, other = (run(model, puzzles[:1], replace(CONFIG, depth=1, seed=seed))[0] for seed in (0, 1))
    assert not torch.equal(one.residual, other.residual)


def test_a_settled_row_leaves_early_with_the_answer_of_full_depth(model: Reasoner, puzzles: torch.Tensor) -> None:
    well_posed = puzzles[:40]
    halted, full = (run(model, well_posed, replace(CONFIG, depth=64, halt=halt)) for halt in ("residual", "fixed"))
    settled = [(early, late) for early, late in zip(halted, full, strict=True) if early.converged.all()]
    assert len(settled) >= 20
    for early, late in settled:
        assert early.depth < 64
        assert early.halted
        assert torch.equal(early.answers, late.answers)
    assert all(late.depth == 64 and not late.halted for late in full)


def test_the_learned_rule_halts_when_the_head_says_so(
    model: Reasoner, puzzles: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(CONFIG, halt="learned", depth=30)
    for found in run(model, puzzles, config):
        assert bool(found.halted) == bool(found.halt_logit > 0)
        assert found.halted or found.depth == 30
    eager, careful = (run(model, puzzles, replace(config, delta=delta)) for delta in (0.0, 1.0))
    assert sum(int(f.depth) for f in eager) <= sum(int(f.depth) for f in careful)
    monkeypatch.setattr(model, "calibration", replace(CALIBRATION, delta=1.0))
    assert all(same(*pair) for pair in zip(run(model, puzzles, config), careful, strict=True))


def test_either_sign_is_enough(model: Reasoner, puzzles: torch.Tensor) -> None:
    depths = {}
    for halt in ("residual", "learned", "either"):
        depths[halt] = [int(found.depth) for found in run(model, puzzles, replace(CONFIG, halt=halt))]
    assert depths["either"] == [min(pair) for pair in zip(depths["residual"], depths["learned"], strict=True)]


def test_an_answer_that_breaks_a_rule_is_marked(model: Reasoner, puzzles: torch.Tensor) -> None:
    solutions = solve(model, puzzles, CONFIG)
    answers = torch.stack([solution.answer for solution in solutions])
    assert [s.valid for s in solutions] == TASK.is_solved(puzzles, answers).tolist()
    assert [s.valid for s in solutions[-3:-1]] == [False, False]
    assert all(s.valid for s in solutions[:-3] if s.converged)


def test_clues_stand_in_every_answer(model: Reasoner, puzzles: torch.Tensor) -> None:
    for puzzle, found in zip(puzzles, run(model, puzzles, replace(CONFIG, depth=1, breadth=2)), strict=True):
        assert (found.answers[:, puzzle > 0] == puzzle[puzzle > 0]).all()


def test_more_restarts_solve_no_fewer_puzzles(model: Reasoner, puzzles: torch.Tensor) -> None:
    one, four = (solve(model, puzzles, replace(CONFIG, depth=6, breadth=k)) for k in (1, 4))
    assert sum(s.valid for s in four) >= sum(s.valid for s in one)


def test_auto_breadth_gives_more_restarts_only_where_they_are_needed(
    model: Reasoner, puzzles: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "calibration", replace(CALIBRATION, tol=0.05))
    found = run(model, puzzles, replace(CONFIG, breadth="auto:8"))
    whole = run(model, puzzles, replace(CONFIG, breadth=8))
    restarts = [len(f.depth) for f in found]
    assert restarts[:40].count(1) >= 20
    assert max(restarts) > 1
    for few, all_of_them in zip(found, whole, strict=True):
        assert torch.equal(few.answers, all_of_them.answers[: len(few.answers)])


OWN = Settings(halt="learned", suppose=3, breadth="auto:32")


@pytest.mark.parametrize(
    ("given", "own", "halt", "suppose", "breadth"),
    [
        ({}, OWN, "learned", 3, "auto:32"),
        ({}, None, "residual", 0, 1),
        ({"breadth": 4}, OWN, "learned", 3, 4),
        ({"suppose": 0}, OWN, "learned", 0, "auto:32"),
        ({"halt": "residual"}, OWN, "residual", 0, "auto:32"),  # suppositions need a rule that knows when it is right
        ({"halt": "fixed"}, OWN, "fixed", 0, 1),
        ({"suppose": 6}, None, "learned", 6, 1),
        ({"breadth": "auto:4"}, Settings(halt="fixed"), "residual", 0, "auto:4"),
        ({"protocol": "paper"}, OWN, "fixed", 0, 1),
        ({"protocol": "paper", "breadth": 16}, OWN, "fixed", 0, 16),
        ({"protocol": "paper", "halt": "learned", "suppose": 3}, OWN, "learned", 3, 1),
    ],
)
def test_options_that_are_not_given_are_the_models_own_where_they_suit(
    given: dict[str, object], own: Settings | None, halt: str, suppose: int, breadth: int | str
) -> None:
    config = SolveConfig(**given).completed(own)
    assert (config.halting.name, config.suppose, config.breadth) == (halt, suppose, breadth)
    assert config.completed(Settings(breadth="auto:5")) == config


def test_a_model_is_solved_with_its_own_settings(
    model: Reasoner, puzzles: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "settings", Settings(halt="learned", suppose=2, breadth="auto:3"))
    explicit = SolveConfig(depth=24, halt="learned", suppose=2, breadth="auto:3")
    for mine, theirs in zip(
        run(model, puzzles[36:], SolveConfig(depth=24)), run(model, puzzles[36:], explicit), strict=True
    ):
        assert same(mine, theirs)
    assert {len(found.depth) for found in run(model, puzzles[36:], SolveConfig(depth=24, breadth=2))} == {2}
    assert all(found.depth == 24 for found in run(model, puzzles[:3], SolveConfig(depth=24, protocol="paper")))


@pytest.mark.parametrize("patience", [1, 100])
def test_restarts_ahead_of_their_need_change_no_answer(
    patience: int, model: Reasoner, puzzles: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = SolveConfig(depth=12, breadth="auto:20", tol=0.05)
    alone = [run(model, puzzle[None], replace(config, rows=1))[0] for puzzle in puzzles[34:]]
    assert max(len(found.depth) for found in alone) == 20
    monkeypatch.setattr("eqr.engine.queue.PATIENCE", patience)
    for rows in (5, 64):
        found = run(model, puzzles[34:], replace(config, rows=rows))
        assert all(same(*pair) for pair in zip(found, alone, strict=True))


def test_puzzles_are_taken_as_places_become_free(model: Reasoner, puzzles: torch.Tensor) -> None:
    taken = 0

    def stream() -> Iterator[torch.Tensor]:
        nonlocal taken
        for puzzle in itertools.cycle(puzzles):
            taken += 1
            yield puzzle

    found = evidence_stream(model, stream(), replace(CONFIG, rows=4))
    first = [next(found) for _ in range(10)]
    assert taken <= 10 + 4 * CONFIG.depth
    assert all(same(mine, theirs) for mine, theirs in zip(first, run(model, puzzles[:10], CONFIG), strict=True))


def test_a_history_tells_every_segment_and_ends_at_the_answer(model: Reasoner, puzzles: torch.Tensor) -> None:
    config = replace(CONFIG, breadth=2, noise=0.05)
    plain = run(model, puzzles[:5], config)
    for found, without in zip(evidence_stream(model, puzzles[:5], config, record=True), plain, strict=True):
        assert same(found, without)
        assert without.histories == ()
        for k, history in enumerate(found.histories):
            assert len(history.residual) == int(found.depth[k])
            assert torch.equal(history.answers[-1], found.answers[k])
            assert history.halt_logit[-1] == found.halt_logit[k]
            torch.testing.assert_close(history.residual[-config.window :].mean(), found.residual[k])
            assert torch.isinf(history.logit_change[0])
            assert ((history.confidence > 0.24) & (history.confidence <= 1)).all()
        assert select(found, SolveConfig(select="first").selection, TASK).history is found.histories[0]


def test_a_single_segment_has_a_residual_but_no_logit_change(model: Reasoner, puzzles: torch.Tensor) -> None:
    found = run(model, puzzles[:1], replace(CONFIG, depth=1))[0]
    assert torch.isfinite(found.residual).all()
    assert torch.isinf(found.logit_change).all()


def test_torch_has_its_threads_back_afterwards(model: Reasoner, puzzles: torch.Tensor) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    one, other = (evidence_stream(model, puzzles[:20], CONFIG) for _ in range(2))
    for _ in zip(one, other, strict=True):
        assert torch.get_num_threads() == 2
    next(evidence_stream(model, puzzles, CONFIG))
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)


def test_no_puzzles_give_no_answers(model: Reasoner, puzzles: torch.Tensor) -> None:
    assert solve(model, puzzles[:0]) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"depth": 0}, "depth is 0: it must be 1 or more"),
        ({"tol": float("nan")}, "tol is nan"),
        ({"solver": "picard:damping=1.0"}, "damping of the picard solver is 1.0"),
        ({"halt": "residul"}, "did you mean 'residual'"),
        ({"select": "best"}, "selection rule 'best' is not known"),
        ({"solver": "newton"}, "solver 'newton' is not known"),
        ({"breadth": 0}, "breadth is 0"),
        ({"breadth": "auto"}, "breadth is auto: it must be K or auto:K, where K is a number from 1 to 999,999,999"),
        ({"breadth": "auto:-4"}, "breadth is auto:-4"),
        ({"breadth": "auto:4", "halt": "fixed"}, "breadth auto:4 needs rows that halt"),
        ({"solver": "anderson:damping=0.5"}, "option of the solver anderson 'damping' is not known"),
        ({"solver": "anderson:history=many"}, "a value of type int is needed"),
        ({"noise": float("inf")}, "noise is inf"),
        ({"suppose": -1}, "suppose is -1"),
        ({"suppose": 6, "halt": "residual"}, "suppose is 6: rows must know when they are right"),
        ({"suppose": 6, "protocol": "paper"}, "suppose is 6: rows must know when they are right"),
        ({"breadth": "auto:4", "protocol": "paper"}, "breadth auto:4 needs rows that halt"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        SolveConfig(**options)


def test_pieces_that_are_no_puzzles_keep_their_place_among_the_answers(model: Reasoner) -> None:
    good = "1..........4...."
    pieces = [
        "no puzzle",
        good,
        Refused("F.csv, line 7", "it has 1 column"),
        good,
        torch.zeros(7, dtype=torch.long),
        ".",
    ]
    found = list(outcomes(model, pieces, CONFIG))
    assert [isinstance(each, Refused) for each in found] == [True, False, True, False, True, True]
    assert [each.place for each in found if isinstance(each, Refused)] == [
        "puzzle 1",
        "F.csv, line 7",
        "puzzle 5",
        "puzzle 6",
    ]
    assert str(found[2].error()) == "F.csv, line 7: it has 1 column"


def test_however_many_pieces_are_no_puzzles_few_of_them_wait(model: Reasoner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eqr.engine.stream.MOST_REFUSED", 50)
    read = 0

    def pieces() -> Iterator[str]:
        nonlocal read
        for read in itertools.count(1):
            yield "1..........4...." if read == 1 else "no puzzle"

    found = outcomes(model, pieces(), CONFIG)
    for answered in range(1, 500):
        next(found)
        assert read <= answered + 50


def test_an_input_that_fails_is_reported_after_the_answers_before_it(model: Reasoner) -> None:
    def pieces() -> Iterator[str]:
        yield "1..........4...."
        raise InputError("the file ended early")

    found = outcomes(model, pieces(), CONFIG)
    next(found)
    with pytest.raises(InputError, match="the file ended early"):
        next(found)
