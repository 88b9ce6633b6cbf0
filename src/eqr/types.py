"""The words for shapes, and what a network may know of a task. Knows no model, no task, no file.

B puzzles of a batch; K restarts of a puzzle (breadth); R rows = B*K trajectories; S streams of the state;
L cells of a question (those of the board, and of a header before them); C cells of a state (those of the board, and
prefix tokens before them); V symbols; D width of a
cell's state; N calls of a block stack in one update.

Symbol ids are the same everywhere: 0 is "blank" in an input and "no label" in a label, 1..V are the symbols.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Ids = Int[Tensor, "B L"]
"""Symbol ids of a batch of boards."""
State = Float[Tensor, "R S C D"]
"""Latent state; stream 0 decodes to the answer."""
Embedded = Float[Tensor, "R C D"]
"""An embedded puzzle, or one stream of a state."""
Noise = Float[Tensor, "R N C D"]
"""What is added to the outcome of each call of an update."""
Logits = Float[Tensor, "R L V"]
"""Scores of the symbols 1..V for each cell."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A task's board as a network sees it: its shape, and for some blocks which cells belong together."""

    rows: int
    cols: int
    symbols: int
    """V; ids run from 1 to V, 0 is blank."""
    axes: tuple[int, ...] = ()
    """Factors of the L cells in row-major order; their product is L. Empty: rows and columns."""
    relations: tuple[tuple[int, ...], ...] = ((1,), (0,))
    """Each relation lists the ``axes`` that run through cells that belong together; by default a row and a column."""
    near: tuple[int, int] | None = None
    """The two ``axes`` along which cells have neighbours; None if neighbours do not matter."""
    symbol_kinds: tuple[int, ...] = ()
    """Kind of each symbol, from 0; symbols of one kind are interchangeable. Empty: all symbols are of one kind."""
    rule_cells: int = 0
    """Cells before those of the board, in questions and answers, that name the rule to follow; no part of a state."""
    rules: int = 0
    """Number of rules that can be named."""
    positions: int = 1
    """Number of positions of the board; a rule is read differently in each."""
    clues_fixed: bool = True
    """Whether a given symbol is that cell's answer (Sudoku). If not, every cell is answered (a maze's path)."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "axes", self.axes or (self.rows, self.cols))

    @property
    def cells(self) -> int:
        """Cells of the board."""
        return self.rows * self.cols

    @property
    def width(self) -> int:
        """L: cells of a question, the header's included."""
        return self.rule_cells + self.cells

    def answered(self, inputs: Int[Tensor, "*B L"]) -> Bool[Tensor, "*B L"]:
        """The cells of the board: all but the header."""
        return torch.arange(self.width, device=inputs.device).expand_as(inputs) >= self.rule_cells

    def to_find(self, inputs: Int[Tensor, "*B L"]) -> Bool[Tensor, "*B L"]:
        """The cells whose symbol is asked for: the blanks, or the whole board where clues do not stand."""
        return inputs == 0 if self.clues_fixed else self.answered(inputs)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Puzzles and, for training and evaluation, their answers."""

    inputs: Ids
    """(B, L) ids, 0 where the cell is to be found."""
    labels: Ids
    """(B, L) ids, 0 where there is no label."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What a network's own signs are worth: thresholds beyond which rows were right, measured by ``eqr calibrate``."""

    delta: float | None = None
    """Of the rows halted at a halting logit above this, a share of ``precision`` was right; None if no value did it."""
    tol: float | None = None
    """The same of the rows halted at a residual below this."""
    precision: float
    delta_rows: int
    """Rows that ``delta`` stopped, of ``puzzles``."""
    tol_rows: int
    """Rows that ``tol`` stopped."""
    puzzles: int
    data: str
    """Name of the puzzles it was measured on."""
    depth: int
    window: int
