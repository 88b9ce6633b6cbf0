"""The task families, by name. A new one is a file here and a line in this dict, or a plugin that adds the line."""

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any

from eqr.errors import InputError, unknown
from eqr.tasks.arc import arc_of
from eqr.tasks.base import Checker, Puzzle, Symmetries, Task, family_and_sizes
from eqr.tasks.grid import grid_of
from eqr.tasks.maze import maze_of
from eqr.tasks.sudoku import sudoku_of

TASKS: dict[str, Callable[..., Task]] = {"sudoku": sudoku_of, "maze": maze_of, "arc": arc_of, "grid": grid_of}
"""What makes a family's task from the sizes in its name (``sudoku``, ``sudoku6``, ``maze59``, ``arc5x149``) and from
its options: a class or a function."""


def task_named(name: str, options: Mapping[str, Any] | None = None) -> Task:
    """The task of a family and sizes, such as ``sudoku``, ``sudoku4`` or ``maze59``; raises InputError for others.

    ``options`` are those of a task that has more to it than its name tells (``Task.options``).
    """
    family, sizes = family_and_sizes(name)
    if family not in TASKS:
        raise unknown("task", name, TASKS, plugins=True)
    make, options = TASKS[family], options or {}
    try:
        signature(make).bind(*sizes, **options)
    except TypeError as error:
        raise InputError(
            f"task {name!r} cannot be made ({error}): write a family and its size, such as maze30"
        ) from None
    return make(*sizes, **options)


def task_of(task: Task | str) -> Task:
    """The task itself, or the one of that name."""
    return task_named(task) if isinstance(task, str) else task


__all__ = ["TASKS", "Checker", "Puzzle", "Symmetries", "Task", "task_named", "task_of"]
