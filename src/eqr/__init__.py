"""Equilibrium Reasoners: neural networks that solve puzzles by settling to a fixed point (EqR, arXiv 2605.21488)."""

import os

# OpenMP threads that wait must sleep, not spin, and OpenMP reads this once, when torch is imported. Beside one other
# busy process, a dozen puzzles took 123 s on two spinning threads and 2 s on two sleeping ones.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from eqr.engine import SolveConfig, solve
from eqr.model import Reasoner
from eqr.storage.checkpoint import load
from eqr.tasks import TASKS, task_named

__all__ = ["TASKS", "Reasoner", "SolveConfig", "load", "solve", "task_named"]
