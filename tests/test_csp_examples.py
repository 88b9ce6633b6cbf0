"""The scripts of examples/csp: one answer each by an independent search, and equal files for equal seeds."""

import io
import runpy
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from unittest.mock import patch

import pytest

from eqr.data.problems import problems_in
from eqr.tasks.family import family_of
from eqr.tasks.problem import Problem
from eqr.tasks.rules import usual_rules

EXAMPLES = Path(__file__).parents[1] / "examples" / "csp"
SMALL = {
    "jigsaw": ("--side", "5"),
    "futoshiki": ("--sides", "3", "4"),
    "colouring": ("--vertices", "7", "10"),
    "timetable": ("--exams", "9", "--slots", "3", "--students", "8"),
    "sudoku": ("--sides", "4"),
}


def printed(name: str, *arguments: str) -> str:
    script = str(EXAMPLES / f"{name}.py")
    with patch("sys.argv", [script, *arguments]), redirect_stdout(io.StringIO()) as text:
        runpy.run_path(script, run_name="__main__")
    return text.getvalue()


def made(folder: Path, name: str, *arguments: str) -> list[Problem]:
    path = folder / f"{name}.jsonl"
    path.write_text(printed(name, *arguments))
    return list(problems_in(str(path), answered=True))


def allowed(problem: Problem, values: list[str | None]) -> bool:
    """Whether the values so far break no relation; by the meaning of the binding names, not by the package's rules."""
    for name, relation in problem.relations.items():
        for group in relation.groups:
            known = [value for i in group if (value := values[i]) is not None]
            if name == "less" and len(known) == 2 and int(known[0]) >= int(known[1]):
                return False
            if len(set(known)) < len(known):
                return False
    return True


def answers(problem: Problem, values: list[str], filled: list[str | None]) -> Iterator[tuple[str | None, ...]]:
    """Every answer, by trying all values of the first variable without one."""
    if not allowed(problem, filled):
        return
    if None not in filled:
        yield tuple(filled)
        return
    at = filled.index(None)
    for value in values:
        yield from answers(problem, values, [*filled[:at], value, *filled[at + 1 :]])


@pytest.mark.parametrize("name", SMALL)
def test_each_problem_has_its_answer_alone_and_no_value_to_spare(name: str, tmp_path: Path) -> None:
    problems = made(tmp_path, name, "--count", "6", "--seed", "3", *SMALL[name])
    assert len(problems) == 6
    assert len({problem.answer for problem in problems}) == 6
    for problem in problems:
        values = [str(v + 1) for v in range({"jigsaw": 5, "futoshiki": 4, "sudoku": 4}.get(name, 3))]
        if name == "futoshiki":
            values = values[: (problem.shape or (0,))[0]]
        assert list(answers(problem, values, list(problem.question))) == [problem.answer]
        for i, value in enumerate(problem.question):
            if value is not None and name != "sudoku":  # which has a stated number of clues
                less = [*problem.question[:i], None, *problem.question[i + 1 :]]
                others = answers(problem, values, less)
                assert next(others)
                assert next(others, None), f"variable {i} is given for nothing"
    rules = usual_rules(family_of(problems))
    assert rules is not None
    assert all(rules.holds(problem, problem.answer or ()) for problem in problems)


@pytest.mark.parametrize("name", SMALL)
def test_a_seed_gives_one_file_of_which_a_shorter_one_is_the_beginning(name: str) -> None:
    long, short = (printed(name, "--count", count, *SMALL[name]) for count in ("4", "2"))
    assert long.startswith(short)
    assert len(long.splitlines()) == 4
    assert printed(name, "--count", "2", "--seed", "1", *SMALL[name]) != short


@pytest.mark.parametrize("name", SMALL)
def test_the_usual_sizes_are_made(name: str, tmp_path: Path) -> None:
    problems = made(tmp_path, name, "--count", "3")
    rules = usual_rules(family_of(problems))
    assert rules is not None
    assert all(rules.holds(problem, problem.answer or ()) for problem in problems)
    sizes = [len(problem.question) for problem in problems]
    assert {
        "jigsaw": sizes == [81] * 3,
        "futoshiki": sizes == [25, 36, 49],
        "colouring": all(30 <= size <= 60 for size in sizes),
        "timetable": sizes == [30] * 3,
        "sudoku": sizes == [16, 36, 81],
    }[name]


def test_the_regions_of_a_jigsaw_are_connected_and_no_boxes(tmp_path: Path) -> None:
    maps = set()
    for problem in made(tmp_path, "jigsaw", "--count", "3"):
        regions = problem.relations["region"].groups
        maps.add(regions)
        assert sorted(cell for region in regions for cell in region) == list(range(81))
        for region in regions:
            cells = {divmod(cell, 9) for cell in region}
            reached = [min(cells)]
            for row, col in reached:  # grows while it is read
                near = {(row - 1, col), (row + 1, col), (row, col - 1), (row, col + 1)}
                reached += sorted(near & cells - set(reached))
            assert len(reached) == len(region) == 9
    assert len(maps) == 3


def test_options_change_what_is_made(tmp_path: Path) -> None:
    (filled,) = made(tmp_path, "jigsaw", "--count", "1", "--clues", "50")
    assert sum(value is not None for value in filled.question) == 50
    (shown,) = made(tmp_path, "futoshiki", "--count", "1", "--sides", "6", "--clues", "20")
    assert sum(value is not None for value in shown.question) == 20
    (shown,) = made(tmp_path, "colouring", "--count", "1", "--vertices", "50", "50", "--given", "0.5")
    assert sum(value is not None for value in shown.question) == 25
    (large,) = made(tmp_path, "colouring", "--count", "1", "--vertices", "120", "120")
    assert len(large.question) == 120
    valid, *_ = made(tmp_path, "timetable", "--count", "3", "--fixed", "0.2")
    assert sum(value is not None for value in valid.question) == 6
    assert (valid.id or "").endswith("valid")
    (unique,) = made(tmp_path, "timetable", "--count", "1")
    assert (unique.id or "").endswith("unique")
    for problem in (valid, unique):  # a room is in use once in a slot
        used = list(zip(problem.attributes["room"], problem.answer or (), strict=True))
        assert len(set(used)) == len(used)
    dense, sparse = (
        made(tmp_path, "futoshiki", "--count", "1", "--sides", "5", "--signs", share)[0] for share in ("1", "0")
    )
    assert len(dense.relations["less"].groups) == 40
    assert sparse.relations["less"].groups == ()


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_a_script_is_short(path: Path) -> None:
    assert path.stem in {*SMALL, "boards"}
    assert len(path.read_text().splitlines()) <= 60


def test_boards_of_a_csv_become_problems_of_one_family(tmp_path: Path) -> None:
    file = tmp_path / "boards.csv"
    file.write_text("question,answer\n12../34../...3/....,1234/3412/2143/4321\n12.......,123231312\n")
    large, small = made(tmp_path, "boards", str(file))
    assert large.question == (*"12", None, None, *"34", None, None, None, None, None, "3", None, None, None, None)
    assert large.answer == tuple("1234341221434321")
    assert (large.shape, small.shape) == ((4, 4), (3, 3))
    assert small.relations["column"].groups == ((0, 3, 6), (1, 4, 7), (2, 5, 8))
    assert small.values == ("1", "2", "3")
    rules = usual_rules(family_of([large, small]))
    assert rules is not None
    assert all(rules.holds(problem, problem.answer or ()) for problem in (large, small))
    boxed, _ = made(tmp_path, "boards", str(file), "--boxes", "2", "2")
    assert boxed.relations["box"].groups == ((0, 1, 4, 5), (2, 3, 6, 7), (8, 9, 12, 13), (10, 11, 14, 15))
    file.write_text("question,answer\n12../34../...1/...,1234/3412/2143/4321\n")
    with pytest.raises(SystemExit, match=r"boards.csv, line 2: row 4 of 4 has 3 cells, a row has 4"):
        printed("boards", str(file))
