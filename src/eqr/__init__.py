"""Equilibrium Reasoners: neural networks that solve puzzles by settling to a fixed point (EqR, arXiv 2605.21488)."""

from eqr.checkpoint import load
from eqr.engine import SolveConfig, solve
from eqr.model import Reasoner
from eqr.tasks import TASKS

__all__ = ["TASKS", "Reasoner", "SolveConfig", "load", "solve"]
