"""``eqr solve``: answers puzzles from arguments, a file or standard input, in order, as soon as they are solved."""

import json
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from os.path import isfile

import torch
import tyro
from rich.console import Console

from eqr.commands.options import Judged, Machine
from eqr.commands.out import output_folder
from eqr.data.parsing import Refused, Row, Text, boards_of
from eqr.data.serialise import as_record
from eqr.data.text import Columns, read_rows
from eqr.engine import SolveConfig, solve_stream
from eqr.errors import InputError, printable
from eqr.evidence import Solution
from eqr.tasks import Task
from eqr.terminal.pictures import save_picture
from eqr.terminal.replay import replay


@dataclass(frozen=True, kw_only=True)
class Solve:
    """Solve puzzles with a trained model."""

    puzzles: tyro.conf.Positional[list[str]] = field(default_factory=list)
    """Puzzles, row by row. Sudoku: a digit for each clue, . or 0 for each blank; white space and drawn lines are
    ignored. Mazes: # for each wall, . for each open cell, S and G; rows may be separated by / or a line end."""
    file: str | None = None
    """CSV with a 'question' column, JSON lines, or text with one puzzle or one row on each line (docs/formats.md);
    - for standard input."""
    columns: Columns = field(default_factory=Columns)
    model: Judged = field(default_factory=Judged)
    solving: SolveConfig = field(default_factory=SolveConfig)
    json: bool = False
    """Print one JSON object on each line instead of boards."""
    watch: bool = False
    """Show each board settling; cells are coloured by confidence."""
    png: str | None = None
    """Folder for a picture of each answer: 00001.png and so on, in input order."""
    machine: Machine = field(default_factory=Machine)

    def run(self) -> None:
        """Print an answer to each puzzle, in input order."""
        if self.json and self.watch:
            raise InputError("both --json and --watch are given: give one of them")
        pictures = output_folder("--png", self.png) if self.png else None
        model = self.model.load(self.machine.ready())
        done = valid = 0
        started = time.perf_counter()
        titles: deque[str] = deque()
        for solution in solve_stream(model, self._texts(model.task, titles), self.solving, record=self.watch):
            puzzle = solution.evidence.puzzle
            task = model.task.sized(len(puzzle))
            done, valid = done + 1, valid + solution.valid
            self._print(task, titles.popleft(), puzzle, solution)
            if pictures:
                save_picture(task.picture(puzzle, solution.answer), pictures / f"{done:05}.png")
        if done > 1 and not self.json:
            verdict = f"{valid} valid, {done - valid} not" if model.task.has_rules else "not checked"
            print(f"{done} puzzles: {verdict}, {time.perf_counter() - started:.1f} s")

    def _print(self, task: Task, title: str, puzzle: torch.Tensor, solution: Solution) -> None:
        if self.json:
            print(json.dumps(as_record(task, solution)), flush=True)
            return
        print(title)
        if solution.history:
            replay(solution.history, puzzle, task, Console())
        print(f"{task.render(puzzle, solution)}, {solution.seconds:.3f} s\n", flush=True)

    def _texts(self, task: Task, titles: deque[str]) -> Iterator[Text]:
        """Yields the puzzles, joining boards that span several lines or arguments; adds each title to ``titles``."""
        if self.puzzles and self.file:
            raise InputError("both puzzles and --file are given: give one of them")
        if self.puzzles:
            rows: Iterator[Row | Refused] = (
                Row(f"puzzle {number}", text) for number, text in enumerate(self.puzzles, 1)
            )
            if isfile(self.puzzles[0]):  # Path.is_file would fail on a very long text
                raise InputError(f"{self.puzzles[0]} is a file, not a puzzle: use --file {self.puzzles[0]}")
        elif self.file is None and sys.stdin.isatty():
            raise InputError("no puzzle is given: write one as an argument, or use --file F.csv or --file -")
        else:
            rows = read_rows(self.file or "-", self.columns)
        count = 0
        for count, row in enumerate(boards_of(task, rows), 1):  # noqa: B007 - counted for the message below
            if isinstance(row, Refused):
                raise row.error()
            titles.append(f"{row.place}: {printable(row.source)}" if row.source else row.place)
            yield Text(titles[-1], row.question)
        if not count:
            raise InputError(f"{self.file or 'standard input'} holds no puzzles: nothing to solve")
