"""`eqr solve` on mazes of any size, in one process: how boards are read, in what order they are answered, and shown."""

import json
import re
from collections.abc import Iterator
from math import isqrt
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import torch
from PIL import Image

from eqr.cli import main
from eqr.engine import SolveConfig, solve
from eqr.model import ModelConfig, Reasoner
from eqr.storage.checkpoint import load, save
from eqr.tasks import task_named
from eqr.tasks.maze import COLOURS, maze_of

FIVE = "#####/#S..#/#.#.#/#..G#/#####"
# Each on one line; the ends are where a generator would put them, or on the border.
MAZES = [
    FIVE,
    "#######/#S#...#/#.#.#.#/#...#.#/#####.#/#G....#/#######",
    "S.#####/..#...#/..#.#.#/....#.#/####..#/##....#/#####.G",
    "......./.S...../......./......./......./.....G./.......",
    FIVE.replace("S", "x").replace("G", "S").replace("x", "G"),
]


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An untrained model that takes boards of any size."""
    folder = tmp_path_factory.mktemp("local")
    save(Reasoner(ModelConfig(task="maze9", block="conv", channels=8, updates_per_segment=1)), folder)
    return str(folder)


@pytest.fixture(scope="module")
def bound(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One whose weights belong to cells of a 5x5 board."""
    folder = tmp_path_factory.mktemp("bound")
    save(Reasoner(ModelConfig(task="maze5", block="mixer", channels=8, token_hidden=8)), folder)
    return str(folder)


def solved(capsys: pytest.CaptureFixture[str], model: str, *arguments: str) -> list[dict[str, object]]:
    main(["solve", "--model", model, "--depth", "3", "--threads", "1", "--json", *arguments])
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def one_line(maze: str) -> str:
    return maze.replace("/", "")


def row_by_row(maze: str) -> str:
    return maze.replace("/", "\n")


def with_spaces(maze: str) -> str:
    return row_by_row(maze).replace(".", " ")


def a_mixture(mazes: list[str]) -> str:
    forms = [one_line, row_by_row, with_spaces, row_by_row, lambda maze: maze]
    return "\n".join(form(maze) for form, maze in zip(forms, mazes, strict=True))


@pytest.mark.parametrize("form", ["one line", "rows", "a comment, a blank line and \\r\\n", "a mixture"])
def test_mazes_of_several_sizes_are_answered_in_order_as_if_alone(
    form: str, local: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = {
        "one line": "\n".join(map(one_line, MAZES)) + "\n",
        "rows": "\n".join(map(row_by_row, MAZES)),
        "a comment, a blank line and \\r\\n": "# five mazes\n" + "\n\n# the next\n".join(map(row_by_row, MAZES)) + "\n",
        "a mixture": a_mixture(MAZES),
    }[form]
    path = tmp_path / "mazes.txt"
    path.write_bytes(text.replace("\n", "\r\n" if "\\r" in form else "\n").encode())
    found = solved(capsys, local, "--file", str(path), "--breadth", "2")
    assert [record["question"] for record in found] == list(map(one_line, MAZES))
    model = load(local)
    for record, maze in zip(found, MAZES, strict=True):
        sized = model.for_task(model.task.sized(len(one_line(maze))))
        (alone,) = solve(sized, sized.task.encode(maze), SolveConfig(depth=3, breadth=2))
        assert record["answer"] == sized.task.format(alone.answer)


def test_a_csv_of_several_sizes_and_arguments_are_answered(
    local: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mazes.csv"
    path.write_text("source,question\n" + "\n".join(f'a,"{row_by_row(maze)}"' for maze in MAZES))
    expected = solved(capsys, local, "--file", str(path))
    assert [record["question"] for record in expected] == list(map(one_line, MAZES))
    large = next(task_named("maze99").generate(0, 97, 300)).question  # on one line, longer than a file's name may be
    text = maze_of(99).format(torch.from_numpy(large))
    found = solved(capsys, local, text, *MAZES)
    assert found[0]["question"] == text
    assert [record["answer"] for record in found[1:]] == [record["answer"] for record in expected]
    rows = solved(capsys, local, *FIVE.split("/"))
    assert rows[0]["answer"] == expected[0]["answer"]


def test_the_mazes_of_the_examples_are_read_and_have_a_way(local: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = solved(capsys, local, "--file", str(Path(__file__).parents[1] / "examples" / "maze" / "mazes.txt"))
    sizes = [isqrt(len(str(record["question"]))) for record in found]
    assert sizes == [9, 15, 11, 7, 31]
    for size, record in zip(sizes, found, strict=True):
        board = record["question"]
        assert isinstance(board, str)
        ways = nx.grid_2d_graph(size, size)
        ways.remove_nodes_from([divmod(cell, size) for cell, char in enumerate(board) if char == "#"])
        assert nx.has_path(ways, divmod(board.index("S"), size), divmod(board.index("G"), size))


class Typing:
    """Standard input that notes how many answers had come when each line was asked for."""

    def __init__(self, lines: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        self.lines, self.capsys, self.answers, self.seen = iter(lines), capsys, 0, list[int]()

    def isatty(self) -> bool:
        return False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self.lines) + "\n"
        self.answers += len(self.capsys.readouterr().out.splitlines())
        self.seen.append(self.answers)
        return line


def test_each_answer_comes_before_the_next_maze_is_asked_for(
    local: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    typing = Typing([row for maze in MAZES for row in maze.split("/")], capsys)
    monkeypatch.setattr("sys.stdin", typing)
    solved(capsys, local, "--rows", "1")
    assert typing.seen == [number for number, maze in enumerate(MAZES) for _ in maze.split("/")]


def test_no_more_than_one_maze_of_the_next_size_is_held(
    local: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    typing = Typing(list(map(one_line, MAZES[:2])) * 20, capsys)
    monkeypatch.setattr("sys.stdin", typing)
    solved(capsys, local)
    assert typing.seen == [0, *range(39)]


BAD = {
    "ragged.txt": ("#####\n#S..#\n#.#\n#..G#\n#####\n", "ragged.txt, line 3: '#.#' has 3 cells, a row has 5"),
    "short.txt": ("#####\n#S..#\n#..G#\n#####\n", "short.txt, line 1: the board has 4 rows, 5 are needed"),
    "symbol.txt": (row_by_row(FIVE).replace("G", "x"), "symbol.txt, line 1: row 4, column 4 holds 'x'"),
    "no_start.txt": (row_by_row(FIVE).replace("S", "."), "line 1: the maze has no S: exactly one S and one G are"),
    "two_goals.txt": (row_by_row(FIVE).replace("S", "G"), "line 1: the maze has no S"),
    "three.txt": (row_by_row(FIVE).replace("#.#.#", "#G#G#"), "the maze has 3 G, the second in row 3, column 4"),
    "one_line.txt": (one_line(FIVE).replace("S", "."), "one_line.txt, line 1: the maze has no S"),
    "oblong.txt": (one_line(FIVE)[:-5] + "\n", "line 1: the board has 1 rows, 20 are needed for rows of 20 cells"),
    "huge.txt": (
        ".S" + "." * 9997 + "G\n",
        "has 10000 cells, a maze9 maze has 81: give 9 rows of 9, or another square",
    ),
    "ragged.csv": ('question\n"###\n#S\n#.G"\n', "ragged.csv, line 4: row 2 of the maze has 2 cells, and there are 3"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_maze_that_is_none_gets_one_sentence_after_the_answers_before_it(
    name: str, local: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, said = BAD[name]
    path = tmp_path / name
    path.write_text(text)
    error = refused(capsys, ["solve", "--model", local, "--file", str(path)])
    assert said in error
    if name.endswith(".txt"):
        before = f"{one_line(FIVE)}\n{row_by_row(MAZES[1])}\n"
        path.write_text(before + path.read_text())
        with pytest.raises(SystemExit):
            main(["solve", "--model", local, "--depth", "1", "--threads", "1", "--json", "--file", str(path)])
        records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert ["error" in record for record in records] == [False, False, True]
        with pytest.raises(SystemExit):
            main(["solve", "--model", local, "--depth", "1", "--threads", "1", "--strict", "--file", str(path)])
        assert len(capsys.readouterr().err.splitlines()) == 1


def refused(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> str:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    error = capsys.readouterr().err
    assert stop.value.code == 2
    sentence, *summary = error.splitlines()
    assert sentence.startswith("eqr: ")
    assert len(summary) <= 1
    assert all(re.fullmatch("eqr: . of . puzzles cannot be read, .*", line) for line in summary)
    return sentence


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["#####/#S..#/#.#.#/#..G#/####"], "puzzle 1: row 5 of the maze has 4 cells, and there are 5 rows"),
        ([FIVE, FIVE.replace("S", "?")], "puzzle 2: row 2, column 2 holds '?'"),
        ([FIVE.replace("S", ".")], "puzzle 1: the maze has no S: exactly one S and one G are needed, add the S"),
        ([FIVE.replace(".", "G", 1)], "puzzle 1: the maze has 2 G, the second in row 4, column 4"),
        (["S" * 30], "puzzle 1: the board has 1 rows, 30 are needed"),
        ([FIVE, "--png", "taken/there"], "--png taken/there cannot be used as a folder (Not a directory)"),
    ],
)
def test_a_bad_argument_gets_one_sentence(
    arguments: list[str],
    said: str,
    local: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_text("")
    assert said in refused(capsys, ["solve", "--model", local, "--depth", "1", *arguments])


def test_a_board_that_a_model_is_not_made_for_is_refused_in_its_turn(
    bound: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["solve", "--model", bound, "--depth", "1", "--threads", "1", "--json", FIVE, FIVE, MAZES[1], FIVE])
    said = capsys.readouterr()
    assert stop.value.code == 2
    records = [json.loads(line) for line in said.out.splitlines()]
    assert ["error" in record for record in records] == [False, False, True, False]
    assert records[2]["error"] in said.err
    assert "puzzle 3: this model answers maze5, not maze7 (its " in said.err
    assert "depends on the board's size): give maze5 puzzles, or train a model whose block does not" in said.err
    assert said.err.splitlines()[1:] == ["eqr: 1 of 4 puzzles cannot be read, the others are answered"]


def test_answers_are_written_as_pictures(local: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "new" / "pictures"
    found = solved(capsys, local, *MAZES[:3], "--png", str(folder))
    assert sorted(path.name for path in folder.iterdir()) == ["00001.png", "00002.png", "00003.png"]
    for path, record, size in zip(sorted(folder.iterdir()), found, (5, 7, 7), strict=True):
        with Image.open(path) as image:
            assert image.format == "PNG"
            pixels = np.asarray(image)
        side = len(pixels) // size
        assert pixels.shape == (side * size, side * size, 3)
        corners = pixels[::side, ::side].reshape(-1, 3)  # no letter reaches a corner
        for corner, old, new in zip(corners, str(record["question"]), str(record["answer"]), strict=True):
            symbol = "?#.SGo".index(new) if old == new or old + new == ".o" else 0
            assert (corner == COLOURS[symbol]).all()
    found = solved(capsys, "sudoku", "." * 81, "--png", str(folder))
    with Image.open(folder / "00001.png") as image:
        assert np.asarray(image).shape == (324, 324, 3)


def test_a_maze_is_watched_in_two_characters_a_cell(local: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["solve", "--model", local, "--depth", "2", "--threads", "1", "--watch", MAZES[1], FIVE])
    lines = capsys.readouterr().out.splitlines()
    at = [number for number, line in enumerate(lines) if line.startswith("depth 2  residual ")]
    assert len(at) == 2
    for number, rows in zip(at, (7, 5), strict=True):
        board, drawn = lines[number - rows : number], lines[number + 1 : number + 1 + rows]
        assert [line.rstrip() for line in board] == drawn  # the last board is the answer
        assert {len(line) for line in board} == {2 * rows}
