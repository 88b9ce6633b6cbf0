"""``eqr generate``: writes puzzles with one solution as CSV."""

import csv
import itertools
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, TextIO

import torch
import tyro

from eqr.commands.out import new_file
from eqr.data.text import COLUMNS
from eqr.errors import InputError
from eqr.storage.files import write_atomically
from eqr.tasks import Puzzle, Task, task_named
from eqr.tasks.sudoku import Sudoku
from eqr.terminal.console import progress_bar

FILE_STREAMS = 1 << 32
"""Files are filled from the streams from here on; training uses lower streams, so no file holds a training puzzle."""


@dataclass(frozen=True, kw_only=True)
class Generate:
    """Generate puzzles with exactly one solution and, without --clues, no clue that could be left out."""

    task: tyro.conf.Positional[str]
    """sudoku, sudoku4, sudoku6 (boxes 2x3), sudoku16 or sudoku25 (with --clues), or maze and a size of 5 to 99, such as
    maze30 (30x30)."""
    count: int = 1000
    """Puzzles to write."""
    least: Annotated[int, tyro.conf.arg(aliases=("--min-guesses", "--min-path"))] = 0
    """Least rating: guesses that a plain bitmask solver needs (Sudoku), steps from S to G (maze)."""
    most: Annotated[int | None, tyro.conf.arg(aliases=("--max-guesses", "--max-path"))] = None
    """Greatest rating; by default no limit or, for mazes, a usual value for their size (100 to 140 steps at 30x30)."""
    clues: int | None = None
    """Clues of each puzzle (Sudoku), such as 150 for sudoku16; needs the extra csp. By default none to spare."""
    seed: int = 0
    """Seed of the puzzles, which do not depend on the number of workers."""
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    """Threads that generate, by default one for each core."""
    out: str = "-"
    """CSV file to write, or - for standard output. Columns: source, question, answer, rating."""

    def run(self) -> None:
        """Write the CSV."""
        task = task_named(self.task)
        if self.count < 1 or self.workers < 1:
            raise InputError(f"--count {self.count} --workers {self.workers}: both must be at least 1")
        if self.seed < 0:
            raise InputError(f"--seed {self.seed}: seeds are 0 or more")
        if self.out == "-":
            self._write(task, sys.stdout)
            return

        def to_file(path: Path) -> None:
            with path.open("w", newline="") as file:
                self._write(task, file)

        write_atomically(new_file("--out", self.out), to_file)

    def _write(self, task: Task, file: TextIO) -> None:
        stream = self._stream(task)
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        with progress_bar("generating", self.count) as advance:
            for puzzle in itertools.islice(stream, self.count):
                boards = (task.format(torch.from_numpy(b)) for b in (puzzle.question, puzzle.answer))
                writer.writerow([f"eqr-{self.task}-{self.seed}", *boards, puzzle.rating])
                advance(1, "")

    def _stream(self, task: Task) -> Iterator[Puzzle]:
        seed = FILE_STREAMS + self.seed
        if self.clues is None:
            return task.generate(seed, self.least, self.most, self.workers)
        if not isinstance(task, Sudoku):
            raise InputError(f"--clues {self.clues}: only Sudokus have clues, leave it out for {task.name}")
        if self.least or self.most is not None:
            raise InputError("--clues is given with limits of the rating: puzzles with stated clues have no rating")
        return task.generate_with(self.clues, seed)
