"""``eqr solve``: answers to puzzles from arguments, a file or standard input, in order, as they come."""

import itertools
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

from eqr.commands.custom_task import judged
from eqr.commands.out import output_folder
from eqr.data.files import read_rows
from eqr.data.parsing import read_question
from eqr.data.serialise import as_record
from eqr.engine import SolveConfig, gather, select
from eqr.errors import InputError
from eqr.evidence import Solution
from eqr.model import Reasoner
from eqr.runtime import pick_device, set_threads
from eqr.storage.checkpoint import load
from eqr.tasks import Task
from eqr.terminal.pictures import save_picture
from eqr.terminal.replay import replay


@dataclass(frozen=True, kw_only=True)
class Solve:
    """Solve puzzles with a trained model."""

    puzzles: tyro.conf.Positional[list[str]] = field(default_factory=list)
    """Puzzles, row by row. Sudoku: a digit for each clue, . or 0 for each blank; white space and drawn lines are
    ignored. Mazes: # for each wall, . for each open cell, S and G; / or a line end between rows, or nothing."""
    file: str | None = None
    """CSV with a 'question' column, or a puzzle a line, or a row a line; - for standard input."""
    model: str = "sudoku"
    """Bundled model, model folder, or hf:user/name."""
    solving: SolveConfig = field(default_factory=SolveConfig)
    checker: str | None = None
    """Judge of answers to your own puzzles, module:function (docs/own_puzzles.md)."""
    json: bool = False
    """One JSON object a line instead of boards."""
    watch: bool = False
    """Show each board settling; cells are coloured by confidence."""
    png: str | None = None
    """Folder for a picture of each answer: 00001.png and so on, in input order."""
    threads: int | None = None
    """CPU threads; all by default."""
    device: str = "auto"
    """auto, cpu or cuda."""

    def run(self) -> None:
        """Print one answer a puzzle, in input order."""
        if self.json and self.watch:
            raise InputError("both --json and --watch are given: give one of them")
        pictures = output_folder("--png", self.png) if self.png else None
        set_threads(self.threads)
        model = judged(load(self.model, pick_device(self.device)), self.checker)
        done = valid = 0
        started = time.perf_counter()
        queue = _Queue(model, self._texts(model.task))
        # Puzzles of one size that follow each other are solved together.
        for sized, group in itertools.groupby(queue, key=lambda taken: taken[0]):
            for found in gather(sized, (puzzle for _, puzzle in group), self.solving, record=self.watch):
                title, puzzle = queue.waiting.popleft()
                solution = select(found, self.solving.select)
                done, valid = done + 1, valid + solution.valid
                self._print(sized.task, title, puzzle, solution)
                if pictures:
                    save_picture(sized.task.picture(puzzle, solution.answer), pictures / f"{done:05}.png")
        if queue.refused:
            raise queue.refused
        if done > 1 and not self.json:
            verdict = f"{valid} valid, {done - valid} not" if model.task.has_rules else "not checked"
            print(f"{done} puzzles: {verdict}, {time.perf_counter() - started:.1f} s")

    def _print(self, task: Task, title: str, puzzle: torch.Tensor, solution: Solution) -> None:
        if self.json:
            print(json.dumps(as_record(task, puzzle, solution)), flush=True)
            return
        print(title)
        if solution.history:
            replay(solution.history, puzzle, task, Console())
        print(f"{task.render(puzzle, solution)}, {solution.seconds:.3f} s\n", flush=True)

    def _texts(self, task: Task) -> Iterator[tuple[str, str]]:
        """(title, puzzle text), with boards that span several lines or arguments joined."""
        if self.puzzles and self.file:
            raise InputError("both puzzles and --file are given: give one of them")
        if self.puzzles:
            rows = iter([(f"puzzle {number}", text) for number, text in enumerate(self.puzzles, 1)])
            if isfile(self.puzzles[0]):  # unlike Path.is_file, no matter how long
                raise InputError(f"{self.puzzles[0]} is a file, not a puzzle: use --file {self.puzzles[0]}")
        elif self.file is None and sys.stdin.isatty():
            raise InputError("no puzzle is given: write one as an argument, or use --file F.csv or --file -")
        else:
            read = ((_title(place, row), row["question"]) for place, row in read_rows(self.file or "-"))
            rows = ((place, text) for place, text in read if task.cells_in(text))
        first = next(rows, None)
        if first is None:
            raise InputError(f"{self.file or 'standard input'} holds no puzzles: nothing to solve")
        yield from _joined(task, itertools.chain([first], rows))


def _joined(task: Task, lines: Iterator[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Boards from lines that are whole boards or hold a row each."""
    for start, first in lines:
        board, cols, needed = [first], task.cells_in(first), task.lines_of(first)
        for place, text in itertools.islice(lines, needed - 1):
            if task.cells_in(text) != cols:
                raise InputError(
                    f"{place}: {text[:24]!r} has {task.cells_in(text)} cells, a row has {cols}: "
                    f"correct it or the first row of its board ({start})"
                )
            board.append(text)
        # A line that stands alone can be a whole board whose fault is another one; then that is told.
        whole = len(board) == 1 and task.sized(cols).layout.cells == cols
        if len(board) < needed and not whole:
            raise InputError(
                f"{start}: the board has {len(board)} rows, {needed} are needed for rows of {cols} cells: add them"
            )
        yield start, "\n".join(board)


class _Queue:
    """Puzzles on their way to the engine, and the titles of those it has not answered yet.

    Each comes with the model on a board of its size. A text that is no puzzle, or one for another model, ends the
    queue; those before it are still answered.
    """

    def __init__(self, model: Reasoner, texts: Iterator[tuple[str, str]]) -> None:
        self.task, self.model, self.texts = model.task, model, texts
        self.waiting: deque[tuple[str, torch.Tensor]] = deque()
        self.refused: InputError | None = None

    def __iter__(self) -> Iterator[tuple[Reasoner, torch.Tensor]]:
        try:
            for title, text in self.texts:
                self.model, board = read_question(self.task, title, text, self.model.for_task)
                puzzle = torch.from_numpy(board).long()
                self.waiting.append((title, puzzle))
                yield self.model, puzzle
        except InputError as error:
            self.refused = error


def _title(place: str, row: dict[str, str]) -> str:
    return f"{place}: {row['source']}" if row.get("source") else place
