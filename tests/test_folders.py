import csv
import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import tyro

from eqr.commands.data import Data
from eqr.data.files import collect, read_labelled
from eqr.data.hrm_format import ABOUT, PARTS, file_of, read_folder, write_folder
from eqr.errors import InputError
from eqr.tasks import Task, task_named
from eqr.tasks.base import Boards

INPUTS, LABELS, IDENTIFIERS, PUZZLES, GROUPS = (file_of("all", part) for part in PARTS)
FILES = (INPUTS, LABELS, IDENTIFIERS, PUZZLES, GROUPS, ABOUT)
SUDOKU, MAZE, FULL = task_named("sudoku4"), task_named("maze10"), task_named("sudoku")


def boards_of(task: Task, count: int) -> tuple[Boards, Boards]:
    puzzles = collect(task, task.generate(seed=3), count)
    return puzzles.questions, puzzles.answers


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve Sudokus in three groups."""
    path = tmp_path / "set"
    write_folder(path, *boards_of(SUDOKU, 12), np.array([0, 2, 7, 12]), SUDOKU)
    return path


def changed(path: Path, change: object) -> None:
    """Replace an array by another."""
    np.save(path, np.asarray(change))


@pytest.mark.parametrize("task", [SUDOKU, MAZE], ids=lambda task: task.name)
def test_what_was_written_is_read(tmp_path: Path, task: Task) -> None:
    questions, answers = boards_of(task, 7)
    write_folder(tmp_path / "a" / "b", questions, answers, np.array([0, 7]), task)
    read = read_folder(tmp_path / "a" / "b", task)
    for boards, expected in zip(read[:2], (questions, answers), strict=True):
        assert boards.dtype == np.uint8
        assert (boards == expected).all()


def test_tokens_types_and_keys_are_those_of_the_reference_files(tmp_path: Path, folder: Path) -> None:
    questions, answers = boards_of(SUDOKU, 12)
    arrays = {name: np.load(folder / name, allow_pickle=False) for name in FILES[:-1]}
    assert (arrays[INPUTS] == questions + 1).all()  # 0 padding, 1 blank, 2 the digit 1
    assert (arrays[LABELS] == answers + 1).all()
    assert arrays[INPUTS].dtype == arrays[LABELS].dtype == np.uint8
    assert all(arrays[name].dtype == np.int32 for name in (IDENTIFIERS, PUZZLES, GROUPS))
    assert arrays[PUZZLES].tolist() == list(range(13))
    assert arrays[GROUPS].tolist() == [0, 2, 7, 12]
    assert arrays[IDENTIFIERS].tolist() == [0] * 12
    about = json.loads((folder / "dataset.json").read_text())
    assert (about["vocab_size"], about["seq_len"], about["total_groups"], about["sets"]) == (6, 16, 3, ["all"])
    assert {"pad_id", "ignore_label_id", "blank_identifier_id", "num_puzzle_identifiers"} < set(about)
    questions, answers = boards_of(MAZE, 2)
    write_folder(tmp_path / "maze", questions, answers, np.array([0, 1, 2]), MAZE)
    assert (np.load(tmp_path / "maze" / INPUTS) == questions).all()  # 0 padding, 1 wall
    assert json.loads((tmp_path / "maze" / "dataset.json").read_text())["vocab_size"] == 6


def test_wide_integers_read_as_narrow_ones(folder: Path) -> None:
    before = read_folder(folder, SUDOKU)
    for name in (INPUTS, LABELS):
        changed(folder / name, np.load(folder / name).astype(np.int64))
    for boards, expected in zip(read_folder(folder, SUDOKU)[:2], before[:2], strict=True):
        assert boards.dtype == np.uint8
        assert (boards == expected).all()


def test_an_only_child_is_read_and_two_are_not_guessed_between(tmp_path: Path, folder: Path) -> None:
    parent = tmp_path / "parent"
    shutil.copytree(folder, parent / "test")
    assert len(read_folder(parent, SUDOKU)[0]) == 12
    shutil.copytree(folder, parent / "train")
    with pytest.raises(InputError, match="holds both train and test: give one of them"):
        read_folder(parent, SUDOKU)
    assert len(read_folder(parent / "train", SUDOKU)[0]) == 12


def test_a_path_without_a_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere is not a folder: give one that holds dataset\.json"):
        read_folder(tmp_path / "nowhere", SUDOKU)
    with pytest.raises(InputError, match=r"holds neither dataset\.json nor a folder train or test"):
        read_folder(tmp_path, SUDOKU)
    (tmp_path / "train").mkdir()
    with pytest.raises(InputError, match=r"train has no dataset\.json: copy"):
        read_folder(tmp_path, SUDOKU)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_or_damaged_file_is_named(folder: Path, name: str) -> None:
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=f"{name} is not"):
        read_folder(folder, SUDOKU)
    (folder / name).unlink()
    with pytest.raises(InputError, match=f"has no {name}: copy or make the folder again"):
        read_folder(folder, SUDOKU)


def test_pickles_and_other_types_are_refused(folder: Path) -> None:
    np.save(folder / INPUTS, np.array([{"a": 1}] * 12, object), allow_pickle=True)
    with pytest.raises(InputError, match=r"all__inputs\.npy holds object, tokens and indices are integers"):
        read_folder(folder, SUDOKU)
    changed(folder / INPUTS, np.ones((12, 16), np.float32))
    with pytest.raises(InputError, match=r"all__inputs\.npy holds float32, tokens and indices are integers"):
        read_folder(folder, SUDOKU)


@pytest.mark.parametrize(
    ("name", "array", "said"),
    [
        (INPUTS, np.ones((12, 81), np.uint8), r"has the shape \(12, 81\): sudoku4 needs \(N, 16\)"),
        (LABELS, np.ones(12, np.uint8), r"all__labels.npy has the shape \(12,\)"),
        (LABELS, np.ones((11, 16), np.uint8), "has 12 rows in all__inputs.npy and 11 in all__labels.npy"),
        (INPUTS, np.ones((0, 16), np.uint8), "holds no puzzles"),
        (PUZZLES, np.arange(12), "puzzle_indices.npy does not run from 0 to 12, the number of rows"),
        (PUZZLES, np.array([0, 5, 3, 12]), "does not run from 0 to 12, the number of rows"),
        (PUZZLES, np.zeros((2, 2), np.int32), "does not run from 0 to 12, the number of rows"),
        (GROUPS, np.array([1, 12]), "group_indices.npy does not run from 0 to 12, the number of puzzles"),
        (GROUPS, np.zeros(0, np.int32), "does not run from 0 to 12, the number of puzzles"),
        (IDENTIFIERS, np.zeros(11, np.int32), r"identifiers.npy has the shape \(11,\), .* has 12 puzzles"),
    ],
)
def test_arrays_that_disagree_are_refused(folder: Path, name: str, array: np.ndarray, said: str) -> None:
    changed(folder / name, array)
    with pytest.raises(InputError, match=said):
        read_folder(folder, SUDOKU)


@pytest.mark.parametrize("token", [0, 6, -1, 300])
def test_tokens_outside_the_vocabulary_are_refused_with_their_place(folder: Path, token: int) -> None:
    tokens = np.load(folder / LABELS).astype(np.int64)
    tokens[4, 11] = token
    changed(folder / LABELS, tokens)
    with pytest.raises(InputError, match=rf"labels.npy, row 4, cell 11 holds token {token}: sudoku4 has 1 to 5 \(0 is"):
        read_folder(folder, SUDOKU)


def test_a_folder_of_another_task_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match=r"dataset\.json states vocab_size 6, sudoku has 11: give a folder of sudoku"):
        read_folder(folder, FULL)
    with pytest.raises(InputError, match=r"dataset\.json states seq_len 16, maze10 has 100: give a folder of maze10"):
        read_folder(folder, MAZE)
    for text, said in (("[]", "states vocab_size None"), ("{", "is not JSON")):
        (folder / "dataset.json").write_text(text)
        with pytest.raises(InputError, match=said):
            read_folder(folder, SUDOKU)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        write_folder(tmp_path / "file" / "set", *boards_of(SUDOKU, 2), np.array([0, 2]), SUDOKU)


def test_all_sets_that_the_folder_names_are_read_one_after_the_other(folder: Path) -> None:
    before = read_folder(folder, SUDOKU)
    for part in PARTS:
        shutil.copy(folder / file_of("all", part), folder / file_of("more", part))
    with pytest.raises(InputError, match=r"holds files of the set more, dataset\.json names all: name the set there"):
        read_folder(folder, SUDOKU)
    about = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps(about | {"sets": ["all", "more"]}))
    read = read_folder(folder, SUDOKU)
    assert (read.questions == np.concatenate([before.questions] * 2)).all()
    assert read.place(12) == f"{folder / 'more__inputs.npy'}, row 0"
    tokens = np.load(folder / "more__labels.npy")
    tokens[3] = tokens[4]
    changed(folder / "more__labels.npy", tokens)
    with pytest.raises(InputError, match=r"more__inputs\.npy, row 3, in the answer: row \d, column \d holds symbol"):
        read_labelled(str(folder), SUDOKU)
    (folder / "more__puzzle_indices.npy").unlink()
    with pytest.raises(InputError, match=r"has no more__puzzle_indices\.npy: copy or make the folder again"):
        read_folder(folder, SUDOKU)


@pytest.fixture
def source(tmp_path: Path) -> str:
    """A CSV of nine Sudokus."""
    path = tmp_path / "train.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["source", "question", "answer", "rating"])
        for puzzle in itertools.islice(FULL.generate(seed=0), 9):
            boards = (FULL.format(torch.from_numpy(board)) for board in (puzzle.question, puzzle.answer))
            writer.writerow(["test", *boards, puzzle.rating])
    return str(path)


def test_data_writes_each_puzzle_and_its_copies(
    tmp_path: Path, source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "sets" / "out"
    Data(name="sudoku-extreme", source=source, out=str(out), subsample=4, augment=5).run()
    assert capsys.readouterr().out == f"24 sudoku puzzles in 4 groups written to {out / 'train'}\n"
    assert [path.name for path in out.iterdir()] == ["train"]
    questions, answers, _ = read_folder(out, FULL)
    assert FULL.is_solved(torch.from_numpy(questions), torch.from_numpy(answers)).all()
    groups = np.load(out / "train" / GROUPS)
    assert groups.tolist() == [0, 6, 12, 18, 24]
    text = Path(source).read_text()
    for number, question in enumerate(questions):
        assert (FULL.format(torch.from_numpy(question)) in text) == (number in groups)
    clues = (questions > 0).sum(1).reshape(4, 6)
    assert (clues == clues[:, :1]).all()
    assert len(np.unique(questions, axis=0)) == 24


def test_the_seed_decides_the_draw_and_the_copies(tmp_path: Path, source: str) -> None:
    read = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        Data(name="sudoku-extreme", source=source, out=str(tmp_path / name), subsample=3, augment=2, seed=seed).run()
        read.append(read_folder(tmp_path / name, FULL)[0])
    assert (read[0] == read[1]).all()
    assert (read[0] != read[2]).any()


def test_without_options_the_set_is_the_file(tmp_path: Path, source: str) -> None:
    (tmp_path / "out" / "train").mkdir(parents=True)  # an empty folder is no set
    (tmp_path / "out" / ".train.part").mkdir()  # left by a run that was killed
    Data(name="sudoku-extreme", source=source, out=str(tmp_path / "out")).run()
    questions = read_folder(tmp_path / "out", FULL).questions
    rows = csv.DictReader(Path(source).read_text().splitlines())
    assert [FULL.format(torch.from_numpy(q)) for q in questions] == [row["question"] for row in rows]
    assert not (tmp_path / "out" / ".train.part").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"name": "sudoku-extrem"}, "did you mean 'sudoku-extreme'"),
        ({"augment": -1}, "--augment -1 --seed 0: both must be 0 or more"),
        ({"seed": -1}, "--seed -1: both must be 0 or more"),
        ({"subsample": 0}, "--subsample 0: at least 1"),
        ({"subsample": 10}, "--subsample 10: .* holds 9 puzzles, ask for fewer"),
        ({"out": "full"}, "train already exists: remove it or choose another --out"),
        ({"out": "file"}, "cannot write"),
    ],
)
def test_data_refuses_what_it_cannot_do(tmp_path: Path, source: str, options: dict[str, object], said: str) -> None:
    (tmp_path / "full" / "train").mkdir(parents=True)
    (tmp_path / "full" / "train" / "kept").write_text("")
    (tmp_path / "file").write_text("")
    given: dict[str, object] = {"name": "sudoku-extreme", "source": source, "out": "new"} | options
    given["out"] = str(tmp_path / str(given["out"]))
    with pytest.raises(InputError, match=said):
        Data(**given).run()  # type: ignore[arg-type]
    assert (tmp_path / "full" / "train" / "kept").exists()
    assert not (tmp_path / "new").exists()


def test_a_failed_run_leaves_no_half_set(tmp_path: Path, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("eqr.data.hrm_format.json.dumps", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Data(name="sudoku-extreme", source=source, out=str(tmp_path / "out")).run()
    assert not any((tmp_path / "out").glob("*"))
    assert not any((tmp_path / "out").glob(".*"))


def test_the_flags_are_those_a_user_types() -> None:
    arguments = ["sudoku-extreme", "--from", "train.csv", "--subsample", "1000", "--augment", "1000", "--out", "set"]
    config = (tyro.conf.OmitArgPrefixes,)
    assert tyro.cli(Data, args=arguments, config=config) == Data(
        name="sudoku-extreme", source="train.csv", out="set", subsample=1000, augment=1000
    )
