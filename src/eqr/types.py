"""The words for shapes, and the records that pass between modules. Knows no model, no task, no file.

B puzzles of a batch; K restarts of a puzzle (breadth); R rows = B*K trajectories; S streams of the state;
L cells of a board; V symbols; D width of a cell's state.

Symbol ids are the same everywhere: 0 is "blank" in an input and "no label" in a label, 1..V are the symbols.
"""

from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor

Ids = Int[Tensor, "B L"]
"""Symbol ids of a batch of boards."""
State = Float[Tensor, "R S L D"]
"""Latent state; stream 0 decodes to the answer."""
Embedded = Float[Tensor, "R L D"]
"""An embedded puzzle, or one stream of a state."""
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

    @property
    def cells(self) -> int:
        """L."""
        return self.rows * self.cols


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Puzzles and, for training and evaluation, their answers."""

    inputs: Ids
    """(B, L) ids, 0 where the cell is to be found."""
    labels: Ids
    """(B, L) ids, 0 where there is no label."""


@dataclass(frozen=True, kw_only=True)
class Trajectories:
    """Where every restart of every puzzle ended. Evidence for selection; latents are not kept."""

    answers: Int[Tensor, "B K L"]
    """Symbol ids, clues included."""
    residual: Float[Tensor, "B K"]
    """Mean relative residual over the last ``window`` segments of the row."""
    halt_logit: Float[Tensor, "B K"]
    """Score of the learned halting head at the end."""
    depth: Int[Tensor, "B K"]
    """Segments used."""
    converged: Bool[Tensor, "B K"]
    """Whether the residual stayed below ``tol`` for ``window`` segments."""


@dataclass(frozen=True, kw_only=True)
class Solution:
    """The answer to one puzzle and how it was reached."""

    answer: Int[Tensor, " L"]
    """Symbol ids of the selected restart, clues included."""
    valid: bool
    """Whether the task's own checker accepts the answer. It plays no part in choosing it."""
    converged: bool
    """Whether the selected restart settled."""
    residual: float
    """Mean relative residual of the selected restart over its last ``window`` segments."""
    depth: int
    """Segments the selected restart used."""
    restart: int
    """Which of the K restarts was selected, from 0."""
