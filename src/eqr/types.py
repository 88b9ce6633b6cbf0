"""The words for shapes, and the records that pass between modules. Knows no model, no task, no file.

B puzzles of a batch; K restarts of a puzzle (breadth); R rows = B*K trajectories; S streams of the state;
L cells of a question (those of the board, and of a header before them); C cells of a state (those of the board, and
prefix tokens before them); V symbols; D width of a
cell's state; N calls of a block stack in one update.

Symbol ids are the same everywhere: 0 is "blank" in an input and "no label" in a label, 1..V are the symbols.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

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
    """What a network may know of a task: its shape, and for some blocks which cells belong together."""

    rows: int
    cols: int
    symbols: int
    """V; ids run from 1 to V, 0 is blank."""
    axes: tuple[int, ...]
    """Factors of the L cells in row-major order; their product is L."""
    relations: tuple[tuple[int, ...], ...]
    """Each relation lists the ``axes`` that run through the cells belonging together (a row, a column, a box)."""
    near: tuple[int, int] | None = None
    """The two ``axes`` along which cells have neighbours, if that matters."""
    kinds: tuple[int, ...] = ()
    """Kind of each symbol, from 0; symbols of a kind are interchangeable. Empty: all of them are."""
    header: int = 0
    """Cells before those of the board, in questions and answers: they name the rule to follow, and are no part of a
    state."""
    rules: int = 0
    """Rules that can be named."""
    positions: int = 1
    """Positions of the board in which each of them reads otherwise."""
    clues_stand: bool = True
    """Whether a given symbol is that cell's answer (Sudoku). If not, every cell is answered (a maze's path)."""

    @property
    def cells(self) -> int:
        """Cells of the board."""
        return self.rows * self.cols

    @property
    def width(self) -> int:
        """L: cells of a question, the header's included."""
        return self.header + self.cells

    def answered(self, inputs: Int[Tensor, "*B L"]) -> Bool[Tensor, "*B L"]:
        """The cells of the board: all but the header."""
        return torch.arange(self.width, device=inputs.device).expand_as(inputs) >= self.header

    def to_find(self, inputs: Int[Tensor, "*B L"]) -> Bool[Tensor, "*B L"]:
        """The cells whose symbol is asked for: the blanks, or the whole board where clues do not stand."""
        return inputs == 0 if self.clues_stand else self.answered(inputs)


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


@dataclass(frozen=True, kw_only=True)
class History:
    """One row, segment by segment; T segments. Kept on request only."""

    answers: Int[Tensor, "T L"]
    """Decoded symbol ids, clues included."""
    confidence: Float[Tensor, "T L"]
    """Probability of the decoded symbols."""
    residual: Float[Tensor, " T"]
    logit_change: Float[Tensor, " T"]
    halt_logit: Float[Tensor, " T"]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Where the restarts of one puzzle ended: all that halting, breadth and selection may judge by."""

    answers: Int[Tensor, "K L"]
    """Symbol ids, clues included."""
    residual: Float[Tensor, " K"]
    """Mean relative residual over the last ``window`` segments of the row."""
    logit_change: Float[Tensor, " K"]
    """Mean over the last ``window`` segments of the L2 change of a cell's logits, mean over cells."""
    halt_logit: Float[Tensor, " K"]
    """Score of the learned halting head at the end."""
    depth: Int[Tensor, " K"]
    """Segments used."""
    converged: Bool[Tensor, " K"]
    """Whether the residual stayed below ``tol`` for ``window`` segments."""
    halted: Bool[Tensor, " K"]
    """Whether the halting rule ended the row, not the limit of depth."""
    valid: Bool[Tensor, " K"]
    """Whether the task's own checker accepts the answer."""
    seconds: float
    """Wall time spent on these rows: each segment's time is shared equally by the rows it moved."""
    histories: tuple[History, ...]
    """K of them if recorded, else none."""

    @staticmethod
    def joined(parts: Sequence["Evidence"]) -> "Evidence":
        """The restarts of all ``parts`` as restarts of one puzzle."""
        if len(parts) == 1:
            return parts[0]
        return Evidence(
            **{name: torch.cat([vars(part)[name] for part in parts]) for name in BY_RESTART},
            seconds=sum(part.seconds for part in parts),
            histories=tuple(history for part in parts for history in part.histories),
        )

    def only(self, restarts: Int[Tensor, " J"]) -> "Evidence":
        """The same of these restarts alone, without their histories."""
        return replace(self, **{name: vars(self)[name][restarts] for name in BY_RESTART}, histories=())


BY_RESTART = ("answers", "residual", "logit_change", "halt_logit", "depth", "converged", "halted", "valid")
"""Fields of Evidence that hold something for each restart, besides histories."""


@dataclass(frozen=True, kw_only=True)
class Solution:
    """The answer to one puzzle and how it was reached."""

    answer: Int[Tensor, " L"]
    """Symbol ids of the selected restart, clues included."""
    valid: bool
    """Whether the task's own checker accepts the answer. Only the ``verifier`` rule chooses by it."""
    converged: bool
    """Whether the selected restart settled."""
    halted: bool
    """Whether the halting rule ended it, not the limit of depth."""
    residual: float
    """Mean relative residual of the selected restart over its last ``window`` segments."""
    depth: int
    """Segments the selected restart used."""
    restart: int
    """Which of the restarts was selected, from 0."""
    restarts: int
    """How many restarts were run."""
    seconds: float
    """Wall time spent on the puzzle; rows that were iterated together share it equally."""
    history: History | None = None
    """The selected restart's trajectory, if recorded."""
