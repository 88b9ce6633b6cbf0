"""``eqr data``: a training set in the folder format, from a CSV of puzzles."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from eqr.console import progress_bar
from eqr.data import Puzzles, read_labelled
from eqr.errors import InputError, unknown
from eqr.folders import write_folder
from eqr.tasks import TASKS, Task
from eqr.tasks.base import Boards

KINDS = {"sudoku-extreme": "sudoku"}
"""Task of each kind of set."""
CHUNK = 1 << 15
"""Boards augmented at a time: the index arrays of a symmetry are many times its boards."""


@dataclass(frozen=True, kw_only=True)
class Data:
    """Make a training set in the folder format of HRM, TRM and EqR."""

    name: tyro.conf.Positional[str]
    """Kind of set: sudoku-extreme (any CSV of 9x9 Sudokus with answers)."""
    source: Annotated[str, tyro.conf.arg(name="from")]
    """CSV with the columns question and answer, or npz with the arrays puzzles and solutions."""
    out: str
    """Folder to make; the set is its child train."""
    subsample: int | None = None
    """Draw so many of the puzzles without replacement; all by default."""
    augment: int = 0
    """Copies of each puzzle under random symmetries, in addition to the puzzle itself."""
    seed: int = 0
    """Same seed, same draw and same symmetries."""

    def run(self) -> None:
        """Write the folder."""
        if self.name not in KINDS:
            raise unknown("kind of set", self.name, KINDS)
        if self.augment < 0 or self.seed < 0:
            raise InputError(f"--augment {self.augment} --seed {self.seed}: both must be 0 or more")
        if self.subsample is not None and self.subsample < 1:
            raise InputError(f"--subsample {self.subsample}: at least 1 puzzle is needed")
        target = Path(self.out) / "train"
        if target.exists() and not (target.is_dir() and not any(target.iterdir())):
            raise InputError(f"{target} is there already: remove it or choose another --out")
        task = TASKS[KINDS[self.name]]
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(self.seed)))
        puzzles = self._drawn(read_labelled(self.source, task), rng)
        questions, answers = self._augmented(puzzles, task, rng)
        groups = np.arange(0, len(questions) + 1, self.augment + 1)
        # A run that is killed leaves a hidden folder, which the next one removes, and no half set.
        part = target.with_name(".train.part")
        try:
            shutil.rmtree(part, ignore_errors=True)
            write_folder(part, questions, answers, groups, task)
            part.replace(target)
        except OSError as error:
            raise InputError(f"cannot write {target} ({error.strerror}): choose another --out") from None
        finally:
            shutil.rmtree(part, ignore_errors=True)
        print(f"{len(questions)} puzzles in {len(puzzles)} groups written to {self.out}")

    def _drawn(self, puzzles: Puzzles, rng: np.random.Generator) -> Puzzles:
        if self.subsample is None:
            return puzzles
        if self.subsample > len(puzzles):
            raise InputError(f"--subsample {self.subsample}: {self.source} holds {len(puzzles)} puzzles, ask for fewer")
        chosen = np.zeros(len(puzzles), np.bool_)
        chosen[rng.choice(len(puzzles), self.subsample, replace=False)] = True
        return puzzles.where(chosen)

    def _augmented(self, puzzles: Puzzles, task: Task, rng: np.random.Generator) -> tuple[Boards, Boards]:
        """Each puzzle followed by its copies."""
        copies = self.augment + 1
        questions, answers = (np.repeat(b.astype(np.uint8), copies, 0) for b in (puzzles.questions, puzzles.answers))
        if not self.augment:
            return questions, answers
        with progress_bar("augmenting", len(questions)) as advance:
            for start in range(0, len(questions), CHUNK):
                rows = np.arange(start, min(start + CHUNK, len(questions)))
                advance(len(rows), "")
                rows = rows[rows % copies > 0]  # the first of a group stays as it is
                questions[rows], answers[rows] = task.augment(questions[rows], answers[rows], rng)
        return questions, answers
