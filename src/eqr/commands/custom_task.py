"""A user's own puzzles on the command line: what ``eqr train grid`` is told of them, and the checker of answers.

A checker is a Python function named by ``--checker module:function``; the module may lie in the current directory. It
is given to each command anew and never read from a model's folder: loading a model runs no code.
"""

import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from eqr.data.files import read_labelled, read_rows
from eqr.errors import InputError
from eqr.model import Reasoner
from eqr.tasks.grid import Checker, Grid, GridConfig
from eqr.tasks.grid_inference import inferred

PRESET = "grid"


@dataclass(frozen=True, kw_only=True)
class CustomTask:
    """What is known of your own puzzles, for the preset ``grid`` (docs/own_puzzles.md)."""

    board: str | None = None
    """Rows x columns of a board, such as 4x6, where neither '/' and line ends nor a square tell."""
    symbols_interchangeable: bool = False
    """Puzzles stay puzzles when symbols swap their names, as the digits of a Sudoku may."""
    dihedral: bool = False
    """Puzzles stay puzzles when the board is turned or mirrored."""
    block: str | None = None
    """Block of the network; by default relation if symbols are interchangeable, else mixer."""
    checker: str | None = None
    """Judge of answers, module:function; every answer of the data must pass it."""

    def read(self, preset: str, data: Sequence[str], eval_data: str | None) -> tuple[GridConfig | None, str]:
        """The board of the puzzles in ``data``, and a line that tells it; None and no line for other presets.

        Raises InputError if the options are another preset's, or the files do not hold puzzles of one kind.
        """
        if preset != PRESET:
            given = [f"--{name.replace('_', '-')}" for name, value in vars(self).items() if value]
            if given:
                raise InputError(
                    f"{' and '.join(given)} given for {preset}: such options are for your own puzzles, "
                    f"use `eqr train {PRESET}` or leave them out"
                )
            return None, ""
        if not data:
            raise InputError("your own puzzles are needed: give --data F.csv with the columns question and answer")
        grid, changed = inferred(_pairs(data), self.board, self.symbols_interchangeable, self.dihedral)
        if self.checker:
            task = Grid(grid, checker_named(self.checker))
            for path in filter(None, [*data, eval_data]):
                _refuse_wrong_answers(path, task)
        return grid, f"grid: {grid.described()}" + (f"; the first given cell to change: {changed}" if changed else "")


def _pairs(data: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """(place, question, answer) of all files."""
    for path in data:
        if Path(path).is_dir() or path.endswith(".npz"):
            raise InputError(f"{path} names no symbols: give a CSV with the columns question and answer")
        for place, row in read_rows(path):
            if "answer" not in row:
                raise InputError(f"{path} has no 'answer' column: evaluation and training need one")
            yield place, row["question"], row["answer"]


def _refuse_wrong_answers(path: str, task: Grid) -> None:
    batch = read_labelled(path, task).batch()
    wrong = ~task.is_solved(batch.inputs, batch.labels)
    if wrong.any():
        raise InputError(
            f"the checker refuses {int(wrong.sum())} of {len(wrong)} answers in {path}, the first of puzzle "
            f"{int(wrong.int().argmax()) + 1}: correct the checker or the file"
        )


def judged(model: Reasoner, checker: str | None) -> Reasoner:
    """The model with the user's judge of its answers, if one is named; raises InputError if its task has rules."""
    if checker is None:
        return model
    if not isinstance(model.task, Grid):
        raise InputError(f"--checker {checker}: {model.task.name} is not a grid task, leave the checker out")
    return model.for_task(model.task.with_checker(checker_named(checker)))


def checker_named(name: str) -> Checker:
    """The function ``module:function``; imports the module, from the current directory if it is there."""
    module_name, _, function = name.partition(":")
    if not function.isidentifier() or not all(part.isidentifier() for part in module_name.split(".")):
        raise InputError(f"--checker {name}: write module:function, such as examples.latin.check:is_latin")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise InputError(
            f"--checker {name}: there is no module {error.name!r}, neither installed nor below {os.getcwd()}"
        ) from None
    found: Checker | None = vars(module).get(function)
    if not callable(found):
        raise InputError(f"--checker {name}: {module_name} has no function {function!r}, correct the name")
    return found
