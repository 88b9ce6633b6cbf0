"""Puzzles x restarts -> rows -> answers. Knows no file and no label.

A fixed number of rows iterates. When a row halts, its evidence is kept and the next row takes its slot at once. So
compute goes to the puzzles that still need it, and memory depends only on the number of slots.
"""

from eqr.engine.config import SolveConfig
from eqr.engine.server import Closed, Full, SolveServer
from eqr.engine.stream import evidence_stream, outcomes, select, solve, solve_stream, trajectory

__all__ = [
    "Closed",
    "Full",
    "SolveConfig",
    "SolveServer",
    "evidence_stream",
    "outcomes",
    "select",
    "solve",
    "solve_stream",
    "trajectory",
]
