"""The figures of an evaluation: one record, as JSON for machines and as a table for people. Knows no puzzle."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from eqr.engine import SolveConfig
from eqr.engine.policy.halting import Thresholds


def csv_text(rows: Sequence[Mapping[str, object]]) -> str:
    """Returns rows, at least one, as the text of a CSV file; the columns are the keys of the first row."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def pass_at_k(restarts: int, right: int) -> dict[int, float]:
    """Estimates, without bias, the chance that one of k restarts is right, for k = 1, 2, 4, ... up to ``restarts``.

    The estimate is ``1 - C(n - c, k) / C(n, k)`` with n restarts of which c are right (arXiv 2107.03374).
    """
    powers = (2**exponent for exponent in range(restarts.bit_length()))
    return {k: 1 - math.comb(restarts - right, k) / math.comb(restarts, k) for k in powers}


@dataclass(frozen=True, kw_only=True)
class Report:
    """Figures of one evaluation."""

    model: str
    data: str
    puzzles: int
    config: SolveConfig
    thresholds: Thresholds
    """The ``tol`` and ``delta`` in force."""
    exact_accuracy: float
    """Share of puzzles with every cell right: the headline."""
    valid_accuracy: float | None
    """Share of puzzles whose answer the task's own checker accepts: the label or another solution (a maze's other
    shortest path). None if the task has no rules to check by."""
    token_accuracy: float
    """Share of blank cells (of all cells, in a task without blanks) that are right."""
    any_correct: float
    """Share of puzzles with at least one right restart: the accuracy if an oracle selected."""
    pass_at_k: dict[int, float]
    """Chance that one of k restarts is right (``pass_at_k``); empty under auto breadth."""
    converged: float
    """Share of puzzles whose selected restart settled. A rule that ends rows when they are sure may end them before."""
    halted: float
    """Share of puzzles whose selected restart was ended by the halting rule, not by the limit of depth."""
    restarts_per_puzzle: float
    updates_per_puzzle: float
    layer_evals_per_puzzle: float
    seconds: float
    puzzles_per_second: float
    processes: int
    threads: int
    compiled: bool
    device: str
    torch: str
    eqr_version: str

    def record(self) -> dict[str, Any]:
        """Returns the figures as JSON values, together with the options of the engine."""
        figures = dict(vars(self))
        head = {name: figures.pop(name) for name in ("model", "data", "puzzles")}
        del figures["config"], figures["thresholds"]
        return head | self.config.named() | self.thresholds._asdict() | figures

    def to_json(self) -> str:
        """Returns the figures as one JSON object."""
        return json.dumps(self.record(), indent=2)

    def table(self) -> Table:
        """Returns the figures as a two-column table."""
        table = Table(title=f"{self.model} on {self.data}", show_header=False, title_justify="left")
        for key, value in self.record().items():
            if key == "pass_at_k":
                for k, share in self.pass_at_k.items():
                    table.add_row(f"pass@{k}", f"{share:.4f}")
            elif key == "select" and self.config.selection.needs_checker:
                table.add_row(key, f"{value} (an upper bound: the task's checker chooses)")
            elif key not in ("model", "data", "rows") and value is not None:
                table.add_row(key, f"{value:.4g}" if isinstance(value, float) else str(value))
        return table
