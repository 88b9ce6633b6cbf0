"""A user's own puzzles on the command line: the options that describe them to ``eqr train grid`` and ``csp``."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import ClassVar

from eqr.commands.plugins import checker_named
from eqr.data.files import read_labelled
from eqr.data.parsing import Refused
from eqr.data.problems import problems_in, read_rules
from eqr.data.text import USUAL, Columns, read_rows
from eqr.errors import InputError
from eqr.tasks import Task
from eqr.tasks.csp import csp_for
from eqr.tasks.family import family_of
from eqr.tasks.grid import Grid
from eqr.tasks.grid_inference import inferred


@dataclass(frozen=True, kw_only=True)
class CustomTask:
    """Your own puzzles, for the presets ``grid`` (docs/own_puzzles.md) and ``csp`` (docs/your_problem.md)."""

    board: str | None = None
    """Your own puzzles, grid: rows x columns of a board, such as 4x6; needed if boards are not square and texts have no
    '/' or line ends."""
    symbols_interchangeable: bool = False
    """Your own puzzles, grid: they remain valid when symbols swap their names, as the digits of a Sudoku may."""
    dihedral: bool = False
    """Your own puzzles, grid: they remain valid when the board is turned or mirrored."""
    block: str | None = None
    """Your own puzzles, grid: block of the network; by default relation if symbols are interchangeable, else mixer."""
    values_interchangeable: bool = False
    """Your own puzzles, csp: they remain valid when values swap their names, as colours may."""
    rules: str | None = None
    """Your own puzzles, csp: JSON file with the rule of each relation, for marking answers; the network never sees
    it."""
    checker: str | None = None
    """Your own puzzles: function that checks answers, module:function; every answer in the data must pass."""

    OF_PRESETS: ClassVar = {
        "grid": ("board", "symbols_interchangeable", "dihedral", "block", "checker"),
        "csp": ("values_interchangeable", "rules", "checker"),
    }

    def read(
        self, preset: str, data: Sequence[str], eval_data: str | None, columns: Columns = USUAL
    ) -> tuple[Task | None, str]:
        """Returns the task of the puzzles in ``data``, and a line that describes it; (None, "") for other presets.

        Raises InputError if options are given for another preset, or the files do not hold puzzles of one kind.
        """
        self._refuse_foreign(preset)
        if preset not in self.OF_PRESETS:
            return None, ""
        if not data:
            form = "F.jsonl (docs/your_problem.md)" if preset == "csp" else "F.csv with the columns question and answer"
            raise InputError(f"your own puzzles are needed: give --data {form}")
        if "-" in data:
            raise InputError("--data -: your own puzzles are read more than once, write them to a file first")
        task, described = self._csp(data) if preset == "csp" else self._grid(data, columns)
        if self.checker:
            checked = task.with_checker(checker_named(self.checker))
            for path in filter(None, [*data, eval_data]):
                read_labelled(path, checked, columns=columns)
        return task, described

    def block_for(self, preset: str) -> str:
        """Returns the name of the network's block, which assumes of the board only what the user declared."""
        return self.block or ("relation" if self.symbols_interchangeable or preset == "csp" else "mixer")

    def _refuse_foreign(self, preset: str) -> None:
        own = self.OF_PRESETS.get(preset, ())
        foreign = [name for name, value in vars(self).items() if value and name not in own]
        if foreign:
            presets = [name for name, options in self.OF_PRESETS.items() if foreign[0] in options]
            given = " and ".join(f"--{name.replace('_', '-')}" for name in foreign)
            use = " or ".join(f"`eqr train {name}`" for name in presets)
            raise InputError(
                f"{given} given for {preset}: these options are for your own puzzles, use {use} or leave them out"
            )

    def _grid(self, data: Sequence[str], columns: Columns) -> tuple[Task, str]:
        board, changed = inferred(_pairs(data, columns), self.board, self.symbols_interchangeable, self.dihedral)
        more = f"; the first given cell to change: {changed}" if changed else ""
        return Grid(board), f"grid: {board.described()}{more}"

    def _csp(self, data: Sequence[str]) -> tuple[Task, str]:
        """The files are read twice, so that no problem is kept."""
        every = chain.from_iterable(problems_in(path, answered=True) for path in data)
        family = family_of(every, self.values_interchangeable)
        every = chain.from_iterable(problems_in(path, family, answered=True) for path in data)
        task = csp_for(every, family, None if self.rules is None else read_rules(self.rules, family).as_json())
        return task, f"csp: {task.described()}"


def _pairs(data: Sequence[str], columns: Columns) -> Iterator[tuple[str, str, str]]:
    """Yields (place, question, answer) of every puzzle in the files; the place is for messages."""
    for path in data:
        if Path(path).is_dir() or path.endswith(".npz"):
            raise InputError(
                f"{path} is a folder or holds arrays, which name no symbols: give a CSV of questions and answers"
            )
        for row in read_rows(path, columns):
            if isinstance(row, Refused):
                raise row.error()
            if row.answer is None:
                raise InputError(f"{path} has no 'answer' column: evaluation and training need one")
            if not row.answer.strip():
                raise InputError(f"{row.place} has no answer: add it or remove the row")
            yield row.place, row.question, row.answer
