"""Puzzles x restarts -> rows -> answers. Knows no file and no label.

A fixed number of rows iterates. A row that halts leaves its evidence and the next one takes its slot at once, so
compute goes where a puzzle still needs it, and memory depends on the number of rows alone.
"""

from eqr.engine.config import SolveConfig
from eqr.engine.server import Closed, Full, SolveServer
from eqr.engine.stream import evidence_stream, select, solve, solve_stream, trajectory

__all__ = [
    "Closed",
    "Full",
    "SolveConfig",
    "SolveServer",
    "evidence_stream",
    "select",
    "solve",
    "solve_stream",
    "trajectory",
]
