"""A board settling in the terminal, cells coloured by confidence. Draws only; the engine does the work."""

import time

from jaxtyping import Int
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text
from torch import Tensor

from eqr.engine import Snapshot

COLOURS = ("red", "dark_orange", "yellow", "green3", "bright_green")


def _board(shot: Snapshot, puzzle: Int[Tensor, " L"], cols: int) -> Table:
    table = Table.grid(padding=(0, 1))
    cells = []
    for symbol, clue, sure in zip(shot.answer.tolist(), puzzle.tolist(), shot.confidence.tolist(), strict=True):
        colour = "bold white" if clue else COLOURS[min(int(sure * len(COLOURS)), len(COLOURS) - 1)]
        cells.append(Text(str(symbol), style=colour))
    for start in range(0, len(cells), cols):
        table.add_row(*cells[start : start + cols])
    return table


def watch(
    shots: list[Snapshot], puzzle: Int[Tensor, " L"], cols: int, console: Console, seconds_per_segment: float = 0.08
) -> None:
    """Replay a trajectory on ``console``; on anything but a terminal only the last board is printed."""
    with Live(console=console, auto_refresh=False) as live:
        for shot in shots:
            line = Text(f"depth {shot.depth}  residual {shot.residual:.1e}")
            live.update(Group(_board(shot, puzzle, cols), line), refresh=True)
            if console.is_terminal:
                time.sleep(seconds_per_segment)
    if not console.is_terminal:
        console.print()
