"""``eqr solve``: answers puzzles from arguments, a file or standard input, in order, as soon as they are solved."""

import json
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain
from os.path import isfile
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console

from eqr.commands.options import Judged, Machine
from eqr.commands.out import output_folder
from eqr.data.parsing import Refused, Row, Text, boards_of, read_puzzle
from eqr.data.serialise import as_record
from eqr.data.text import QuestionColumn, rows_for
from eqr.distributed import WEEK, joined_ranks
from eqr.engine import SolveConfig, outcomes
from eqr.engine.segment import Compile
from eqr.errors import InputError, printable
from eqr.evidence import Solution
from eqr.storage.records import Existing, RecordFile
from eqr.tasks import Task
from eqr.terminal.console import progress_bar, waiting
from eqr.terminal.pictures import save_picture
from eqr.terminal.replay import replay

OTHER = "give the same input, or another name with --out"


@dataclass(frozen=True, kw_only=True)
class Solve:
    """Solve puzzles with a trained model."""

    puzzles: tyro.conf.Positional[list[str]] = field(default_factory=list)
    """Puzzles, row by row. Sudoku: a digit for each clue, . or 0 for each blank; white space and drawn lines are
    ignored. Mazes: # for each wall, . for each open cell, S and G; rows may be separated by / or a line end."""
    file: str | None = None
    """CSV with a 'question' column, JSON lines, or text with one puzzle or one row on each line (docs/formats.md);
    - for standard input."""
    columns: QuestionColumn = field(default_factory=QuestionColumn)
    model: Judged = field(default_factory=Judged)
    solving: SolveConfig = field(default_factory=SolveConfig)
    json: bool = False
    """Print one JSON object on each line instead of boards."""
    out: str | None = None
    """File for the answers, one JSON object on each line, written as they come; processes that torchrun starts share
    the puzzles."""
    resume: bool = False
    """Go on with the file of ``out`` where a run that was stopped has ended."""
    strict: bool = False
    """Stop at the first puzzle that cannot be read, instead of reporting it and going on."""
    watch: bool = False
    """Show each board settling; cells are coloured by confidence."""
    png: str | None = None
    """Folder for a picture of each answer: 00001.png and so on, in input order."""
    machine: Machine = field(default_factory=Machine)

    def run(self) -> None:
        """Answer the puzzles in input order; raises InputError at the end if some of them cannot be read."""
        self._refuse_contradictions()
        self.machine.set()
        started = time.perf_counter()
        with ExitStack() as stack:
            ranks, device = stack.enter_context(joined_ranks(self.machine.device, WEEK))
            if ranks.size > 1 and not self.out:
                raise InputError("several processes share the puzzles: give --out FILE, where their answers are joined")
            pictures = output_folder("--png", self.png) if self.png else None
            existing: Existing = "continue" if self.resume else "refuse"
            file = stack.enter_context(RecordFile(Path(self.out), ranks, existing, waiting)) if self.out else None
            hidden = self.watch or self._typed or not ranks.first
            advance = stack.enter_context(progress_bar("solving", 1.0, hidden=hidden))
            model = self.model.load(device)
            config = self.solving.completed(model.settings)
            output = _Output(model.task, config, file, pictures, self.json, self.strict)

            def on_read(share: float) -> None:
                done = output.counts.total()
                advance(share, f"{done:,} done, {done / (time.perf_counter() - started):,.1f} a second")

            under_way = deque[tuple[int, str, str]]()
            pieces = self._pieces(model.task, file, under_way, on_read)
            try:
                for outcome in outcomes(model, pieces, config, compile=self._compile, record=self.watch):
                    output.take(outcome, *under_way.popleft())
            except KeyboardInterrupt:
                if self.out:
                    print(f"eqr: stopped; the same command with --resume goes on with {self.out}", file=sys.stderr)
                raise
        if ranks.first:
            with waiting(f"counting {self.out}", hidden=file is None):
                counts = Counter(map(_kind, file.records())) if file else output.counts
            self._summarise(counts, time.perf_counter() - started, model.task)

    def _refuse_contradictions(self) -> None:
        given = [flag for flag in ("json", "watch", "out") if vars(self)[flag]]
        if len(given) > 1:
            raise InputError(f"both --{given[0]} and --{given[1]} are given: give one of them")
        if self.resume and not self.out:
            raise InputError("--resume needs --out FILE, the answers that are to be continued")
        if self.puzzles and self.file:
            raise InputError("both puzzles and --file are given: give one of them")
        if self.puzzles and isfile(self.puzzles[0]):  # Path.is_file would fail on a very long text
            raise InputError(f"{self.puzzles[0]} is a file, not a puzzle: use --file {self.puzzles[0]}")
        if self.file is None and self._typed:
            raise InputError("no puzzle is given: write one as an argument, or use --file F.csv or --file -")

    @property
    def _typed(self) -> bool:
        """Whether a person types the puzzles."""
        return not self.puzzles and self.file in (None, "-") and sys.stdin.isatty()

    @property
    def _compile(self) -> Compile:
        """The kernel for files and pipes. Not for a few puzzles: building it takes longer than they do."""
        return False if self.puzzles or self._typed else "kernel"

    def _pieces(
        self,
        task: Task,
        file: RecordFile | None,
        under_way: deque[tuple[int, str, str]],
        on_read: Callable[[float], None],
    ) -> Iterator[Text | Refused]:
        """Yields the puzzles that have no answer yet; adds number, title and text of each to ``under_way``."""
        if self.puzzles:
            rows: Iterable[Row | Refused] = (Row(f"puzzle {at}", text) for at, text in enumerate(self.puzzles, 1))
        else:
            rows = rows_for(task, self.file or "-", self.columns, on_read)
        boards = boards_of(task, rows)
        first = next(boards, None)
        if first is None:
            raise InputError(f"{self.file or 'standard input'} holds no puzzles: nothing to solve")
        boards = chain([first], boards)
        for number, row in file.to_do(self._continued(task, file, boards)) if file else enumerate(boards):
            source = "" if isinstance(row, Refused) else row.source
            title = f"{row.place}: {printable(source)}" if source else row.place
            question = "" if isinstance(row, Refused) else row.question
            under_way.append((number, title, question))
            yield row if isinstance(row, Refused) else Text(title, question)

    def _continued(self, task: Task, file: RecordFile, rows: Iterator[Row | Refused]) -> Iterator[Row | Refused]:
        """Yields the rows; raises InputError if the last record of the file does not belong to its row."""
        number = 0
        for number, row in enumerate(rows, 1):
            if number == file.found:
                self._refuse_other(task, row, file)
            yield row
        if number < file.found:
            raise InputError(f"{file.path} holds {file.found} records, the input {number} puzzles: {OTHER}")

    def _refuse_other(self, task: Task, row: Row | Refused, file: RecordFile) -> None:
        read = (
            row if isinstance(row, Refused) else read_puzzle(task, Text(row.place, row.question), lambda sized: sized)
        )
        question = None if isinstance(read, Refused) else read[0].as_json(read[1])
        if file.last is None or file.last.get("question") not in (question, None):
            raise InputError(f"{file.path} was not written for {row.place}: {OTHER}")

    def _summarise(self, counts: Counter[str], seconds: float, task: Task) -> None:
        """Prints the counts; raises InputError if pieces of the input were refused."""
        if counts.total() > 1 and not self.json:
            verdict = f"{counts['valid']} valid, {counts['not']} not" if task.has_rules else "not checked"
            where = f" in {self.out}" if self.out else ""
            print(f"{counts['valid'] + counts['not']} puzzles{where}: {verdict}, {seconds:.1f} s")
        if counts.total() == counts["refused"] == 1:
            sys.exit(2)  # one sentence is enough
        if counts["refused"]:
            others = "none is answered" if counts["refused"] == counts.total() else "the others are answered"
            raise InputError(f"{counts['refused']} of {counts.total()} puzzles cannot be read, {others}")


def _kind(record: Mapping[str, Any]) -> str:
    """Returns what a record tells: refused (the piece is no puzzle), valid or not."""
    return "refused" if "error" in record else "valid" if record.get("valid") else "not"


@dataclass
class _Output:
    """Writes or prints the outcome of each puzzle, and counts."""

    task: Task
    config: SolveConfig
    file: RecordFile | None
    pictures: Path | None
    json: bool
    strict: bool
    counts: Counter[str] = field(default_factory=Counter)

    def take(self, outcome: Solution | Refused, number: int, title: str, question: str) -> None:
        """Takes the outcome of the input's piece ``number``, from 0; raises InputError if strict and it is refused."""
        if isinstance(outcome, Refused):
            if self.strict:
                raise outcome.error()
            print(f"eqr: {outcome.error()}", file=sys.stderr)
            record: Mapping[str, Any] = {"error": str(outcome.error())}
        else:
            task = self.task.fitting(question)
            record = as_record(task, outcome)
            if self.pictures:
                picture = task.picture(outcome.evidence.puzzle, outcome.answer)
                save_picture(picture, self.pictures / f"{number + 1:05}.png")
            if not self.json and not self.file:
                self._print(outcome, title, task)
        self.counts[_kind(record)] += 1
        if self.file:
            self.file.write(number, record)
        elif self.json:
            print(json.dumps(record), flush=True)

    def _print(self, solution: Solution, title: str, task: Task) -> None:
        puzzle = solution.evidence.puzzle
        print(title)
        if solution.history:
            replay(solution.history, puzzle, task, Console())
        print(f"{task.render(puzzle, solution)}, {solution.seconds:.3f} s", flush=True)
        if task.has_rules and not solution.valid:
            print(task.about_question(puzzle) or self._more())
        print(flush=True)

    def _more(self) -> str:
        """Names the options that give an unsolved puzzle more compute."""
        breadth, depth = max(32, 4 * self.config.restarts), 4 * self.config.segments
        return f"more compute may solve it, if it has a solution: --breadth auto:{breadth}, or --depth {depth}"
