"""What an evaluation says: one record, as JSON for machines and as a table for people. Computes nothing."""

import json
from dataclasses import asdict, dataclass

from rich.table import Table


@dataclass(frozen=True, kw_only=True)
class Report:
    """Figures of one evaluation; the keys are those of the JSON."""

    model: str
    data: str
    puzzles: int
    depth: int
    breadth: int
    select: str
    halt: str
    tol: float
    noise: float
    seed: int
    exact_accuracy: float
    """Share of puzzles with every cell right: the headline."""
    token_accuracy: float
    """Share of blank cells that are right."""
    any_correct: float
    """Share of puzzles of which any restart is right: an oracle's selection."""
    converged: float
    """Share of puzzles whose selected restart settled."""
    updates_per_puzzle: float
    layer_evals_per_puzzle: float
    seconds: float
    puzzles_per_second: float
    threads: int
    device: str
    torch: str
    eqr_version: str

    def to_json(self) -> str:
        """One JSON object."""
        return json.dumps(asdict(self), indent=2)

    def table(self) -> Table:
        """Figures as a two-column table."""
        table = Table(title=f"{self.model} on {self.data}", show_header=False, title_justify="left")
        for key, value in asdict(self).items():
            if key not in ("model", "data"):
                table.add_row(key, f"{value:.4f}" if isinstance(value, float) else str(value))
        return table
