"""The task families by name. To add one, write a file here and a line in this dict, or a plugin that adds the line."""

import reprlib
from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any

from eqr.errors import InputError, unknown
from eqr.tasks.arc import arc_of
from eqr.tasks.base import Checker, Puzzle, Symmetries, Task, family_and_sizes
from eqr.tasks.csp import csp_of
from eqr.tasks.grid import grid_of
from eqr.tasks.maze import maze_of
from eqr.tasks.sudoku import sudoku_of

TASKS: dict[str, Callable[..., Task]] = {
    "sudoku": sudoku_of,
    "maze": maze_of,
    "arc": arc_of,
    "grid": grid_of,
    "csp": csp_of,
}
"""Each family's class or function that makes a task from the sizes in the task's name (``sudoku``, ``sudoku6``,
``maze59``, ``arc5x149``) and from the task's options."""


def task_named(name: str, options: Mapping[str, Any] | None = None) -> Task:
    """Returns the task of that family and size, such as ``sudoku4`` or ``maze59``; raises InputError if there is none.

    ``options`` are for a task that its name does not define completely (``Task.options``).
    """
    family, sizes = family_and_sizes(name)
    if family not in TASKS:
        raise unknown("task", name, TASKS, plugins=True)
    make, options = TASKS[family], options or {}
    form = signature(make)
    try:
        given = form.bind(*sizes, **options).arguments
    except TypeError as error:
        raise InputError(
            f"task {name!r} cannot be made ({error}): write a family and its size, such as maze30"
        ) from None
    for key, value in given.items():
        if form.parameters[key].annotation is int and type(value) is not int:
            raise InputError(f"task {name!r} cannot be made: {key} is {reprlib.repr(value)}, a whole number is needed")
    return make(*sizes, **options)


def task_of(task: Task | str) -> Task:
    """Returns ``task`` itself, or the task of that name."""
    return task_named(task) if isinstance(task, str) else task


__all__ = ["TASKS", "Checker", "Puzzle", "Symmetries", "Task", "task_named", "task_of"]
