"""What a claim is, and the laboratory it is measured in: puzzles, models, trained when needed. Knows no claim.

Everything measured or trained is kept in one folder, so that a run that was stopped goes on where it was.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from eqr.checkpoint import has_state, load, load_state
from eqr.data import Puzzles, collect
from eqr.engine import SolveConfig, gather
from eqr.model import Reasoner
from eqr.presets import PRESETS
from eqr.runtime import CPU, Ranks
from eqr.tasks import task_named
from eqr.training.config import Budget
from eqr.training.session import HELD_OUT_STREAM, train
from eqr.training.trainer import Record
from eqr.types import Evidence

HOLDS, FAILS, UNDECIDED, UNTESTED = "holds", "does not hold", "undecided", "not testable here"

Row = dict[str, Any]
"""One line of a table: column to figure or word."""


class OutOfTime(Exception):
    """The budget is spent; what was trained so far is kept."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a claim's measurement yields."""

    verdict: str
    """HOLDS, FAILS, UNDECIDED (seeds or parts disagree), or UNTESTED."""
    why: str
    """The sentence that the numbers of the table support."""
    rows: list[Row]
    """The numbers, a table."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """How a claim's table is drawn."""

    x: str
    """Column across."""
    y: tuple[str, ...]
    """Columns upwards, a line each."""
    by: str | None = None
    """Column whose values get lines of their own; rows that share it and x are averaged."""
    log: bool = False
    """Whether x is logarithmic."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One statement of the paper, and how it is put to the test here."""

    number: int
    title: str
    statement: str
    """What the paper says, with its own figures and where they stand in it."""
    protocol: str
    """What is done here: models, puzzles, budgets, seeds; and what of the statement is left out."""
    measure: "Callable[[Laboratory], Measured]"
    curve: Curve | None = None


@dataclass(kw_only=True)
class Laboratory:
    """What the measurements share."""

    folder: Path
    """Trained models are kept in its ``runs``, figures beside it."""
    model: Reasoner
    """A large, trained Sudoku reasoner: what depth, breadth and attractors are looked at with."""
    puzzles: Puzzles
    """Its puzzles."""
    seeds: Sequence[int]
    """Of every training that is compared with another."""
    deadline: float
    """No training and no measurement starts after this moment of ``time.monotonic``."""
    boards: int = 200
    """6x6 Sudokus that trained variants are compared on."""
    train_steps: int | None = None
    """Steps of each training; the preset's own by default."""
    said: Callable[[str], None] = field(default=print)
    """Told of each training."""
    evidence: dict[tuple[str, SolveConfig, int], list[Evidence]] = field(default_factory=dict)
    """What was gathered already in this run: several claims look at the same rows."""

    def in_time(self) -> None:
        """Raises OutOfTime when the budget is spent."""
        if time.monotonic() > self.deadline:
            raise OutOfTime

    @cached_property
    def few(self) -> Puzzles:
        """The first quarter of the puzzles, for what takes many starts of each."""
        return self.puzzles.where(np.full(len(self.puzzles), True), max(1, len(self.puzzles) // 4))

    @cached_property
    def small_puzzles(self) -> Puzzles:
        """Generated 6x6 Sudokus that no preset trains on."""
        task = task_named(PRESETS["small_eqr"].model.task)
        return collect(task, task.generate(HELD_OUT_STREAM + 1), self.boards)

    def trained(self, preset: str, seed: int) -> Reasoner:
        """The preset trained with this seed: once, and kept; a run that was stopped, or shorter, goes on."""
        folder, config = self.folder / "runs" / f"{preset}-{seed}", PRESETS[preset]
        steps = self.train_steps or config.default_steps
        going = has_state(folder)
        if not (going and load_state(folder)["step"] >= steps):
            self.in_time()
            self.said(f"training {preset}, seed {seed}: {steps} steps")
            folder.mkdir(parents=True, exist_ok=True)
            train(
                config,
                Budget(minutes=None, steps=steps, eval_minutes=1e4),
                folder,
                seed,
                [],
                None,
                None,
                going,
                Ranks(),
                CPU,
                _unsaid,
            )
        return load(folder)

    def gathered(
        self, name: str, model: Reasoner, puzzles: Puzzles, config: SolveConfig, record: bool = False
    ) -> list[Evidence]:
        """The evidence of all ``puzzles``; ``name`` says which model it is of."""
        key = (name, config, len(puzzles))
        if key not in self.evidence:
            self.in_time()
            self.said(f"solving {len(puzzles)} puzzles with {name}: depth {config.depth}, breadth {config.breadth}")
            self.evidence[key] = list(gather(model, puzzles.batch().inputs, config, record=record))
        return self.evidence[key]


def _unsaid(record: Record) -> None:
    """The log of the run's folder tells it."""


def right(found: Evidence, label: torch.Tensor) -> torch.Tensor:
    """(K,) which restarts have every cell right."""
    return (found.answers == label).all(-1)


def mean(values: Sequence[float]) -> float:
    """Their mean."""
    return sum(values) / len(values)
