"""Do trajectories settle, and on solutions? Each analysis is a function that returns a frozen record of numbers.

``traced(model, puzzles, config)`` runs many puzzles once; most analyses read its ``Traces``. ``explore`` and
``spectrum`` read latent states. A ``Finding`` gives its headline figures and the tables behind its picture;
``figures`` and ``frames`` draw the pictures.
"""

from eqr.analysis.base import Finding
from eqr.analysis.basins import Basins, basins_of, explore
from eqr.analysis.correlation import Budgets, Judges, best_settled, correlation_of_budgets, correlation_of_rows
from eqr.analysis.decoded import Trajectory, trajectory
from eqr.analysis.difficulty import Steps, easy_and_hard, steps
from eqr.analysis.independence import PathIndependence, path_independence
from eqr.analysis.jacobian import Spectrum, spectral_radius, spectrum
from eqr.analysis.residuals import ResidualDepth, residual_depth
from eqr.analysis.starts import from_cold_start, from_random_starts
from eqr.analysis.states import Ends, right_rows, settle
from eqr.analysis.traces import Traces, traced, traces_of

__all__ = [
    "Basins",
    "Budgets",
    "Ends",
    "Finding",
    "Judges",
    "PathIndependence",
    "ResidualDepth",
    "Spectrum",
    "Steps",
    "Traces",
    "Trajectory",
    "basins_of",
    "best_settled",
    "correlation_of_budgets",
    "correlation_of_rows",
    "easy_and_hard",
    "explore",
    "from_cold_start",
    "from_random_starts",
    "path_independence",
    "residual_depth",
    "right_rows",
    "settle",
    "spectral_radius",
    "spectrum",
    "steps",
    "traced",
    "traces_of",
    "trajectory",
]
