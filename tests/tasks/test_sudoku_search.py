"""The generator against an independent solver: python-sat knows nothing of our bitmasks."""

import io
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pysat.solvers import Cadical153

from eqr.errors import InputError
from eqr.tasks import Puzzle, task_named
from eqr.tasks.sudoku import units_of
from eqr.tasks.sudoku_search import (
    Geometry,
    generate,
    generate_one,
    geometry,
    must_compile,
    say_once_that_it_compiles,
    solve_board,
)

BOXES = {"sudoku": (3, 3), "sudoku6": (2, 3), "sudoku4": (2, 2)}


class SatSudoku:
    """Sudoku as clauses, with the clues as assumptions."""

    def __init__(self, box_rows: int, box_cols: int) -> None:
        self.side = side = box_rows * box_cols
        self.solver = Cadical153()
        places = list(itertools.product(range(side), repeat=2))
        groups = [[(r, c) for c in range(side)] for r in range(side)]
        groups += [[(r, c) for r in range(side)] for c in range(side)]
        groups += [
            [(r, c) for r, c in places if r // box_rows == i and c // box_cols == j]
            for i in range(box_cols)
            for j in range(box_rows)
        ]
        for r, c in places:
            self._one_of([self.literal(r * side + c, v) for v in range(1, side + 1)])
        for group, v in itertools.product(groups, range(1, side + 1)):
            self._one_of([self.literal(r * side + c, v) for r, c in group])

    def literal(self, cell: int, symbol: int) -> int:
        return cell * self.side + symbol

    def _one_of(self, literals: list[int]) -> None:
        self.solver.add_clause(literals)
        for a, b in itertools.combinations(literals, 2):
            self.solver.add_clause([-a, -b])

    def has_solution(self, board: np.ndarray, forbidden: tuple[int, int] | None = None) -> bool:
        clues = [self.literal(cell, int(v)) for cell, v in enumerate(board) if v]
        return bool(self.solver.solve(assumptions=clues + ([-self.literal(*forbidden)] if forbidden else [])))

    def is_unique(self, board: np.ndarray, answer: np.ndarray) -> bool:
        blanks = [cell for cell, v in enumerate(board) if not v]
        return not any(self.has_solution(board, (cell, int(answer[cell]))) for cell in blanks)

    def is_minimal(self, board: np.ndarray) -> bool:
        def without(cell: int) -> np.ndarray:
            less = board.copy()
            less[cell] = 0
            return less

        clues = [cell for cell, v in enumerate(board) if v]
        return all(self.has_solution(without(cell), (cell, int(board[cell]))) for cell in clues)


@pytest.mark.parametrize(("name", "count"), [("sudoku", 500), ("sudoku6", 50), ("sudoku4", 50)])
def test_generated_puzzles_have_one_solution_and_no_clue_to_spare(name: str, count: int) -> None:
    sat = SatSudoku(*BOXES[name])
    for puzzle in itertools.islice(task_named(name).generate(seed=0, workers=2), count):
        assert sat.has_solution(puzzle.answer)
        assert sat.is_unique(puzzle.question, puzzle.answer)
        assert sat.is_minimal(puzzle.question)


def test_the_stream_is_a_function_of_the_seed_alone() -> None:
    geo = geometry(units_of(3, 3))
    alone, shared = (list(itertools.islice(generate(geo, 3, 2, workers=workers), 100)) for workers in (1, 3))
    other = generate_one(geo, 4, 0)
    assert all((a.question == b.question).all() for a, b in zip(alone, shared, strict=True))
    assert (other.question != generate_one(geo, 3, 0).question).any()


def test_min_guesses_keeps_the_hard_ones_in_order() -> None:
    geo = geometry(units_of(3, 3))
    every = list(itertools.islice(generate(geo, 0), 300))
    hard = list(itertools.islice(generate(geo, 0, least=8), 20))
    expected = [puzzle for puzzle in every if puzzle.rating >= 8][:20]
    assert all((a.question == b.question).all() for a, b in zip(hard, expected, strict=True))


def test_a_rating_that_no_puzzle_has_ends_the_search_and_one_that_was_found_is_searched_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("eqr.tasks.sudoku_search.PATIENCE", 300)
    monkeypatch.setattr("eqr.tasks.sudoku_search.LATER_PATIENCE", 1000)
    geo = geometry(units_of(2, 2))
    with pytest.raises(InputError, match="none of 300 puzzles tried in a row needs 1,000,000 guesses or more: such"):
        next(generate(geo, 0, least=1_000_000))
    tried = []

    def rated(geo: Geometry, seed: int, index: int) -> Puzzle:
        tried.append(index)
        return Puzzle(np.zeros(16, np.uint8), np.ones(16, np.uint8), int(index == 200))

    monkeypatch.setattr("eqr.tasks.sudoku_search.generate_one", rated)
    stream = generate(geo, 0, least=1, most=2)
    assert next(stream).rating == 1
    with pytest.raises(InputError, match="none of 1,000 puzzles tried in a row needs 1 to 2 guesses"):
        next(stream)
    assert 1200 < len(tried) < 1400


def test_solutions_are_counted_up_to_the_limit() -> None:
    geo = geometry(units_of(2, 2))
    empty = np.zeros(16, np.uint8)
    assert solve_board(empty, geo, limit=1000)[0] == 288  # all 4x4 Sudoku boards
    assert solve_board(empty, geo, limit=7)[0] == 7
    contradiction = np.array([1, 2, 3, 0, 0, 0, 0, 4] + [0] * 8, np.uint8)
    assert solve_board(contradiction, geo)[0] == 0


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def nothing_said_yet() -> Iterator[None]:
    say_once_that_it_compiles.cache_clear()
    yield
    say_once_that_it_compiles.cache_clear()


@pytest.mark.usefixtures("nothing_said_yet")
@pytest.mark.parametrize(
    ("stream", "compiles", "lines"), [(Terminal, True, 1), (Terminal, False, 0), (io.StringIO, True, 0)]
)
def test_somebody_at_a_terminal_is_told_once_that_the_generator_is_compiled(
    monkeypatch: pytest.MonkeyPatch, stream: type[io.StringIO], compiles: bool, lines: int
) -> None:
    monkeypatch.setattr("sys.stderr", error := stream())
    monkeypatch.setattr("eqr.tasks.sudoku_search.must_compile", lambda: compiles)
    for seed in range(2):
        task_named("sudoku4").generate(seed)
    assert error.getvalue() == "compiling the generator of Sudokus, once; this takes up to a minute\n" * lines


def test_compiled_code_that_is_missing_or_older_than_the_source_is_noticed(tmp_path: Path) -> None:
    source, index = tmp_path / "search.py", tmp_path / "search.find-1.py311.nbi"
    source.write_text("def find(): ...")
    find = SimpleNamespace(
        __name__="find",
        py_func=SimpleNamespace(__code__=compile("", str(source), "exec")),
        stats=SimpleNamespace(cache_path=str(tmp_path)),
        signatures=[],
    )
    assert must_compile(find)
    (tmp_path / "search.find_all-1.py311.nbi").touch()
    assert must_compile(find)
    index.touch()
    assert not must_compile(find)
    os.utime(index, (0, 0))
    assert must_compile(find)
    find.signatures.append(())
    assert not must_compile(find)
    assert not must_compile(len)  # as with NUMBA_DISABLE_JIT


def test_once_a_puzzle_is_made_nothing_is_left_to_compile() -> None:
    generate_one(geometry(units_of(2, 2)), seed=0, index=0)
    assert not must_compile()
