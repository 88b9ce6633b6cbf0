"""The folder format of HRM, TRM and EqR: boards as token arrays. Knows the symbols of tasks, no rules and no model.

A folder holds ``all__inputs.npy`` and ``all__labels.npy`` (N, L), one example per row, and arrays that group the rows:
puzzle p is the rows ``all__puzzle_indices[p]`` to ``[p + 1]``; group g, a base puzzle with its augmentations, is the
puzzles ``all__group_indices[g]`` to ``[g + 1]``. ``dataset.json`` states the size of the vocabulary and of a board.

Token 0 is padding. If clues are fixed, a cell may be blank, so token 1 is blank and symbol v is token v + 1; otherwise
(mazes) symbol v is token v.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eqr.errors import InputError
from eqr.tasks import Task
from eqr.tasks.base import Boards

Array = NDArray[Any]

INPUTS, LABELS = "all__inputs.npy", "all__labels.npy"
IDENTIFIERS, PUZZLES, GROUPS = "all__puzzle_identifiers.npy", "all__puzzle_indices.npy", "all__group_indices.npy"
ABOUT = "dataset.json"
FILES = (INPUTS, LABELS, IDENTIFIERS, PUZZLES, GROUPS, ABOUT)
CHUNK = 1 << 16
"""Rows converted at a time: token arrays may be int64, eight times as large as the boards."""


def _shift(task: Task) -> int:
    """Returns token minus symbol id."""
    return 1 if task.layout.clues_fixed else 0


def read_folder(path: Path, task: Task) -> tuple[Boards, Boards]:
    """Reads questions and answers, (N, L) symbol ids each, from a folder or from its only child ``train`` or ``test``.

    Raises InputError naming a file that is missing or damaged, contradicts another file, or belongs to another task.
    """
    folder = _folder_of(path)
    _check_about(folder / ABOUT, task)
    arrays = {name: _opened(folder / name) for name in FILES if name != ABOUT}
    inputs, labels = arrays[INPUTS], arrays[LABELS]
    cells = task.layout.width
    for name in (INPUTS, LABELS):
        if arrays[name].ndim != 2 or arrays[name].shape[1] != cells:
            raise InputError(
                f"{folder / name} has the shape {arrays[name].shape}: {task.name} needs (N, {cells}), "
                f"give a folder of {task.name} puzzles"
            )
    if not len(inputs):
        raise InputError(f"{folder / INPUTS} holds no puzzles: nothing to read")
    if len(inputs) != len(labels):
        raise InputError(
            f"{folder} has {len(inputs)} rows in {INPUTS} and {len(labels)} in {LABELS}: "
            f"each input needs a label, make the folder again"
        )
    _check_indices(folder, PUZZLES, arrays[PUZZLES], len(inputs), "rows")
    puzzles = len(arrays[PUZZLES]) - 1
    _check_indices(folder, GROUPS, arrays[GROUPS], puzzles, "puzzles")
    if arrays[IDENTIFIERS].shape != (puzzles,):
        raise InputError(
            f"{folder / IDENTIFIERS} has the shape {arrays[IDENTIFIERS].shape}, {PUZZLES} has {puzzles} puzzles: "
            f"each needs one identifier, make the folder again"
        )
    return _boards(folder / INPUTS, inputs, task), _boards(folder / LABELS, labels, task)


def cells_of(path: Path) -> int:
    """Returns the number of cells of a board in the folder that ``read_folder`` reads; raises InputError as it does."""
    boards = _opened(_folder_of(path) / INPUTS)
    return int(boards.shape[-1]) if boards.ndim else 0


def _folder_of(path: Path) -> Path:
    """Returns ``path``, or its only child that holds a set; raises InputError if a file of the set is missing."""
    if not path.is_dir():
        raise InputError(f"{path} is not a folder: give one that holds {INPUTS} and the files beside it")
    children = [path / name for name in ("train", "test") if (path / name).is_dir()]
    if any((path / name).exists() for name in FILES):
        folder = path
    elif len(children) == 1:
        folder = children[0]
    elif children:
        raise InputError(f"{path} holds both train and test: give one of them, {children[0]} or {children[1]}")
    else:
        raise InputError(f"{path} holds neither {INPUTS} nor a folder train or test: give a folder that does")
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise InputError(f"{folder} has no {', '.join(missing)}: copy or make the folder again")
    return folder


def _opened(path: Path) -> Array:
    """Opens the integer array in a file as a memory map."""
    try:
        # Never unpickles: numpy refuses an array of objects by its header.
        array: Array = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not a complete npy file of numbers ({error}): copy or make it again") from None
    if array.dtype.kind not in "iu":
        raise InputError(f"{path} holds {array.dtype}, tokens and indices are integers: make it again")
    return array


def _check_about(path: Path, task: Task) -> None:
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not JSON ({error}): copy or make the folder again") from None
    wanted = {"vocab_size": task.layout.symbols + 1 + _shift(task), "seq_len": task.layout.width}
    for key, value in wanted.items():
        stated = about.get(key) if isinstance(about, dict) else None
        if stated != value:
            raise InputError(
                f"{path} states {key} {stated}, {task.name} has {value}: give a folder of {task.name} puzzles"
            )


def _check_indices(folder: Path, name: str, indices: Array, count: int, of: str) -> None:
    """Raises InputError unless the boundaries in ``indices`` run from 0 to ``count`` and never fall."""
    rising = indices.ndim == 1 and len(indices) > 1 and bool((indices[1:] >= indices[:-1]).all())
    if not rising or indices[0] != 0 or indices[-1] != count:
        raise InputError(f"{folder / name} does not run from 0 to {count}, the number of {of}: make the folder again")


def _boards(path: Path, tokens: Array, task: Task) -> Boards:
    """Converts tokens to symbol ids; raises InputError naming the first token that is no symbol."""
    shift = _shift(task)
    most = task.layout.symbols + shift
    boards = np.empty(tokens.shape, np.uint8)
    for start in range(0, len(tokens), CHUNK):
        part = tokens[start : start + CHUNK]
        wrong = (part < 1) | (part > most)
        if wrong.any():
            row, cell = np.argwhere(wrong)[0].tolist()
            raise InputError(
                f"{path}, row {start + row}, cell {cell} holds token {part[row, cell]}: "
                f"{task.name} has 1 to {most} (0 is padding), correct or remove the row"
            )
        boards[start : start + CHUNK] = part - shift
    return boards


def write_folder(path: Path, questions: Boards, answers: Boards, groups: NDArray[np.integer[Any]], task: Task) -> None:
    """Writes a folder that ``read_folder`` and the reference programs read, one puzzle per row.

    ``groups`` (G + 1,) holds the first row of each group and, last, the number of rows. Raises InputError if the folder
    cannot be written; it may then hold some of the files.
    """
    count, shift = len(questions), _shift(task)
    arrays = {
        INPUTS: questions + np.uint8(shift),
        LABELS: answers + np.uint8(shift),
        IDENTIFIERS: np.zeros(count, np.int32),
        PUZZLES: np.arange(count + 1, dtype=np.int32),
        GROUPS: groups.astype(np.int32),
    }
    about = {
        "pad_id": 0,
        "ignore_label_id": 0,
        "blank_identifier_id": 0,
        "vocab_size": task.layout.symbols + 1 + shift,
        "seq_len": task.layout.width,
        "num_puzzle_identifiers": 1,
        "total_groups": len(groups) - 1,
        "mean_puzzle_examples": 1.0,
        "total_puzzles": count,
        "sets": ["all"],
    }
    try:
        path.mkdir(parents=True, exist_ok=True)
        for name, array in arrays.items():
            np.save(path / name, array, allow_pickle=False)
        (path / ABOUT).write_text(json.dumps(about) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {path} ({error.strerror}): choose another folder or free space") from None
