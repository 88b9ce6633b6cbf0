"""A board settling in the terminal, cells coloured by confidence. Draws only; the engine does the work."""

import time

from jaxtyping import Int
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text
from torch import Tensor

from eqr.types import History

COLOURS = ("red", "dark_orange", "yellow", "green3", "bright_green")


def _board(answer: Int[Tensor, " L"], confidence: Tensor, puzzle: Int[Tensor, " L"], cols: int) -> Table:
    table = Table.grid(padding=(0, 1))
    cells = []
    for symbol, clue, sure in zip(answer.tolist(), puzzle.tolist(), confidence.tolist(), strict=True):
        colour = "bold white" if clue else COLOURS[min(int(sure * len(COLOURS)), len(COLOURS) - 1)]
        cells.append(Text(str(symbol), style=colour))
    for start in range(0, len(cells), cols):
        table.add_row(*cells[start : start + cols])
    return table


def watch(
    history: History, puzzle: Int[Tensor, " L"], cols: int, console: Console, seconds_per_segment: float = 0.08
) -> None:
    """Replay a trajectory on ``console``; on anything but a terminal only the last board is printed."""
    segments = zip(history.answers, history.confidence, history.residual.tolist(), strict=True)
    with Live(console=console, auto_refresh=False) as live:
        for depth, (answer, confidence, residual) in enumerate(segments, 1):
            line = Text(f"depth {depth}  residual {residual:.1e}")
            live.update(Group(_board(answer, confidence, puzzle, cols), line), refresh=True)
            if console.is_terminal:
                time.sleep(seconds_per_segment)
    if not console.is_terminal:
        console.print()
