"""A user's own puzzles on the command line: the options that describe them to ``eqr train grid``."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from eqr.commands.plugins import checker_named
from eqr.data.files import read_labelled
from eqr.data.parsing import Refused
from eqr.data.text import USUAL, Columns, read_rows
from eqr.errors import InputError
from eqr.tasks.grid import Grid
from eqr.tasks.grid_inference import inferred

PRESET = "grid"


@dataclass(frozen=True, kw_only=True)
class CustomTask:
    """Your own puzzles, for the preset ``grid`` (docs/own_puzzles.md)."""

    board: str | None = None
    """Your own puzzles: rows x columns of a board, such as 4x6; needed if boards are not square and texts have no '/'
    or line ends."""
    symbols_interchangeable: bool = False
    """Your own puzzles: they remain valid when symbols swap their names, as the digits of a Sudoku may."""
    dihedral: bool = False
    """Your own puzzles: they remain valid when the board is turned or mirrored."""
    block: str | None = None
    """Your own puzzles: block of the network; by default relation if symbols are interchangeable, else mixer."""
    checker: str | None = None
    """Your own puzzles: function that checks answers, module:function; every answer in the data must pass."""

    def read(
        self, preset: str, data: Sequence[str], eval_data: str | None, columns: Columns = USUAL
    ) -> tuple[Grid | None, str]:
        """Returns the task of the puzzles in ``data``, and a line that describes it; (None, "") for other presets.

        Raises InputError if options are given for another preset, or the files do not hold puzzles of one kind.
        """
        if preset != PRESET:
            given = [f"--{name.replace('_', '-')}" for name, value in vars(self).items() if value]
            if given:
                raise InputError(
                    f"{' and '.join(given)} given for {preset}: these options are for your own puzzles, "
                    f"use `eqr train {PRESET}` or leave them out"
                )
            return None, ""
        if not data:
            raise InputError("your own puzzles are needed: give --data F.csv with the columns question and answer")
        board, changed = inferred(_pairs(data, columns), self.board, self.symbols_interchangeable, self.dihedral)
        if self.checker:
            task = Grid(board, checker_named(self.checker))
            for path in filter(None, [*data, eval_data]):
                read_labelled(path, task, columns=columns)
        described = f"grid: {board.described()}" + (f"; the first given cell to change: {changed}" if changed else "")
        return Grid(board), described


def _pairs(data: Sequence[str], columns: Columns) -> Iterator[tuple[str, str, str]]:
    """Yields (place, question, answer) of every puzzle in the files; the place is for messages."""
    for path in data:
        if Path(path).is_dir() or path.endswith(".npz"):
            raise InputError(f"{path} names no symbols: give a CSV with the columns question and answer")
        for row in read_rows(path, columns):
            if isinstance(row, Refused):
                raise row.error()
            if row.answer is None:
                raise InputError(f"{path} has no 'answer' column: evaluation and training need one")
            if not row.answer.strip():
                raise InputError(f"{row.place} has no answer: add it or remove the row")
            yield row.place, row.question, row.answer
