"""How much compute a puzzle gets, and who answers: the options of the engine. Does nothing."""

import math
from dataclasses import dataclass

from eqr.engine.policy.halting import HALTING, UNCALIBRATED, Thresholds
from eqr.engine.policy.selection import SELECTION
from eqr.errors import InputError, unknown
from eqr.solvers import SOLVERS, Anderson, Picard, Solver
from eqr.tasks import Task
from eqr.types import Calibration

AUTO = "auto:"


@dataclass(frozen=True, kw_only=True)
class SolveConfig:
    """How much compute a puzzle gets, and which restart answers."""

    depth: int = 64
    """Segments a row may use at most."""
    breadth: int | str = 1
    """Random restarts of each puzzle: K, or auto:K to stop at fewer as soon as the evidence enough_restarts."""
    views: int = 1
    """Symmetries of the task under which each puzzle is answered, the first leaving it as it is; each has restarts of
    its own, and all of them count for the selection (``vote``: the augmentation voting of HRM and TRM)."""
    select: str = "residual"
    """Which restart answers: residual, logit_change, vote, halt_score, first, or verifier (an upper bound: the task's
    own checker chooses)."""
    halt: str = "residual"
    """When a row stops: residual (it settled), learned (the halting head says so), either, or fixed (at ``depth``)."""
    tol: float | None = None
    """Relative residual below which a row counts as settled; the model's calibrated one, or 1e-5, by default."""
    window: int = 3
    """Segments over which the residual must stay below ``tol``, and is averaged for selection."""
    delta: float | None = None
    """Halting logit above which a row stops under the learned rule; the model's calibrated one, or 0, by default."""
    solver: str = "picard"
    """How a row steps: picard or anderson."""
    damping: float = 0.0
    """Share of the old state kept by a Picard step, on top of what the model itself keeps."""
    history: int = 5
    """Pairs remembered by Anderson acceleration."""
    noise: float = 0.0
    """Standard deviation of the noise added by each call of the block stack."""
    suppose: int = 0
    """Segments for which a row that is not sure takes a cell of its own answer for a clue; then it lets go, and its
    answer must stand without. 0: never. For puzzles whose clues stand in the answer, with halt learned."""
    seed: int = 0
    """Seed of starts, noise and suppositions."""
    rows: int = 16
    """Rows under way at a time. In eager mode on the CPU it changes no answer."""

    def __post_init__(self) -> None:
        for name, value, least in (
            ("depth", self.depth, 1),
            ("views", self.views, 1),
            ("window", self.window, 1),
            ("history", self.history, 1),
            ("rows", self.rows, 1),
            ("tol", self.tol if self.tol is not None else 0.0, 0),
            ("noise", self.noise, 0),
            ("suppose", self.suppose, 0),
            ("damping", self.damping, 0),
        ):
            if not (least <= value < math.inf):
                raise InputError(f"{name} is {value}: it must be {least} or more")
        if not self.damping < 1:
            raise InputError(f"damping is {self.damping}: it must be less than 1")
        if self.delta is not None and not math.isfinite(self.delta):
            raise InputError(f"delta is {self.delta}: leave it out for the calibrated one, or give 0, the paper's")
        for kind, name, known in (
            ("halting rule", self.halt, HALTING),
            ("selection rule", self.select, SELECTION),
            ("solver", self.solver, SOLVERS),
        ):
            if name not in known:
                raise unknown(kind, name, known)
        text = str(self.breadth).removeprefix(AUTO)
        if not text.isdecimal() or int(text) < 1:
            raise InputError(f"breadth is {self.breadth}: it must be a number of 1 or more, or auto: and such a number")
        if self.adaptive and self.halt == "fixed":
            raise InputError(
                f"breadth {self.breadth} needs rows that halt: use halt residual, learned or either, or breadth K"
            )
        if self.suppose and self.halt != "learned":
            raise InputError(f"suppose is {self.suppose}: rows must know when they are sure: use halt learned")
        if self.solver == "anderson" and self.damping:
            raise InputError(f"damping is {self.damping}: the anderson solver has none, use picard")

    @property
    def adaptive(self) -> bool:
        """Whether breadth is ``auto``."""
        return str(self.breadth).startswith(AUTO)

    @property
    def restarts(self) -> int:
        """K, the most restarts a puzzle gets."""
        return int(str(self.breadth).removeprefix(AUTO))

    @property
    def starts(self) -> int:
        """The most rows a puzzle gets: restarts of all views."""
        return self.views * self.restarts

    def thresholds(self, calibration: Calibration | None) -> Thresholds:
        """Those given, else the model's calibrated ones (for this window), else UNCALIBRATED."""
        known = calibration if calibration and calibration.window == self.window else None
        tols = (self.tol, known.tol if known else None, UNCALIBRATED.tol)
        deltas = (self.delta, known.delta if known else None, UNCALIBRATED.delta)
        return Thresholds(
            tol=next(tol for tol in tols if tol is not None),
            delta=next(delta for delta in deltas if delta is not None),
        )

    def check(self, task: Task) -> None:
        """Raises InputError if the task cannot check what the verifier is to select, or has no clues to suppose."""
        if self.suppose and not task.layout.clues_fixed:
            raise InputError(
                f"suppose is {self.suppose}: an answer to {task.name} cannot be given as a clue, set it to 0"
            )
        if self.select == "verifier" and not task.has_rules:
            raise InputError(
                f"select is verifier, but {task.name} has no rules to check by: give a --checker (grids only), or "
                "select by residual"
            )

    def make_solver(self) -> Solver:
        """The solver these options describe."""
        return Anderson(history=self.history) if self.solver == "anderson" else Picard(damping=self.damping)
