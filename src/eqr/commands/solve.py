"""``eqr solve``: answers to puzzles from arguments, a file or standard input, in order, as they come."""

import itertools
import json
import math
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
import tyro
from rich.console import Console

from eqr.checkpoint import load
from eqr.data import parse_at, read_rows
from eqr.engine import SolveConfig, gather, select
from eqr.errors import InputError
from eqr.runtime import pick_device, set_threads
from eqr.tasks import Task, squeezed
from eqr.types import Solution
from eqr.watch import watch


@dataclass(frozen=True, kw_only=True)
class Solve:
    """Solve puzzles with a trained model."""

    puzzles: tyro.conf.Positional[list[str]] = field(default_factory=list)
    """Puzzles: a digit for each clue, . or 0 for each blank, row by row; white space and drawn lines are ignored."""
    file: str | None = None
    """CSV with a 'question' column, or one puzzle a line; - for standard input."""
    model: str = "sudoku"
    """Bundled model or model folder."""
    solving: SolveConfig = field(default_factory=SolveConfig)
    json: bool = False
    """One JSON object a line instead of boards."""
    watch: bool = False
    """Show each board settling; cells are coloured by confidence."""
    threads: int | None = None
    """CPU threads; all by default."""
    device: str = "auto"
    """auto, cpu or cuda."""

    def run(self) -> None:
        """Print one answer a puzzle, in input order."""
        if self.json and self.watch:
            raise InputError("both --json and --watch are given: give one of them")
        set_threads(self.threads)
        model = load(self.model, pick_device(self.device))
        done = valid = 0
        started = time.perf_counter()
        queue = _Queue(model.task, self._texts(model.task))
        for found in gather(model, queue, self.solving, record=self.watch):
            title, puzzle = queue.waiting.popleft()
            solution = select(found, self.solving.select)
            self._print(model.task, title, puzzle, solution)
            done, valid = done + 1, valid + solution.valid
        if queue.refused:
            raise queue.refused
        if done > 1 and not self.json:
            print(f"{done} puzzles: {valid} valid, {done - valid} not, {time.perf_counter() - started:.1f} s")

    def _print(self, task: Task, title: str, puzzle: torch.Tensor, solution: Solution) -> None:
        if self.json:
            print(json.dumps(_record(task, puzzle, solution)), flush=True)
            return
        print(title)
        if solution.history:
            watch(solution.history, puzzle, task.layout.cols, Console())
        print(f"{task.render(puzzle, solution)}, {solution.seconds:.3f} s\n", flush=True)

    def _texts(self, task: Task) -> Iterator[tuple[str, str]]:
        """(title, puzzle text), with boards that span several lines or arguments joined."""
        if self.puzzles and self.file:
            raise InputError("both puzzles and --file are given: give one of them")
        if self.puzzles:
            rows = iter([(f"puzzle {number}", text) for number, text in enumerate(self.puzzles, 1)])
            if Path(self.puzzles[0]).is_file():
                raise InputError(f"{self.puzzles[0]} is a file, not a puzzle: use --file {self.puzzles[0]}")
        elif self.file is None and sys.stdin.isatty():
            raise InputError("no puzzle is given: write one as an argument, or use --file F.csv or --file -")
        else:
            read = ((_title(place, row), row["question"]) for place, row in read_rows(self.file or "-"))
            rows = ((place, text) for place, text in read if squeezed(text))
        first = next(rows, None)
        if first is None:
            raise InputError(f"{self.file or 'standard input'} holds no puzzles: nothing to solve")
        rows = itertools.chain([first], rows)
        yield from _joined(task, rows) if len(squeezed(first[1])) == task.layout.cols else rows


def _joined(task: Task, lines: Iterator[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Boards from lines that hold one row each."""
    while board := list(itertools.islice(lines, task.layout.rows)):
        for place, text in board:
            if len(squeezed(text)) != task.layout.cols:
                raise InputError(f"{place}: {text!r} has {len(squeezed(text))} cells, a row has {task.layout.cols}")
        if len(board) < task.layout.rows:
            raise InputError(f"{board[0][0]}: the board has {len(board)} rows, {task.layout.rows} are needed")
        yield board[0][0], "".join(text for _, text in board)


class _Queue:
    """Puzzles on their way to the engine, and the titles of those it has not answered yet.

    A text that is no puzzle ends the queue; those before it are still answered.
    """

    def __init__(self, task: Task, texts: Iterator[tuple[str, str]]) -> None:
        self.task, self.texts = task, texts
        self.waiting: deque[tuple[str, torch.Tensor]] = deque()
        self.refused: InputError | None = None

    def __iter__(self) -> Iterator[torch.Tensor]:
        try:
            for title, text in self.texts:
                puzzle = torch.from_numpy(parse_at(self.task, title, text)).long()
                self.waiting.append((title, puzzle))
                yield puzzle
        except InputError as error:
            self.refused = error


def _record(task: Task, puzzle: torch.Tensor, solution: Solution) -> dict[str, object]:
    return {
        "question": task.format(puzzle),
        "answer": task.format(solution.answer),
        "valid": solution.valid,
        "converged": solution.converged,
        "residual": solution.residual if math.isfinite(solution.residual) else None,
        "depth": solution.depth,
        "restart": solution.restart,
        "restarts": solution.restarts,
        "seconds": round(solution.seconds, 4),
    }


def _title(place: str, row: dict[str, str]) -> str:
    return f"{place}: {row['source']}" if row.get("source") else place
