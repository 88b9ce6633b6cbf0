"""The task families, by name. A new one is a file here and a line in this dict."""

import re
from collections.abc import Callable
from functools import cache
from inspect import signature

from eqr.errors import InputError, unknown
from eqr.tasks.arc import arc_of
from eqr.tasks.base import Puzzle, Task
from eqr.tasks.grid import Grid, GridConfig, nothing_generates_grids
from eqr.tasks.maze import maze_of
from eqr.tasks.sudoku import sudoku_of

TASKS: dict[str, Callable[..., Task]] = {
    "sudoku": sudoku_of,
    "maze": maze_of,
    "arc": arc_of,
    "grid": nothing_generates_grids,
}
"""What makes a family's task for the sizes in its name: ``sudoku``, ``sudoku6``, ``maze59``, ``arc5x149``."""


@cache
def task_named(name: str, grid: GridConfig | None = None) -> Task:
    """The task of a family and a size, such as ``sudoku``, ``sudoku4`` or ``maze59``; raises InputError for others.

    ``grid`` is the board of the task ``grid``, and of no other.
    """
    if grid is not None:
        if name != Grid.name:
            raise InputError(f"the task {name} comes with a board of its own: leave out grid, or take the task grid")
        return Grid(grid)
    family, sizes = re.fullmatch(r"(.*?)((?:\d+x)*\d*)", name, re.DOTALL).groups()  # type: ignore[union-attr]
    if family not in TASKS:
        raise unknown("task", name, TASKS)
    numbers = [int(size) for size in sizes.split("x") if size]
    try:
        signature(TASKS[family]).bind(*numbers)
    except TypeError:
        raise InputError(f"task {name!r} has too many sizes: write a family and its size, such as maze30") from None
    return TASKS[family](*numbers)


__all__ = ["TASKS", "Puzzle", "Task", "task_named"]
