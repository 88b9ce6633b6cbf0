"""The folder format of HRM, TRM and EqR: boards as token arrays. Knows the symbols of tasks, no rules and no model.

A folder holds one or more sets; most hold one, called ``all``. ``all__inputs.npy`` and ``all__labels.npy`` (N, L) hold
one example per row, and other arrays group the rows: puzzle p is the rows ``all__puzzle_indices[p]`` to ``[p + 1]``;
group g, a base puzzle with its augmentations, is the puzzles ``all__group_indices[g]`` to ``[g + 1]``.
``dataset.json`` names the sets and states the size of the vocabulary and of a board.

Token 0 is padding. If clues are fixed, a cell may be blank, so token 1 is blank and symbol v is token v + 1; otherwise
(mazes) symbol v is token v.
"""

import itertools
import json
import math
import os
import re
from io import BufferedReader
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from eqr.data.reading import NUMPY, entries, is_folder, opened, read_json
from eqr.errors import InputError, printable, shown
from eqr.tasks import Task
from eqr.tasks.base import Boards

Array = NDArray[Any]

INPUTS, LABELS = "inputs", "labels"
IDENTIFIERS, PUZZLES, GROUPS = "puzzle_identifiers", "puzzle_indices", "group_indices"
PARTS = (INPUTS, LABELS, IDENTIFIERS, PUZZLES, GROUPS)
"""Arrays of a set."""
USUAL = "all"
"""Name of the only set in most folders."""
ABOUT = "dataset.json"
MOST_NAME = 100
"""Letters of the longest name of a set."""
CURE = "copy or make the folder again"
FILE = re.compile(rf"(.+)__({'|'.join(PARTS)})\.npy")
CHUNK = 1 << 16
"""Rows converted at a time: token arrays may be int64, eight times as large as the boards."""


def _shift(task: Task) -> int:
    """Returns token minus symbol id."""
    return 1 if task.layout.clues_fixed else 0


def file_of(name: str, part: str) -> str:
    """Returns the name of the file that holds a part of the set ``name``."""
    return f"{name}__{part}.npy"


class Folder(NamedTuple):
    """The boards of all sets in a folder, one set after the other."""

    questions: Boards
    answers: Boards
    starts: dict[str, int]
    """Name of the file of questions of each set, and the set's first row."""

    def place(self, row: int) -> str:
        """Names the file of a row, and the row in it."""
        file, start = [(file, start) for file, start in self.starts.items() if start <= row][-1]
        return f"{file}, row {row - start}"


def read_folder(path: Path, task: Task) -> Folder:
    """Reads questions and answers, (N, L) symbol ids each, from a folder or from its only child ``train`` or ``test``.

    Raises InputError naming a file that is missing or damaged, contradicts another file, or belongs to another task.
    """
    folder = _folder_of(path)
    names = _sets(folder)
    _check_about(folder / ABOUT, task)
    sets = [_read_set(folder, name, task) for name in names]
    lengths = [0, *itertools.accumulate(len(questions) for questions, _ in sets)]
    files = (printable(str(folder / file_of(name, INPUTS))) for name in names)
    questions, answers = (np.concatenate(boards) for boards in zip(*sets, strict=True))
    return Folder(questions, answers, dict(zip(files, lengths[:-1], strict=True)))


def _read_set(folder: Path, name: str, task: Task) -> tuple[Boards, Boards]:
    files = {part: folder / file_of(name, part) for part in PARTS}
    arrays = {part: _opened(file) for part, file in files.items()}
    inputs, labels = arrays[INPUTS], arrays[LABELS]
    cells = task.layout.width
    for part in (INPUTS, LABELS):
        if arrays[part].ndim != 2 or arrays[part].shape[1] != cells:
            raise InputError(
                f"{files[part]} has the shape {arrays[part].shape}: {task.name} needs (N, {cells}), "
                f"give a folder of {task.name} puzzles"
            )
    if not len(inputs):
        raise InputError(f"{files[INPUTS]} holds no puzzles: nothing to read")
    if len(inputs) != len(labels):
        raise InputError(
            f"{folder} has {len(inputs)} rows in {files[INPUTS].name} and {len(labels)} in {files[LABELS].name}: "
            f"each input needs a label, make the folder again"
        )
    _check_indices(files[PUZZLES], arrays[PUZZLES], len(inputs), "rows")
    puzzles = len(arrays[PUZZLES]) - 1
    _check_indices(files[GROUPS], arrays[GROUPS], puzzles, "puzzles")
    if arrays[IDENTIFIERS].shape != (puzzles,):
        raise InputError(
            f"{files[IDENTIFIERS]} has the shape {arrays[IDENTIFIERS].shape}, {files[PUZZLES].name} has {puzzles} "
            f"puzzles: each needs one identifier, make the folder again"
        )
    return _boards(files[INPUTS], inputs, task), _boards(files[LABELS], labels, task)


def cells_of(path: Path) -> int:
    """Returns the number of cells of a board in the folder that ``read_folder`` reads; raises InputError as it does."""
    folder = _folder_of(path)
    boards = _opened(folder / file_of(_sets(folder)[0], INPUTS))
    return int(boards.shape[-1]) if boards.ndim else 0


def _sets(folder: Path) -> list[str]:
    """Returns the sets that dataset.json names; raises InputError if others lie in the folder, or files are missing."""
    about = _about(folder / ABOUT)
    names = about.get("sets", [USUAL])
    if not isinstance(names, list) or not names or not all(map(_is_name, names)):
        raise InputError(
            f"{folder / ABOUT} states other 'sets' than a list of names of 1 to {MOST_NAME} letters: make the folder "
            "again"
        )
    held = {match[1] for file in entries(folder, CURE) if (match := FILE.fullmatch(file.name))}
    others = sorted(held - set(names))
    if others:
        raise InputError(
            f"{folder} holds files of the set {shown(others[0])}, {ABOUT} names {', '.join(names)}: name the set "
            "there, or move its files away"
        )
    missing = [file_of(name, part) for name in names for part in PARTS if not (folder / file_of(name, part)).is_file()]
    if missing:
        raise InputError(f"{folder} has no {', '.join(missing)}: copy or make the folder again")
    return list(dict.fromkeys(names))


def _is_name(name: object) -> bool:
    """Returns whether a set may be called that: a slash would lead out of the folder."""
    return isinstance(name, str) and 0 < len(name) <= MOST_NAME and name.isprintable() and "/" not in name


def _folder_of(path: Path) -> Path:
    """Returns ``path``, or its only child that holds sets; raises InputError if there is no dataset.json."""
    if not is_folder(path, CURE):
        raise InputError(f"{path} is not a folder: give one that holds {ABOUT} and the files beside it")
    children = [path / name for name in ("train", "test") if (path / name).is_dir()]
    if any(file.name == ABOUT or FILE.fullmatch(file.name) for file in entries(path, CURE)):
        folder = path
    elif len(children) == 1:
        folder = children[0]
    elif children:
        raise InputError(f"{path} holds both train and test: give one of them, {children[0]} or {children[1]}")
    else:
        raise InputError(f"{path} holds neither {ABOUT} nor a folder train or test: give a folder that does")
    if not (folder / ABOUT).is_file():
        raise InputError(f"{folder} has no {ABOUT}: copy or make the folder again")
    return folder


def _opened(path: Path) -> Array:
    """Opens the integer array in a file as a memory map; reads the header alone, and believes no size in it."""
    try:
        with opened(path, CURE) as file:
            return _mapped(path, file)
    except NUMPY as error:
        if isinstance(error, InputError):
            raise
        told = shown(str(error)) or "its header is nested too deep"
        raise InputError(f"{path} is not a complete npy file of numbers ({told}): copy or make it again") from None


def _mapped(path: Path, file: BufferedReader) -> Array:
    headers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    version = npy.read_magic(file)
    if version not in headers:
        raise ValueError(f"its version is {version}")
    shape, by_columns, dtype = headers[version](file)
    if dtype.kind not in "iu":
        raise InputError(f"{path} holds {shown(str(dtype))}, tokens and indices are integers: make it again")
    held = os.fstat(file.fileno()).st_size - file.tell()
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize > held:
        raise ValueError(f"it has {held:,} bytes of numbers, too few for the shape {shown(str(shape))}")
    if not math.prod(shape):
        return np.empty(shape, dtype)  # nothing cannot be mapped
    return np.memmap(file, dtype, "r", file.tell(), shape, "F" if by_columns else "C")


def _about(path: Path) -> dict[str, Any]:
    about = read_json(path, CURE)
    return about if isinstance(about, dict) else {}


def _check_about(path: Path, task: Task) -> None:
    about = _about(path)
    wanted = {"vocab_size": task.layout.symbols + 1 + _shift(task), "seq_len": task.layout.width}
    for key, value in wanted.items():
        if about.get(key) != value:
            raise InputError(
                f"{path} states {key} {shown(about.get(key))}, {task.name} has {value}: "
                f"give a folder of {task.name} puzzles"
            )


def _check_indices(path: Path, indices: Array, count: int, of: str) -> None:
    """Raises InputError unless the boundaries in ``indices`` run from 0 to ``count`` and never fall."""
    ends = indices.ndim == 1 and len(indices) > 1 and indices[0] == 0 and indices[-1] == count
    if not ends or not all(_rising(indices[start : start + CHUNK + 1]) for start in range(0, len(indices), CHUNK)):
        raise InputError(f"{path} does not run from 0 to {count}, the number of {of}: make the folder again")


def _rising(indices: Array) -> bool:
    return bool((indices[1:] >= indices[:-1]).all())


def _boards(path: Path, tokens: Array, task: Task) -> Boards:
    """Converts tokens to symbol ids; raises InputError naming the first token that is no symbol."""
    shift = _shift(task)
    most = task.layout.symbols + shift
    try:
        boards = np.empty(tokens.shape, np.uint8)
    except MemoryError:
        raise InputError(f"{path} has {tokens.size:,} cells, more than the memory holds: make a smaller set") from None
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
        "sets": [USUAL],
    }
    try:
        path.mkdir(parents=True, exist_ok=True)
        for part, array in arrays.items():
            np.save(path / file_of(USUAL, part), array, allow_pickle=False)
        (path / ABOUT).write_text(json.dumps(about) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {path} ({error.strerror}): choose another folder or free space") from None
