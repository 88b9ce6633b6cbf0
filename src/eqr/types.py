"""Names for shapes, and the part of a task that a network may know. Knows no model, no task, no file.

B puzzles in a batch; K restarts per puzzle (breadth); R rows = B*K trajectories; S streams of the state;
L cells of a question (rule cells, if the task has any, then the board); C cells of a state (prefix tokens, if the
model has any, then the board); V symbols; D width of a cell's state; N calls of a block stack in one update.

Symbol ids mean the same everywhere: 0 is "blank" in an input and "no label" in a label; 1..V are the symbols.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from eqr.errors import InputError

Ids = Int[Tensor, "B L"]
"""Symbol ids of a batch of boards."""
State = Float[Tensor, "R S C D"]
"""Latent state; stream 0 decodes to the answer."""
Embedded = Float[Tensor, "R C D"]
"""An embedded puzzle, or one stream of a state."""
Noise = Float[Tensor, "R N C D"]
"""Noise added to the result of each call in an update."""
Logits = Float[Tensor, "R L V"]
"""Scores of the symbols 1..V for each cell."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """Room for problems that bring their own variables, values and relations, in rows of one width.

    A row begins with a header of the parts below, in this order, and ends with the variables. Every number of a header
    is at least 1, so that no part of it looks like a blank. A variable beyond those of the problem holds V + 1.
    """

    variables: int
    """L, the most variables."""
    values: int
    """V, the most values."""
    groups: int
    """The most groups of all relations that are not ordered."""
    links: int
    """The most members of these groups."""
    ordered_links: int
    """The most members of the groups of ordered relations."""
    relations: tuple[bool, ...]
    """For each relation, whether it is ordered."""
    attributes: tuple[int, ...] = ()
    """For each attribute, the number of its texts; 0 if its entries are numbers."""
    values_ordered: bool = False
    """Whether the order of values matters; if not, they are interchangeable."""

    @property
    def parts(self) -> tuple[int, ...]:
        """Lengths of the parts of a header.

        - 4: numbers of variables and values, rows and columns of the drawing, each + 1;
        - V: the number of each value among those of the family, + 1;
        - K: the number of groups of each relation, + 1;
        - members of groups that are not ordered, then of ordered ones: 2 + group * L + variable, groups counted from 0
          in each of these two parts; 1 where there is none;
        - L for each attribute: 2 + number of the text, or ``NUMBER`` + the number; 1 where there is none.
        """
        members = (self.links, self.ordered_links)
        return (4, self.values, len(self.relations), *members, self.variables * len(self.attributes))

    @property
    def kinds(self) -> int:
        """Ways in which a variable hears others: one for each relation, two for an ordered one."""
        return len(self.relations) + sum(self.relations)


NUMBER = 2**30
"""Stands in a header for the number 0 of an attribute."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A task's board as a network sees it: its shape and, for some blocks, which cells belong together."""

    rows: int
    cols: int
    symbols: int
    """V; ids run from 1 to V, 0 is blank."""
    axes: tuple[int, ...] = ()
    """Factors of the board's cells in row-major order; their product is rows * cols. Empty: rows and columns."""
    relations: tuple[tuple[int, ...], ...] = ((1,), (0,))
    """Each relation lists the ``axes`` along which cells belong together; by default those of a row and a column."""
    near: tuple[int, int] | None = None
    """The two ``axes`` along which cells are neighbours; None if neighbours do not matter."""
    symbol_kinds: tuple[int, ...] = ()
    """Kind of each symbol, from 0; symbols of one kind are interchangeable. Empty: all symbols are of one kind."""
    rule_cells: int = 0
    """Cells before the board, in questions and answers, that name the rule to follow; a state does not hold them."""
    rules: int = 0
    """Number of rules that the rule cells can name."""
    positions: int = 1
    """Number of positions a board can be turned or mirrored into; each rule is embedded once per position."""
    clues_fixed: bool = True
    """True if a given symbol is the cell's answer (Sudoku); False if every cell is answered anew (a maze's path)."""
    frame: Frame | None = None
    """Room for relations that come with each problem, in place of ``relations``; then ``rule_cells`` is its header."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "axes", self.axes or (self.rows, self.cols))

    @property
    def cells(self) -> int:
        """Number of cells of the board."""
        return self.rows * self.cols

    @property
    def width(self) -> int:
        """L: number of cells of a question, rule cells included."""
        return self.rule_cells + self.cells

    def answered(self, inputs: Int[Tensor, "*B L"]) -> Bool[Tensor, "*B L"]:
        """Returns a mask that is True for the cells of the board and False for rule cells and for padding."""
        board = torch.arange(self.width, device=inputs.device).expand_as(inputs) >= self.rule_cells
        return board & (inputs <= self.symbols) if self.frame else board

    def mean_of_cells(self, values: Float[Tensor, "*B L"], inputs: Int[Tensor, "*B L"]) -> Float[Tensor, "*B"]:
        """Returns the mean over the cells of a row; without header and padding where problems differ in size."""
        if self.frame is None:
            return values.mean(-1)
        answered = self.answered(inputs)
        return (values * answered).sum(-1) / answered.sum(-1).clamp(min=1)

    def to_find(self, inputs: Int[Tensor, "*B L"]) -> Bool[Tensor, "*B L"]:
        """Returns a mask of the cells to answer: the blanks if clues are fixed, else the whole board."""
        return inputs == 0 if self.clues_fixed else self.answered(inputs)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Puzzles and, for training and evaluation, their answers."""

    inputs: Ids
    """(B, L) ids, 0 for a cell to find."""
    labels: Ids
    """(B, L) ids, 0 for a cell without a label."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Halting thresholds beyond which a network's answers were correct, measured by ``eqr calibrate``."""

    delta: float | None = None
    """Halting logit above which a share ``precision`` of the halted rows was correct; None if no value reached it."""
    tol: float | None = None
    """Residual below which a share ``precision`` of the halted rows was correct; None if no value reached it."""
    precision: float
    delta_rows: int
    """Rows that ``delta`` halted, out of ``puzzles``."""
    tol_rows: int
    """Rows that ``tol`` halted, out of ``puzzles``."""
    puzzles: int
    data: str
    """Name of the puzzles that the thresholds were measured on."""
    depth: int
    window: int

    def __post_init__(self) -> None:
        # A residual is a share of the state's norm, so a threshold of more than 1 would call any row settled.
        for name, right, range in (
            ("delta", self.delta is None or math.isfinite(self.delta), "finite"),
            ("tol", self.tol is None or 0 < self.tol <= 1, "more than 0 and at most 1"),
            ("precision", 0 < self.precision <= 1, "more than 0 and at most 1"),
            *((name, vars(self)[name] >= 0, "0 or more") for name in ("delta_rows", "tol_rows", "puzzles")),
            *((name, vars(self)[name] >= 1, "1 or more") for name in ("depth", "window")),
        ):
            if not right:
                raise InputError(f"{name} is {vars(self)[name]}: it must be {range}, measure it with `eqr calibrate`")


MOST_DEPTH, MOST_RESTARTS, MOST_SUPPOSE = 4096, 4096, 1024
"""Largest settings that a model may have of its own."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Options of ``SolveConfig`` with which a network answers best, measured by ``eqr calibrate``."""

    depth: int = 64
    """Most segments of a row."""
    halt: str = "residual"
    """Name of the halting rule."""
    suppose: int = 0
    """Segments for which an unsure row holds a supposition; 0: never."""
    guesses: int = 2
    """Most suppositions that a row holds at a time."""
    breadth: int | str = 1
    """1, or auto:K."""
