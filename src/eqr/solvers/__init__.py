"""How to step towards the fixed point."""

from eqr.solvers.picard import Picard

__all__ = ["Picard"]
