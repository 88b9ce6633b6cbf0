"""The options of the engine: how much compute a puzzle gets, and which restart answers. Computes nothing."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from numbers import Integral
from typing import Literal, cast, get_args

from eqr.engine.policy.halting import UNCALIBRATED, Halting, HaltingRule, Thresholds, halting_rule
from eqr.engine.policy.selection import Selection, SelectionRule, selection_rule
from eqr.errors import InputError, shown, unknown
from eqr.solvers import Solver, solver_of, written
from eqr.tasks import Task
from eqr.types import Calibration, Settings

AUTO = "auto:"
PLAIN = Settings()
"""Settings of a model that was never calibrated."""
PAPER = Settings(halt="fixed")
"""Settings of the published protocol: full depth, one start, no suppositions."""


Dtype = Literal["float32", "bfloat16"]


@dataclass(frozen=True, kw_only=True)
class NumberConfig:
    """The numbers in which rows iterate."""

    dtype: Dtype = "float32"
    """Numbers of the matrix products: float32, or bfloat16, which is faster on an accelerator and on CPUs that have
    the instruction; rows may need more segments then."""

    def __post_init__(self) -> None:
        if self.dtype not in get_args(Dtype):
            raise unknown("dtype", self.dtype, get_args(Dtype))

    @property
    def bf16(self) -> bool:
        """Whether matrix products run in bfloat16."""
        return self.dtype == "bfloat16"


@dataclass(frozen=True, kw_only=True)
class RowConfig(NumberConfig):
    """How rows iterate, and when they count as settled."""

    tol: float | None = None
    """Relative residual below which a row counts as settled; by default the model's calibrated value, or 1e-5."""
    window: int = 3
    """Number of last segments in which the residual must be below ``tol``, and over which selection averages it."""
    delta: float | None = None
    """Halting logit above which the learned rule stops a row; by default the model's calibrated value, or 0."""
    solver: Solver | str = "picard"
    """Fixed-point solver: picard or anderson, if needed with options: anderson:history=8 or picard:damping=0.1."""
    noise: float = 0.0
    """Standard deviation of the noise added by each call of the block stack."""
    seed: int = 0
    """Seed of starts, noise and suppositions."""
    rows: int | None = None
    """Rows under way at a time; by default 16 on a CPU and 1,024 on an accelerator. In eager mode on the CPU, answers
    do not depend on this number, if channels and hidden channels are multiples of 8."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _refuse_less(
            {
                "window": (self.window, 1),
                "rows": (1 if self.rows is None else self.rows, 1),
                "tol": (self.tol if self.tol is not None else 0.0, 0),
                "noise": (self.noise, 0),
            }
        )
        if self.delta is not None and not math.isfinite(self.delta):
            raise InputError(f"delta is {self.delta}: leave it out for the calibrated value, or give the paper's, 0")
        object.__setattr__(self, "solver", solver_of(self.solver))


@dataclass(frozen=True, kw_only=True)
class SolveConfig(RowConfig):
    """How much compute a puzzle gets, and which restart answers.

    ``halt``, ``select`` and ``solver`` take an object or a name; a name is replaced by its object. ``depth``,
    ``breadth``, ``halt``, ``suppose`` and ``guesses`` are the model's own where they are not given (``completed``).
    """

    depth: int | None = None
    """Most segments that a row may use; by default the model's own setting."""
    breadth: int | str | None = None
    """Random restarts of each puzzle: K, or auto:K to use fewer if more are unlikely to change the answer; by default
    the model's own setting."""
    views: int = 1
    """Symmetries of the task under which each puzzle is solved; the first leaves the puzzle unchanged. Each view has
    its own restarts, and selection sees those of all views (``vote``: the augmentation voting of HRM and TRM)."""
    select: Selection = "residual"
    """Which restart answers: residual, logit_change, vote, halt_score, first, or verifier (an upper bound: the task's
    own checker chooses)."""
    halt: Halting | None = None
    """When a row stops: residual (it settled), learned (the halting head says so), either, or fixed (at ``depth``); by
    default the model's own setting."""
    suppose: int | None = None
    """Segments for which an unsure row treats one of its own guesses as a clue. Then the row drops the guess, and its
    answer must hold without it. 0: never. Needs a task with fixed clues, and halt learned. By default the model's own
    setting."""
    guesses: int | None = None
    """Most suppositions that a row holds at a time, if it makes any; by default the model's own setting."""
    protocol: Literal["best", "paper"] = "best"
    """Where depth, breadth, halt, suppose and guesses come from if they are not given: best (the settings with which
    the model answers best, as ``eqr calibrate`` measured them) or paper (fixed depth, one start, no suppositions:
    figures that compare with published ones)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        guesses = PLAIN.guesses if self.guesses is None else self.guesses
        _refuse_less(
            {
                "depth": (self.segments, 1),
                "views": (self.views, 1),
                "suppose": (self.suppose or 0, 0),
                "guesses": (guesses, 1),
            }
        )
        if self.halt is not None:
            object.__setattr__(self, "halt", halting_rule(self.halt))
        object.__setattr__(self, "select", selection_rule(self.select))
        text = "1" if self.breadth is None else str(self.breadth).removeprefix(AUTO)
        if not re.fullmatch("[1-9][0-9]{0,8}", text):
            given = shown(str(self.breadth))
            raise InputError(f"breadth is {given}: it must be K or auto:K, where K is a number from 1 to 999,999,999")
        if self.protocol not in ("best", "paper"):
            raise unknown("protocol", self.protocol, ("best", "paper"))
        # Without a halting rule these two choose one that suits them (``completed``), but not against the protocol.
        chosen = self.halt is not None or self.protocol == "paper"
        halting = self.halting if self.halt is not None else halting_rule(PAPER.halt)
        if self.adaptive and chosen and not halting.ends_early:
            raise InputError(
                f"breadth {self.breadth} needs rows that halt: use halt residual, learned or either, or a fixed breadth"
            )
        if self.suppose and chosen and not halting.knows_right:
            raise InputError(f"suppose is {self.suppose}: rows must know when they are right: use halt learned")

    def completed(self, own: Settings | None) -> "SolveConfig":
        """Returns the options with depth, breadth, halt, suppose and guesses filled in where they are not given.

        Under the protocol "best" the values are those of ``own``, the model's settings, or PLAIN if it has none. Of
        these, an option that does not suit the given ones has its PLAIN value. Nothing changes the second time.
        """
        own = PAPER if self.protocol == "paper" else own or PLAIN
        halt = halting_rule(own.halt if self.halt is None else self.halt)
        if self.halt is None and self.suppose and not halt.knows_right:
            halt = halting_rule("learned")
        if self.halt is None and self.adaptive and not halt.ends_early:
            halt = halting_rule(PLAIN.halt)
        suppose = own.suppose if halt.knows_right else PLAIN.suppose
        breadth = own.breadth if halt.ends_early else PLAIN.breadth
        return replace(
            self,
            depth=own.depth if self.depth is None else self.depth,
            halt=halt,
            suppose=suppose if self.suppose is None else self.suppose,
            guesses=own.guesses if self.guesses is None else self.guesses,
            breadth=breadth if self.breadth is None else self.breadth,
        )

    @property
    def segments(self) -> int:
        """``depth`` as a number."""
        return PLAIN.depth if self.depth is None else self.depth

    @property
    def settings(self) -> Settings:
        """The options of which a model has its own, as values: PLAIN's where they are not given."""
        given = {field.name: vars(self)[field.name] for field in fields(Settings)} | {"halt": self.halting.name}
        return replace(PLAIN, **{name: value for name, value in given.items() if value is not None})

    @property
    def halting(self) -> HaltingRule:
        """``halt`` as a rule."""
        return cast(HaltingRule, halting_rule(PLAIN.halt) if self.halt is None else self.halt)

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
        return int(str(self.breadth or PLAIN.breadth).removeprefix(AUTO))

    @property
    def restarts_at_once(self) -> int:
        """Restarts that every puzzle gets: 1 under auto breadth, else K."""
        return 1 if self.adaptive else self.restarts

    @property
    def starts(self) -> int:
        """The most rows a puzzle gets: restarts of all views."""
        return self.views * self.restarts

    def thresholds(self, calibration: Calibration | None) -> Thresholds:
        """The thresholds given here, else the model's calibrated ones (if for this window), else UNCALIBRATED."""
        known = calibration if calibration and calibration.window == self.window else None
        tols = (self.tol, known.tol if known else None, UNCALIBRATED.tol)
        deltas = (self.delta, known.delta if known else None, UNCALIBRATED.delta)
        return Thresholds(
            tol=next(tol for tol in tols if tol is not None),
            delta=next(delta for delta in deltas if delta is not None),
        )

    def check(self, task: Task) -> None:
        """Raises InputError if ``select`` needs a checker that the task lacks, or ``suppose`` needs fixed clues."""
        if self.suppose and not task.layout.clues_fixed:
            raise InputError(
                f"suppose is {self.suppose}: a guess cannot become a clue in {task.name}, set suppose to 0"
            )
        if self.selection.needs_checker and not task.has_rules:
            raise InputError(
                f"select is {self.selection.name}, but {task.name} has no rules to check answers with: give a "
                "--checker (grids only), or select by residual"
            )

    def named(self) -> dict[str, int | float | str | None]:
        """The fields as JSON values, rules and solver by their names."""
        values = {field.name: vars(self)[field.name] for field in fields(self)}
        return values | {
            "halt": self.halting.name,
            "select": self.selection.name,
            "solver": written(self.stepper),
        }


REAL = ("tol", "noise")
"""Options that need not be whole numbers."""


def _refuse_less(options: Mapping[str, tuple[int | float, int]]) -> None:
    """Raises InputError for the first option that is less than its least value, not finite, or a fraction."""
    for name, (value, least) in options.items():
        if not (least <= value < math.inf):
            raise InputError(f"{name} is {value}: it must be {least} or more")
        if name not in REAL and not isinstance(value, Integral):
            raise InputError(f"{name} is {value}: it must be a whole number")
