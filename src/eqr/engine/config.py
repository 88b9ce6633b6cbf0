"""How much compute a puzzle gets, and who answers: the options of the engine. Does nothing."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import cast

from eqr.engine.policy.halting import UNCALIBRATED, Halting, HaltingRule, Thresholds, halting_rule
from eqr.engine.policy.selection import Selection, SelectionRule, selection_rule
from eqr.errors import InputError
from eqr.solvers import Solver, solver_of, written
from eqr.tasks import Task
from eqr.types import Calibration

AUTO = "auto:"


@dataclass(frozen=True, kw_only=True)
class RowConfig:
    """How rows iterate, and when they count as settled."""

    tol: float | None = None
    """Relative residual below which a row counts as settled; the model's calibrated one, or 1e-5, by default."""
    window: int = 3
    """Segments over which the residual must stay below ``tol``, and is averaged for selection."""
    delta: float | None = None
    """Halting logit above which a row stops under the learned rule; the model's calibrated one, or 0, by default."""
    solver: Solver | str = "picard"
    """How a row steps: picard or anderson, perhaps with options, as in anderson:history=8 or picard:damping=0.1."""
    noise: float = 0.0
    """Standard deviation of the noise added by each call of the block stack."""
    seed: int = 0
    """Seed of starts, noise and suppositions."""
    rows: int = 16
    """Rows under way at a time. In eager mode on the CPU it changes no answer."""

    def __post_init__(self) -> None:
        _refuse_less(
            {
                "window": (self.window, 1),
                "rows": (self.rows, 1),
                "tol": (self.tol if self.tol is not None else 0.0, 0),
                "noise": (self.noise, 0),
            }
        )
        if self.delta is not None and not math.isfinite(self.delta):
            raise InputError(f"delta is {self.delta}: leave it out for the calibrated one, or give 0, the paper's")
        object.__setattr__(self, "solver", solver_of(self.solver))


@dataclass(frozen=True, kw_only=True)
class SolveConfig(RowConfig):
    """How much compute a puzzle gets, and which restart answers.

    Rules and solver are objects or names; a name is looked up here, and the field then holds the object.
    """

    depth: int = 64
    """Segments a row may use at most."""
    breadth: int | str = 1
    """Random restarts of each puzzle: K, or auto:K to stop at fewer as soon as the evidence suffices."""
    views: int = 1
    """Symmetries of the task under which each puzzle is answered, the first leaving it as it is; each has restarts of
    its own, and all of them count for the selection (``vote``: the augmentation voting of HRM and TRM)."""
    select: Selection = "residual"
    """Which restart answers: residual, logit_change, vote, halt_score, first, or verifier (an upper bound: the task's
    own checker chooses)."""
    halt: Halting = "residual"
    """When a row stops: residual (it settled), learned (the halting head says so), either, or fixed (at ``depth``)."""
    suppose: int = 0
    """Segments for which a row that is not sure treats one of its own guesses as a clue; then it lets go, and its
    answer must stand without. 0: never. For puzzles whose clues stay as they are, with halt learned."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _refuse_less({"depth": (self.depth, 1), "views": (self.views, 1), "suppose": (self.suppose, 0)})
        object.__setattr__(self, "halt", halting_rule(self.halt))
        object.__setattr__(self, "select", selection_rule(self.select))
        text = str(self.breadth).removeprefix(AUTO)
        if not text.isdecimal() or int(text) < 1:
            raise InputError(f"breadth is {self.breadth}: it must be a number of 1 or more, or auto: and such a number")
        if self.adaptive and not self.halting.ends_early:
            raise InputError(
                f"breadth {self.breadth} needs rows that halt: use halt residual, learned or either, or breadth K"
            )
        if self.suppose and not self.halting.knows_right:
            raise InputError(f"suppose is {self.suppose}: rows must know when they are sure: use halt learned")

    @property
    def halting(self) -> HaltingRule:
        """``halt`` as a rule."""
        return cast(HaltingRule, self.halt)

    @property
    def selection(self) -> SelectionRule:
        """``select`` as a rule."""
        return cast(SelectionRule, self.select)

    @property
    def stepper(self) -> Solver:
        """``solver`` as an object."""
        return cast(Solver, self.solver)

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
        """Raises InputError if the task cannot check answers for a rule that needs it, or has no clues to suppose."""
        if self.suppose and not task.layout.clues_fixed:
            raise InputError(
                f"suppose is {self.suppose}: an answer to {task.name} cannot be given as a clue, set it to 0"
            )
        if self.selection.needs_checker and not task.has_rules:
            raise InputError(
                f"select is {self.selection.name}, but {task.name} has no rules to check by: give a --checker (grids "
                "only), or select by residual"
            )

    def named(self) -> dict[str, int | float | str | None]:
        """The fields as JSON values, rules and solver by their names."""
        values = {field.name: vars(self)[field.name] for field in fields(self)}
        return values | {
            "halt": self.halting.name,
            "select": self.selection.name,
            "solver": written(self.stepper),
        }


def _refuse_less(options: Mapping[str, tuple[float, float]]) -> None:
    """Raises InputError for the first option that is less than its least value, or not finite."""
    for name, (value, least) in options.items():
        if not (least <= value < math.inf):
            raise InputError(f"{name} is {value}: it must be {least} or more")
