"""Options that several commands share, each declared once."""

from dataclasses import dataclass, field
from pathlib import Path

import torch

from eqr.commands.plugins import checker_named
from eqr.data.files import Puzzles, read_labelled
from eqr.data.problems import read_rules
from eqr.data.text import Columns
from eqr.errors import InputError, printable
from eqr.model import Reasoner
from eqr.runtime import pick_device, set_threads
from eqr.storage.checkpoint import load
from eqr.tasks import Task
from eqr.tasks.csp import Csp
from eqr.terminal.console import waiting


@dataclass(frozen=True, kw_only=True)
class Threads:
    """The processor."""

    threads: int | None = None
    """CPU threads; by default all."""

    def set(self) -> int:
        """Set the threads, before any work; returns the number in use."""
        return set_threads(self.threads)


@dataclass(frozen=True, kw_only=True)
class Machine(Threads):
    """The device."""

    device: str = "auto"
    """auto, cpu or cuda."""

    def ready(self) -> torch.device:
        """Set the threads; returns the device."""
        self.set()
        return pick_device(self.device)


@dataclass(frozen=True, kw_only=True)
class Compiled(Machine):
    """The device, and whether to compile for it."""

    no_compile: bool = False
    """Run without torch.compile, and without the C++ form of a block: saves up to a minute of set-up, then takes about
    twice as long."""

    @property
    def compile(self) -> bool:
        """Whether to compile the segment: the block's kernel, or torch.compile."""
        return not self.no_compile


@dataclass(frozen=True, kw_only=True)
class Named:
    """The model."""

    model: str = "sudoku"
    """Bundled model, model folder, or hf:user/name."""

    def load(self, device: torch.device) -> Reasoner:
        """The model on a device."""
        return load(self.model, device)


@dataclass(frozen=True, kw_only=True)
class Judged(Named):
    """The model, and the judges of its answers."""

    checker: str | None = None
    """Function that checks answers to your own puzzles, module:function (docs/own_puzzles.md)."""
    rules: str | None = None
    """JSON file with the rule of each relation, for problems with relations of their own (docs/your_problem.md)."""

    def load(self, device: torch.device) -> Reasoner:
        """The model on a device, with the user's rules and checker if there are any."""
        model = super().load(device)
        task = model.task
        if self.rules is not None:
            if not isinstance(task, Csp):
                raise InputError(f"--rules {self.rules}: {self.model} answers {task.name}, whose rules are known")
            task = task.with_rules(read_rules(self.rules, task.known).as_json())
        if self.checker is not None:
            task = task.with_checker(checker_named(self.checker))
        return model.for_task(task)


@dataclass(frozen=True, kw_only=True)
class Answered:
    """The puzzles."""

    data: str
    """CSV or JSON lines (question, answer), npz (puzzles, solutions) or a folder in the format of HRM and EqR."""
    limit: int | None = None
    """Use the first N puzzles only."""

    columns: Columns = field(default_factory=Columns)

    def read(self, task: Task, hidden: bool = False) -> Puzzles:
        """The puzzles, with their answers; shows that they are read, unless ``hidden``."""
        with waiting(f"reading {self.name}", hidden):
            return read_labelled(self.data, task, self.limit, self.columns)

    @property
    def name(self) -> str:
        """The last part of the path, as it may be printed."""
        return printable(Path(self.data).name)
