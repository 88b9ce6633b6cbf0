"""Your own puzzles: the board read off a file, its symmetries, a checker of one's own, and the tutorial in small."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from alike import solution
from hypothesis import given
from hypothesis import strategies as st
from pysat.solvers import Cadical153

from eqr.cli import main
from eqr.commands.custom_task import CustomTask
from eqr.errors import InputError
from eqr.model import ModelConfig, Reasoner
from eqr.model.blocks import BLOCKS
from eqr.presets import PRESETS, configured, of_board
from eqr.storage.checkpoint import load, save
from eqr.tasks.grid import Grid, GridConfig
from eqr.tasks.grid_inference import inferred

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
from examples.latin.check import is_latin  # noqa: E402

LATIN4 = GridConfig(rows=4, cols=4, symbols="1234", blank=".", clues_fixed=True, interchangeable=True, dihedral=True)
QUESTION, ANSWER = ".2../..2./1.../.1.4", "4213/3421/1342/2134"


@st.composite
def parts(draw: st.DrawFn) -> dict[str, Any]:
    """The fields of a GridConfig."""
    chars = draw(st.lists(st.sampled_from("0123456789ab.#-+|?*xyzäß"), min_size=3, max_size=12, unique=True))
    return {
        "rows": draw(st.integers(1, 5)),
        "cols": draw(st.integers(1, 5)),
        "symbols": "".join(chars[1:]),
        "blank": draw(st.sampled_from(["", chars[0]])),
        **{name: draw(st.booleans()) for name in ("clues_fixed", "interchangeable", "dihedral")},
    }


def random_boards(config: GridConfig, count: int, seed: int) -> np.ndarray:
    least = 0 if config.blank else 1
    shape = (count, config.rows * config.cols)
    return np.random.default_rng(seed).integers(least, len(config.symbols) + 1, shape).astype(np.uint8)


@given(parts(), st.integers(0, 99), st.sampled_from(["", "/", "\n", " / ", "\r\n"]))
def test_a_board_reads_back_however_its_rows_are_parted(of: dict[str, Any], seed: int, between: str) -> None:
    config = GridConfig(**of)
    task = Grid(config)
    (board,) = random_boards(config, 1, seed)
    flat = task.format(torch.from_numpy(board))
    rows = [flat[at : at + config.cols] for at in range(0, len(flat), config.cols)]
    assert (task.parse(flat) == board).all()
    assert (task.parse(between.join(rows)) == board).all()
    assert (task.encode([between.join(" ".join(row) for row in rows)])[0].numpy() == board).all()
    assert task.cells_in(between.join(rows)) == len(board)


@given(parts(), st.integers(0, 99))
def test_symmetries_are_undone_and_change_only_what_was_said(of: dict[str, Any], seed: int) -> None:
    config = GridConfig(**of)
    boards = random_boards(config, 6, seed)
    symmetries = Grid(config).symmetries(6, np.random.default_rng(seed))
    images = symmetries.apply(boards)
    assert (symmetries.undo(images) == boards).all()
    assert ((images == 0).sum(1) == (boards == 0).sum(1)).all()
    if not config.interchangeable:
        assert (np.sort(images) == np.sort(boards)).all()
    if not config.dihedral:
        assert ((images == 0) == (boards == 0)).all()
    if not config.interchangeable and not config.dihedral:
        assert (images == boards).all()


@pytest.mark.parametrize(("rows", "cols", "positions"), [(3, 3, 8), (2, 3, 4)])
def test_a_turned_board_keeps_its_neighbours(rows: int, cols: int, positions: int) -> None:
    symbols = "abcdefghi"[: rows * cols]
    config = replace(LATIN4, rows=rows, cols=cols, symbols=symbols, interchangeable=False)
    board = np.arange(1, rows * cols + 1, dtype=np.uint8)
    images = Grid(config).symmetries(200, np.random.default_rng(0)).apply(np.tile(board, (200, 1)))

    def beside(image: np.ndarray) -> set[frozenset[int]]:
        grid = image.reshape(rows, cols)
        pairs = [
            *zip(grid[1:].flat, grid[:-1].flat, strict=True),
            *zip(grid[:, 1:].flat, grid[:, :-1].flat, strict=True),
        ]
        return {frozenset((int(a), int(b))) for a, b in pairs}

    found = np.unique(images, axis=0)
    assert len(found) == positions
    assert all(beside(image) == beside(board) for image in found)


def completions(task: Grid, question: str) -> Iterator[str]:
    """All Latin squares that complete a question, by a SAT solver."""
    side, board = task.config.rows, task.parse(question).reshape(task.config.rows, -1)
    number = np.arange(1, side**3 + 1).reshape(side, side, side)
    with Cadical153() as solver:
        for lines in (number, number.transpose(0, 2, 1), number.transpose(1, 2, 0)):
            for line in lines.reshape(-1, side).tolist():
                solver.add_clause(line)
                for first, second in product(line, line):
                    if first < second:
                        solver.add_clause([-first, -second])
        for row, col in zip(*board.nonzero(), strict=True):
            solver.add_clause([int(number[row, col, board[row, col] - 1])])
        while solver.solve():
            true = [literal for literal in solver.get_model() if literal > 0]
            yield "".join(task.config.symbols[(literal - 1) % side] for literal in sorted(true))
            solver.add_clause([-literal for literal in true])


def test_the_checker_accepts_what_a_sat_solver_finds_and_nothing_else() -> None:
    task = Grid(replace(LATIN4, rows=3, cols=3, symbols="123")).with_checker(is_latin)
    question = "1........"
    found = set(completions(task, question))
    assert len(found) == 4
    everything = ["1" + "".join(rest) for rest in product("123", repeat=8)]
    inputs, answers = task.encode([question]).expand(len(everything), -1), task.encode(everything)
    solved = task.is_solved(inputs, answers).tolist()
    assert {text for text, good in zip(everything, solved, strict=True) if good} == found
    moved = task.encode(["2........"]).expand(len(everything), -1)
    assert not task.is_solved(moved, answers).any()  # the clue does not stand


def made(side: int, count: int, seed: int, path: Path) -> list[str]:
    """The lines of a file of the example's puzzles."""
    options = ["--side", str(side), "--count", str(count), "--seed", str(seed)]
    with path.open("w") as file:
        subprocess.run([sys.executable, ROOT / "examples" / "latin" / "make.py", *options], stdout=file, check=True)
    return path.read_text().splitlines()


def test_the_puzzles_of_the_example_have_one_solution_and_no_clue_to_spare(tmp_path: Path) -> None:
    lines = made(5, 20, 3, tmp_path / "latin.csv")
    task = Grid(replace(LATIN4, rows=5, cols=5, symbols="12345"))
    assert lines[0] == "question,answer"
    for line in lines[1:]:
        question, answer = line.split(",")
        assert list(completions(task, question)) == [answer.replace("/", "")]
    assert made(5, 20, 3, tmp_path / "again.csv") == lines


@pytest.mark.parametrize(
    ("pairs", "board", "expected"),
    [
        ([(QUESTION, ANSWER)], None, (4, 4, "1234", ".", True)),
        ([("0201\n2010\n", "4231\n2413\n")], None, (2, 4, "1234", "0", True)),
        ([("1_3_ / _ 2_4", "1234/3214")], None, (2, 4, "1234", "_", True)),
        ([("#..S", "#ooS")], None, (2, 2, "#So", ".", True)),  # a dot that no answer holds is a blank
        ([("#..S", "#o.S")], None, (2, 2, "#.So", "", False)),  # here one does
        ([("1..2.3", "112233")], "2x3", (2, 3, "123", ".", True)),
        ([("1.0.", "1101"), ("....", "0110")], None, (2, 2, "01", ".", True)),
        ([("ab", "ba")], "1x2", (1, 2, "ab", "", False)),
        ([("1.", "12"), (".2", "31")], "1x2", (1, 2, "123", ".", False)),  # the 2 of the second puzzle changes
        ([("?!", "ab")], "1x2", (1, 2, "!?ab", "", False)),  # which of the two would be the blank?
    ],
)
def test_the_board_is_read_off_the_puzzles(
    pairs: list[tuple[str, str]], board: str | None, expected: tuple[int, int, str, str, bool]
) -> None:
    rows = [(f"line {number}", *pair) for number, pair in enumerate(pairs, 2)]
    config, _ = inferred(rows, board, interchangeable=False, dihedral=True)
    assert (config.rows, config.cols, config.symbols, config.blank, config.clues_fixed) == expected
    assert config.dihedral
    assert not config.interchangeable


def test_a_blank_in_few_answers_is_a_mistake_in_these() -> None:
    rows = [(f"line {number}", "1.", "12") for number in range(2, 42)]
    rows[7] = ("line 9", "1.", "1.")
    with pytest.raises(
        InputError, match=r"line 9, in the answer: a cell holds '\.', the blank of the other 39 puzzles"
    ):
        inferred(rows, "1x2", True, True)
    assert inferred([("line 2", "1.", "12"), ("line 3", "1.", "1.")], "1x2", True, True)[0].blank == ""


def test_a_clue_that_changes_is_named_with_its_place() -> None:
    rows = [("line 2", "1.", "12"), ("line 3", ".2", "12"), ("line 4", ".2", "31")]
    assert inferred(rows[:2], "1x2", True, True)[1] == ""
    assert inferred(rows, "1x2", True, True)[1] == "line 4"
    assert "given cells may change" in inferred(rows, "1x2", True, True)[0].described()


@pytest.mark.parametrize(
    ("text", "arguments", "said"),
    [
        ("", [], "mine.csv is empty"),
        ("question,answer\n", [], "hold no puzzles: give a CSV"),
        ("question\n1.\n", [], "has no 'answer' column"),
        (
            "question,answer\n12.,123\n",
            [],
            "line 2: the question has 3 cells in one row, which do not form a square: give",
        ),
        ("question,answer\n12.,123\n", ["--board", "2x2"], "line 2: grid '12.' has 3 cells, 2x2 has 4"),
        ("question,answer\n12.,123\n", ["--board", "3"], "--board 3: rows, an x and columns are needed"),
        ("question,answer\n12/3,12/34\n", [], "line 2: row 2 of 2 has 1 cells, a row has 2"),
        ("question,answer\n1./.2,12/21\n1./.2/..,12/21/12\n", [], "line 3: grid '1./.2/..' has 3 rows, 2 are needed"),
        ("question,answer\n1./.2,12/2\n", [], "line 2: row 2 of 2 has 1 cells"),
        ("question,answer\n1./..,11/11\n", [], "grids need 2 to 255 symbols, one character each; this one has 1"),
        ("question,answer\n1./.2,12/21\n", ["--block", "relatoin"], "did you mean 'relation'"),
        ("question,answer\n1./.2,12/21\n", ["--set", "pool=5"], "cannot be generated"),
        ("question,answer\n1./.2,12/21\n", ["--set", "model.grid=5"], "option 'grid' is not known"),
        ("question,answer\n1./.2,12/21\n", ["--checker", "is_latin"], "write module:function"),
        ("question,answer\n1./.2,12/21\n", ["--checker", "no.such:thing"], "there is no module 'no', neither"),
        ("question,answer\n1./.2,12/21\n", ["--checker", "math:nothing"], "math has no function 'nothing'"),
        ("question,answer\n1./.2,12/21\n", ["--checker", "judge:silent"], "the checker returned None: it must"),
        ("question,answer\n1./.2,12/21\n..,12/12\n", ["--checker", "judge:latin"], "line 3: grid '..' has 2 cells"),
        (
            "question,answer\n1./.2,12/21\n../..,12/12\n",
            ["--checker", "judge:latin"],
            "refuses 1 of 2 answers in mine",
        ),
        (
            "question,answer\n1./.2,12/21\n",
            ["--eval-data", "other.csv"],
            "other.csv, line 2: row 1, column 2 holds",
        ),
        ("question,answer\n1./.2,12/21\n", ["--eval-data", "small.csv"], "small.csv, line 2: grid '1' has 1 cells"),
    ],
)
def test_unusable_puzzles_get_one_sentence_and_exit_code_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    text: str,
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "judge", raising=False)
    Path("mine.csv").write_text(text)
    Path("other.csv").write_text("question,answer\n13/..,13/31\n")
    Path("small.csv").write_text("question,answer\n1,1\n")
    Path("judge.py").write_text(
        "def silent(question, answer): pass\n"
        "def latin(question, answer): return all(len(set(line)) == 2 for line in [*answer, *zip(*answer)])\n"
    )
    assert refused(["train", "grid", "--data", "mine.csv", "--steps", "1", "--tiny", *arguments], capsys, said)


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str], said: str) -> bool:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
    return stopped.value.code == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["generate", "grid"], "grid puzzles cannot be generated: write a CSV"),
        (["train", "grid"], "give --data F.csv with the columns question and answer"),
        (
            ["train", "grid", "--data", "puzzles.npz"],
            "puzzles.npz is a folder or holds arrays, which name no symbols: give a CSV",
        ),
        (["train", "sudoku4_tiny", "--dihedral", "--board", "4x4"], "--board and --dihedral given for sudoku4_tiny"),
        (["train", "sudoku4_tiny", "--set", "model.task=grid"], "grid puzzles cannot be generated"),
        (["solve", "1" * 81, "--checker", "examples.latin.check:is_latin"], "sudoku is not a grid task"),
    ],
)
def test_what_makes_no_sense_for_grids_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(ROOT)
    assert refused(arguments, capsys, said)


def model_of(config: GridConfig) -> Reasoner:
    return Reasoner(ModelConfig(task=Grid(config), block="mixer", channels=8, token_hidden=8))


@given(parts())
def test_a_board_is_saved_with_its_model(tmp_path_factory: pytest.TempPathFactory, of: dict[str, Any]) -> None:
    config = GridConfig(**of)
    folder, model = tmp_path_factory.mktemp("grid"), model_of(config)
    save(model, folder)
    assert load(folder).config == model.config
    assert load(folder).task.layout == Grid(config).layout


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"task_options": {}}, "grid puzzles cannot be generated"),
        ({"task_options": 5}, "task_options holds no JSON object"),
        ({"task": "sudoku4"}, "task 'sudoku4' cannot be made"),
        ({"channels": "8"}, "channels is '8', it must be of type int"),
        ({"task_options.rows": "4"}, "rows is '4', it must be of type int"),
        ({"task_options.colls": 4}, r"grid: field 'colls' is not known: did you mean 'cols'\?"),
        ({"task_options.symbols": 4}, "symbols is 4, it must be of type str"),
        ({"task_options.symbols": "12341"}, "cannot be read back: each must be a different character"),
        ({"task_options.blank": "/"}, "cannot be read back"),
        ({"task_options.rows": 0}, "a grid of 0x4 has no cells"),
        ({"task_options.rows": 5}, r"does not fit its config\.json"),
    ],
)
def test_a_broken_board_is_named(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    save(model_of(LATIN4), tmp_path)
    values = json.loads((tmp_path / "config.json").read_text())
    for key, value in changes.items():
        part, _, inner = key.partition(".")
        values[part] = {**values[part], inner: value} if inner else value
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(InputError, match=said):
        load(tmp_path)


def test_a_board_without_all_its_fields_is_named(tmp_path: Path) -> None:
    save(model_of(LATIN4), tmp_path)
    values = json.loads((tmp_path / "config.json").read_text())
    del values["task_options"]["blank"]
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(InputError, match=r"grid is incomplete .*blank"):
        load(tmp_path)


def test_a_checker_comes_with_the_task_and_shares_the_weights() -> None:
    model = model_of(LATIN4)
    judged = model.for_task(Grid(LATIN4).with_checker(is_latin))
    assert (model.task.has_rules, judged.task.has_rules) == (False, True)
    assert judged.answer_head is model.answer_head
    assert judged.config.named() == model.config.named()
    with pytest.raises(InputError, match="the puzzles are of another kind"):
        model.for_task(Grid(replace(LATIN4, symbols="abcd")))


def test_an_answer_for_which_the_checker_raises_is_not_valid_and_that_is_said_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def raises_on_a_first_1(question: list[list[str]], answer: list[list[str]]) -> bool:
        if answer[0][0] == "1":
            raise KeyError("no such\nline")
        return True

    task = Grid(LATIN4).with_checker(raises_on_a_first_1)
    questions = task.encode(["1..." + "." * 12, "2..." + "." * 12, "1.3." + "." * 12])
    answers = task.encode(["1234" * 4, "2341" * 4, "1234" * 4])
    assert task.is_solved(questions, answers).tolist() == [False, True, False]
    assert Grid(LATIN4, raises_on_a_first_1).is_solved(questions[:1], answers[:1]).tolist() == [False]
    said = capsys.readouterr().err
    assert said.startswith(
        "notice: the checker raised KeyError: 'no such\\nline', first for the question 1............"
    )
    assert "count as not valid" in said
    assert said.count("\n") == 1


def test_a_checker_that_is_interrupted_or_answers_nonsense_ends_the_run() -> None:
    def interrupted(question: list[list[str]], answer: list[list[str]]) -> bool:
        raise KeyboardInterrupt

    board = Grid(LATIN4).encode("1234" * 4)
    with pytest.raises(KeyboardInterrupt):
        Grid(LATIN4, interrupted).is_solved(board, board)
    with pytest.raises(InputError, match="the checker returned 'yes'"):
        Grid(LATIN4, lambda question, answer: "yes").is_solved(board, board)


def test_the_block_follows_from_what_was_said_of_symbols() -> None:
    preset, task = PRESETS["grid"], Grid(LATIN4)
    assert (
        of_board(preset, task, CustomTask(symbols_interchangeable=True).block_for("grid")).model.block
        is BLOCKS["relation"]
    )
    assert of_board(preset, task, CustomTask().block_for("grid")).model.block is BLOCKS["mixer"]
    chosen = configured(of_board(preset, task, "conv"), ["model.channels=16"]).model
    assert (chosen.block, chosen.channels, chosen.task) == (BLOCKS["conv"], 16, task)


@pytest.mark.parametrize("interchangeable", [True, False])
def test_blocks_that_hold_symbols_apart_tell_them_apart_if_they_are_not_alike(interchangeable: bool) -> None:
    task = Grid(replace(LATIN4, interchangeable=interchangeable))
    config = ModelConfig(task=task, block="relation", channels=8)
    model = Reasoner(config, torch.Generator().manual_seed(0))
    x = model.embed(torch.tensor([[1, 2] + [0] * 14])).view(16, 4, 8)
    assert torch.equal(x[0, 0], x[1, 1]) is interchangeable  # given, and this symbol
    assert torch.equal(x[2, 0], x[2, 3]) is interchangeable  # blank


def test_an_unchecked_answer_is_not_called_valid() -> None:
    task = Grid(LATIN4)
    found = solution(task.encode(ANSWER)[0], settled=True, valid=True, residual=1e-7, depth=3)
    text = task.render(QUESTION, found)
    assert "1 . . .  ->  1 3 4 2" in text
    assert text.endswith("not checked, converged, residual 1.0e-07, depth 3")
    assert task.with_checker(is_latin).render(QUESTION, found).splitlines()[-1].startswith("valid, ")


SHRUNK = {"--side 7": "--side 4", "--count 20000": "--count 400", "--count 500": "--count 60"}


def tutorial(part: str) -> str:
    """The line of the tutorial that starts with ``part``, for 4x4 boards."""
    text = (ROOT / "docs" / "own_puzzles.md").read_text()
    lines = [line for block in re.findall(r"```sh\n(.*?)```", text, re.S) for line in block.splitlines()]
    (line,) = [line for line in lines if re.match(part, line)]
    for long, short in SHRUNK.items():
        line = line.replace(long, short)
    return line


@pytest.mark.slow
def test_the_tutorial_in_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    for part in (r"python .* > latin.csv", r"python .* > latin_test.csv"):
        subprocess.run(tutorial(part).replace("python", shlex.quote(sys.executable), 1), shell=True, check=True)

    def typed(part: str, *more: str) -> str:
        main([*shlex.split(tutorial(part))[1:], "--threads", "1", *more])
        return capsys.readouterr().out

    train = re.sub(r"--minutes \d+", "", tutorial("eqr train grid"))
    training = [*shlex.split(train)[1:], "--threads", "1", "--tiny"]
    main([*training, "--steps", "200", "--checker", "examples.latin.check:is_latin"])
    told = "grid: 4x4, symbols 1234 (interchangeable), blank '.', given cells are fixed, boards keep their position"
    assert told in capsys.readouterr().out

    report = json.loads(typed("eqr eval", "--no-compile", "--json", "-"))
    assert report["exact_accuracy"] == report["valid_accuracy"] >= 0.95
    checked = [json.loads(line) for line in typed("eqr solve", "--json", "--select", "verifier").splitlines()]
    questions = ["solve", "--model", "runs/latin", "--file", "latin_test.csv", "--threads", "1", "--json"]
    main(questions)
    unchecked = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sum(record["valid"] for record in checked) >= 57
    assert {record["valid"] for record in unchecked} == {None}
    assert [record["answer"] for record in unchecked] == [record["answer"] for record in checked]
    assert refused(
        [*questions, "--select", "verifier"], capsys, "grid has no rules to check answers with: give a --checker"
    )

    main([*training, "--steps", "203", "--resume"])
    assert "done: 203 steps" in capsys.readouterr().out
    another = [*training, "--dihedral", "--steps", "206", "--resume"]
    assert refused(another, capsys, "the run was trained with model.task_options {'rows': 4")
