"""``eqr sweep``: measures accuracy and residual over depth and breadth, as CSV and figures."""

from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from eqr.commands.options import Compiled, Judged
from eqr.commands.out import output_folder
from eqr.data.files import read_labelled
from eqr.engine import SolveConfig
from eqr.errors import InputError
from eqr.measure.report import csv_text
from eqr.measure.sweep import Cell, sweep
from eqr.storage.files import write_text_atomically
from eqr.terminal.console import progress_bar


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Measure accuracy and residual at every depth and breadth, fixed and adaptive, in one run of the largest."""

    data: str
    """CSV with the columns question and answer, or npz with the arrays puzzles and solutions."""
    out: str
    """Folder for sweep.csv, halting.csv, error.png, residual.png and frontier.png."""
    depths: str = "1,4,16,64"
    """Depths in segments."""
    breadths: str = "1,4,16"
    """Numbers of restarts."""
    model: Judged = field(default_factory=Judged)
    limit: int | None = None
    """Use the first N puzzles only."""
    select: str = "residual"
    """Which restart answers, as in ``eqr eval``."""
    tol: float | None = None
    """Relative residual below which a row counts as settled (adaptive settings); by default the calibrated value."""
    noise: float = 0.0
    """Standard deviation of the noise added by each call of the block stack."""
    seed: int = 0
    """Seed of starts and noise."""
    rows: int = 16
    """Rows under way at a time."""
    machine: Compiled = field(default_factory=Compiled)

    def run(self) -> None:
        """Write the files and print the table."""
        depths, breadths = _numbers("--depths", self.depths), _numbers("--breadths", self.breadths)
        folder = output_folder("--out", self.out)
        config = SolveConfig(select=self.select, tol=self.tol, noise=self.noise, seed=self.seed, rows=self.rows)
        model = self.model.load(self.machine.ready())
        puzzles = read_labelled(self.data, model.task, self.limit)
        with progress_bar("sweeping", len(puzzles)) as advance:
            cells, kept = sweep(model, puzzles, depths, breadths, config, self.machine.compile, lambda: advance(1, ""))
        write_text_atomically(folder / "sweep.csv", csv_text([asdict(cell) for cell in cells]))
        write_text_atomically(folder / "halting.csv", csv_text([asdict(rule) for rule in kept]))
        from eqr.measure.plots import error_map, frontier, residual_map  # matplotlib takes a second to import

        title = f"{self.model.model} on {Path(self.data).name}"
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
