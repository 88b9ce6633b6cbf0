"""What is known of rows: segment by segment, at their ends, and of the one that answers. Knows no model and no file."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


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
