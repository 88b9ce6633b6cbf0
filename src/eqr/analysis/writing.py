"""The folder of an analysis: figures, the numbers behind them, one summary. Knows no model."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from matplotlib.figure import Figure
from rich.box import SIMPLE
from rich.table import Table

from eqr.analysis.base import Finding, Row, Value
from eqr.analysis.figures import save_both
from eqr.data.serialise import finite
from eqr.measure.report import csv_text
from eqr.storage.files import write_text_atomically

F = TypeVar("F", bound=Finding)


@dataclass(kw_only=True)
class Written:
    """The folder of an analysis, with the findings written so far."""

    folder: Path
    title: str
    """Model and data."""
    headlines: dict[str, Row] = field(default_factory=dict)

    def put(self, name: str, finding: F, draw: Callable[[F, str], Figure], puzzle: str = "") -> Path:
        """Write tables and figure of a finding (of all puzzles or of ``puzzle``); returns their path without suffix."""
        title = f"{self.title}, puzzle {puzzle}" if puzzle else self.title
        name = f"{name}_{puzzle}" if puzzle else name
        for suffix, rows in finding.tables().items():
            text = csv_text([{column: _short(value) for column, value in row.items()} for row in rows])
            write_text_atomically(self.folder / f"{name}{suffix}.csv", text)
        save_both(draw(finding, title), self.folder / name)
        self.headlines[name] = finding.headline()
        return self.folder / name

    def summarise(self, settings: dict[str, object]) -> Table:
        """Write summary.json with the settings and the headlines of every finding; returns the headlines as a table."""
        findings = {name: {key: finite(v) for key, v in line.items()} for name, line in self.headlines.items()}
        text = json.dumps({**settings, "findings": findings}, indent=2) + "\n"
        write_text_atomically(self.folder / "summary.json", text)
        table = Table("figure", "", "", title=self.title, title_justify="left", box=SIMPLE)
        for name, headline in self.headlines.items():
            for at, (key, value) in enumerate(headline.items()):
                table.add_row("" if at else name, key, _told(value))
        return table


def _told(value: Value) -> str:
    """A figure for people; a dash for one that means nothing here, such as a median of no rows."""
    told = finite(value)
    return "-" if told is None else f"{told:.3g}" if isinstance(told, float) else str(told)


def _short(value: Value) -> Value:
    """A number with six significant digits: more than a figure can show, in files of moderate size."""
    return float(f"{value:.6g}") if isinstance(value, float) else value
