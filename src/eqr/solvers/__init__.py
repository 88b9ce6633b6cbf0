"""How to step towards the fixed point, by name. A new solver is a file here and a line in this dict."""

from eqr.solvers.anderson import Anderson
from eqr.solvers.base import Map, Memory, Rows, Solver, relative_residual
from eqr.solvers.picard import Picard

SOLVERS: dict[str, type[Solver]] = {"picard": Picard, "anderson": Anderson}

__all__ = ["SOLVERS", "Anderson", "Map", "Memory", "Picard", "Rows", "Solver", "relative_residual"]
