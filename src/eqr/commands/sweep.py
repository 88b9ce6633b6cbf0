"""``eqr sweep``: measures accuracy and residual over depth and breadth, as CSV and figures."""

from dataclasses import asdict, dataclass, field

from rich.console import Console
from rich.table import Table

from eqr.commands.flags import Folder
from eqr.commands.options import Answered, Compiled, Judged
from eqr.commands.out import output_folder
from eqr.engine import SolveConfig
from eqr.engine.config import RowConfig
from eqr.engine.policy.selection import Selection
from eqr.errors import InputError
from eqr.measure.report import csv_text
from eqr.measure.sweep import Cell, sweep
from eqr.storage.files import write_text_atomically
from eqr.terminal.console import progress_bar, waiting


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Measure accuracy and residual at every depth and breadth, fixed and adaptive, in one run of the largest."""

    puzzles: Answered
    out: Folder[str]
    """Folder for sweep.csv, halting.csv, error.png, residual.png and frontier.png."""
    depths: str = "1,4,16,64"
    """Depths in segments."""
    breadths: str = "1,4,16"
    """Numbers of restarts."""
    model: Judged = field(default_factory=Judged)
    select: Selection = "residual"
    """Which restart answers, as in `eqr eval`."""
    rows: RowConfig = field(default_factory=RowConfig)
    machine: Compiled = field(default_factory=Compiled)

    def run(self) -> None:
        """Write the files and print the table."""
        depths, breadths = _numbers("--depths", self.depths), _numbers("--breadths", self.breadths)
        folder = output_folder("--out", self.out)
        config = SolveConfig(select=self.select, **vars(self.rows))
        model = self.model.load(self.machine.ready())
        puzzles = self.puzzles.read(model.task)
        with progress_bar("sweeping", len(puzzles)) as advance:
            cells, kept = sweep(model, puzzles, depths, breadths, config, self.machine.compile, lambda: advance(1, ""))
        write_text_atomically(folder / "sweep.csv", csv_text([asdict(cell) for cell in cells]))
        write_text_atomically(folder / "halting.csv", csv_text([asdict(rule) for rule in kept]))
        with waiting("drawing"):
            from eqr.measure.plots import error_map, frontier, residual_map  # matplotlib takes a second to import

            title = f"{self.model.model} on {self.puzzles.name}"
            error_map(cells, f"Error, {title}", folder / "error.png")
            residual_map(cells, f"Residual of the selected restart, {title}", folder / "residual.png")
            frontier(cells, folder / "frontier.png")
        Console().print(_table(cells))
        for rule in kept:
            line = f"halting by {rule.halt} ends {rule.halted} of {rule.rows} rows"
            if rule.halted:
                line += (
                    f", after {rule.segments:.1f} segments: {rule.kept / rule.halted:.2%} of them give the same answer"
                )
                line += f" at depth {max(depths)}"
            print(line)


def _numbers(flag: str, text: str) -> list[int]:
    """Parses ``1,4,16``; returns the different numbers in ascending order."""
    parts = text.split(",")
    if not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise InputError(f"{flag} {text}: give numbers of 1 or more, separated by commas, e.g. 1,4,16")
    return sorted({int(part) for part in parts})


def _table(cells: list[Cell]) -> Table:
    table = Table("halt", "depth", "breadth", "updates", "exact", "any correct", "residual")
    for cell in cells:
        shares = (f"{cell.exact_accuracy:.4f}", f"{cell.any_correct:.4f}", f"{cell.residual:.1e}")
        table.add_row(cell.halt, str(cell.depth), str(cell.breadth), f"{cell.updates_per_puzzle:.0f}", *shares)
    return table
