"""Shows a board settling in the terminal, cells coloured by confidence. Only draws; the engine does the work."""

import time

from jaxtyping import Int
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text
from torch import Tensor

from eqr.evidence import History
from eqr.tasks import Task

COLOURS = ("red", "dark_orange", "yellow", "green3", "bright_green")


def _board(answer: Int[Tensor, " L"], confidence: Tensor, puzzle: Int[Tensor, " L"], task: Task) -> Text:
    """Draws a board, the puzzle's cells in white, other cells in colour; crops a board wider than the terminal."""
    board, cells = Text(no_wrap=True, overflow="crop"), task.layout.cells
    changed = (answer != puzzle)[-cells:].tolist()  # rule cells come before the board
    sure = (confidence[-cells:] * len(COLOURS)).int().clamp(max=len(COLOURS) - 1).tolist()
    for cell, drawn in enumerate(task.drawn(puzzle, answer)):
        board.append(drawn, style=COLOURS[sure[cell]] if changed[cell] else "bold white")
        if (cell + 1) % task.layout.cols == 0:
            board.append("\n")
    board.right_crop()
    return board


def replay(
    history: History, puzzle: Int[Tensor, " L"], task: Task, console: Console, seconds_per_segment: float = 0.08
) -> None:
    """Replays a trajectory on ``console``; prints only the last board if the console is not a terminal."""
    segments = zip(history.answers, history.confidence, history.residual.tolist(), strict=True)
    with Live(console=console, auto_refresh=False) as live:
        for depth, (answer, confidence, residual) in enumerate(segments, 1):
            line = Text(f"depth {depth}  residual {residual:.1e}")
            live.update(Group(_board(answer, confidence, puzzle, task), line), refresh=True)
            if console.is_terminal:
                time.sleep(seconds_per_segment)
    if not console.is_terminal:
        console.print()
