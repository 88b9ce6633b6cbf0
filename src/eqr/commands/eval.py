"""``eqr eval``: measures the accuracy of a model on a file of puzzles with answers."""

from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import torch
from rich.console import Console

from eqr.commands.options import Answered, Compiled, Judged
from eqr.distributed import WEEK, Ranks, joined_ranks
from eqr.engine import SolveConfig
from eqr.errors import InputError
from eqr.measure.evaluate import evaluate
from eqr.measure.report import Report
from eqr.storage.files import write_text_atomically
from eqr.storage.records import RecordFile
from eqr.terminal.console import progress_bar, waiting


@dataclass(frozen=True, kw_only=True)
class Eval:
    """Evaluate a model on puzzles with answers."""

    puzzles: Answered
    model: Judged = field(default_factory=Judged)
    solving: SolveConfig = field(default_factory=SolveConfig)
    json: str | None = None
    """Write the figures to this file; - for standard output."""
    records: str | None = None
    """Write a record of each puzzle to this file, one JSON object on each line; an existing file is replaced."""
    machine: Compiled = field(default_factory=Compiled)

    def run(self) -> None:
        """Print the figures."""
        self.machine.set()
        if self.json and not Path(self.json).parent.is_dir():
            raise InputError(f"--json {self.json}: the folder does not exist, create it first")
        with joined_ranks(self.machine.device, WEEK) as (ranks, device):
            report = self._report(ranks, device)
        if not ranks.first:
            return
        if self.json == "-":
            print(report.to_json())
            return
        Console().print(report.table())
        if self.json:
            write_text_atomically(Path(self.json), report.to_json() + "\n")

    def _report(self, ranks: Ranks, device: torch.device) -> Report:
        model = self.model.load(device)
        puzzles = self.puzzles.read(model.task, hidden=not ranks.first)
        records = RecordFile(Path(self.records), ranks, "replace", waiting) if self.records else nullcontext()
        # A file of earlier records is lost from here on, so the puzzles are read before.
        with records as file, progress_bar("evaluating", len(puzzles)) as advance:
            shown = 0

            def progress(done: int, right: int) -> None:
                nonlocal shown
                if ranks.first:
                    advance(done - shown, f"{right}/{done} exact")
                    shown = done

            return evaluate(
                model,
                puzzles,
                self.solving,
                model_name=self.model.model,
                data_name=self.puzzles.name,
                compile=self.machine.compile,
                progress=progress,
                on_record=file.write if file else None,
                ranks=ranks,
            )
