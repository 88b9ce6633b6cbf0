"""The tasks, by name. A new one is a file here and a line in this dict."""

from eqr.tasks.base import Puzzle, Task, squeezed
from eqr.tasks.maze import Maze
from eqr.tasks.sudoku import Sudoku

TASKS: dict[str, Task] = {
    "sudoku": Sudoku("sudoku", 3, 3),
    "sudoku6": Sudoku("sudoku6", 2, 3),
    "sudoku4": Sudoku("sudoku4", 2, 2),
    "maze30": Maze("maze30", 30, 100, 140),
    "maze10": Maze("maze10", 10, 8, 24),
}

__all__ = ["TASKS", "Puzzle", "Task", "squeezed"]
