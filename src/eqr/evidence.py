"""Records of rows: a row after one segment, a row over all its segments, all restarts at their ends, the answer.

``Snapshot`` -> ``History`` -> ``Evidence`` -> ``Solution``. Each fact about a row is stored once, here; reports,
sweeps, analyses, JSON records and the service are views of these records. Knows no model and no file.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """One row after one segment."""

    answers: Int[Tensor, " L"]
    """Decoded symbol ids, clues included."""
    confidence: Float[Tensor, " L"]
    """Probability of the decoded symbols."""
    residual: Float[Tensor, ""]
    """Relative residual of the segment's last update."""
    logit_change: Float[Tensor, ""]
    """L2 change of a cell's logits, mean over cells; infinite after the first segment."""
    halt_logit: Float[Tensor, ""]
    """Score of the learned halting head."""
    z: Float[Tensor, "S C D"] | None = None
    """Latent state, if requested."""


@dataclass(frozen=True, kw_only=True)
class History:
    """T snapshots of one row, stacked; with a leading axis, the snapshots of R rows of equal length."""

    answers: Int[Tensor, "*R T L"]
    confidence: Float[Tensor, "*R T L"]
    residual: Float[Tensor, "*R T"]
    logit_change: Float[Tensor, "*R T"]
    halt_logit: Float[Tensor, "*R T"]
    z: Float[Tensor, "*R T S C D"] | None = None

    @staticmethod
    def stacked(parts: "Sequence[Snapshot] | Sequence[History]") -> "History":
        """Stacks snapshots of one row (in order), or histories of several rows, along a new first axis."""
        names = [name for name, value in vars(parts[0]).items() if value is not None]
        return History(**{name: torch.stack([vars(part)[name] for part in parts]) for name in names})


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The ends of K restarts of one puzzle: the only information that breadth and selection may use."""

    puzzle: Int[Tensor, " L"]
    """Symbol ids; 0 in the cells to find."""
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
    """True if the halting rule ended the row, False if the depth limit did."""
    valid: Bool[Tensor, " K"]
    """Whether the task's own checker accepts the answer."""
    seconds: float = 0.0
    """Wall time spent on these rows; the rows that a segment moved share its time equally."""
    histories: tuple[History, ...] = ()
    """One history for each restart if recorded, else empty."""
    states: Float[Tensor, "K S C D"] | None = None
    """Latent states at the end, if requested."""

    @staticmethod
    def joined(parts: Sequence["Evidence"]) -> "Evidence":
        """Joins the restarts of all ``parts``, in order, as restarts of the first part's puzzle."""
        if len(parts) == 1:
            return parts[0]
        columns = {name: torch.cat([vars(part)[name] for part in parts]) for name in BY_RESTART}
        states = [part.states for part in parts if part.states is not None]
        return Evidence(
            puzzle=parts[0].puzzle,
            **columns,
            seconds=sum(part.seconds for part in parts),
            histories=tuple(history for part in parts for history in part.histories),
            states=torch.cat(states) if states else None,
        )

    def apart(self) -> list["Evidence"]:
        """Evidence of each restart alone, without histories and states."""
        columns = zip(*(vars(self)[name].split(1) for name in BY_RESTART), strict=True)
        alone = (dict(zip(BY_RESTART, values, strict=True)) for values in columns)
        return [replace(self, **values, histories=(), states=None) for values in alone]

    def only(self, restarts: Int[Tensor, " J"]) -> "Evidence":
        """Evidence of the selected restarts, without histories and states."""
        columns = {name: vars(self)[name][restarts] for name in BY_RESTART}
        return replace(self, **columns, histories=(), states=None)


BY_RESTART = ("answers", "residual", "logit_change", "halt_logit", "depth", "converged", "halted", "valid")
"""Fields of Evidence that hold a value for each restart, besides histories and states."""


@dataclass(frozen=True, kw_only=True)
class Solution:
    """The answer to one puzzle: the restart that was selected from its evidence."""

    evidence: Evidence
    restart: int
    """Index of the selected restart, from 0."""
    text: str
    """The answer as the task writes it."""

    @property
    def answer(self) -> Int[Tensor, " L"]:
        """Symbol ids, clues included."""
        return self.evidence.answers[self.restart]

    @property
    def valid(self) -> bool:
        """Whether the task's own checker accepts the answer. Only the ``verifier`` rule selects by this."""
        return bool(self.evidence.valid[self.restart])

    @property
    def converged(self) -> bool:
        """Whether the selected row settled."""
        return bool(self.evidence.converged[self.restart])

    @property
    def halted(self) -> bool:
        """True if the halting rule ended the row, False if the depth limit did."""
        return bool(self.evidence.halted[self.restart])

    @property
    def residual(self) -> float:
        """Mean relative residual of the row over its last ``window`` segments."""
        return float(self.evidence.residual[self.restart])

    @property
    def depth(self) -> int:
        """Segments the row used."""
        return int(self.evidence.depth[self.restart])

    @property
    def restarts(self) -> int:
        """Number of restarts that were run."""
        return len(self.evidence.depth)

    @property
    def seconds(self) -> float:
        """Wall time spent on the puzzle; rows that were iterated together share it equally."""
        return self.evidence.seconds

    @property
    def history(self) -> History | None:
        """The history of the selected row, if recorded."""
        return self.evidence.histories[self.restart] if self.evidence.histories else None


def windows(values: Float[Tensor, "*K T"], width: int) -> Float[Tensor, "*K N W"]:
    """Returns the last ``width`` values before each segment and after the last one; infinite where there is none."""
    return F.pad(values, (width, 0), value=torch.inf).unfold(-1, width, 1)


def recent_mean(values: Float[Tensor, "*R W"], count: Int[Tensor, "*R"]) -> Float[Tensor, "*R"]:
    """Mean of each row's last ``count`` values, at most all W of them; infinite where ``count`` is 0."""
    width = values.shape[-1]
    kept = torch.arange(width, device=values.device) >= width - count.unsqueeze(-1)
    total = torch.where(kept, values, 0.0).sum(-1)
    return total / kept.sum(-1).clamp(min=1) + torch.where(kept.any(-1), 0.0, torch.inf)


def ended(
    *,
    puzzle: Int[Tensor, " L"],
    answers: Int[Tensor, "K L"],
    residuals: Float[Tensor, "K W"],
    logit_changes: Float[Tensor, "K W"],
    halt_logit: Float[Tensor, " K"],
    depth: Int[Tensor, " K"],
    converged: Bool[Tensor, " K"],
    halted: Bool[Tensor, " K"],
    valid: Bool[Tensor, " K"],
) -> Evidence:
    """Builds the evidence of K rows that end now; ``residuals`` and ``logit_changes`` cover their last W segments."""
    return Evidence(
        puzzle=puzzle,
        answers=answers,
        residual=recent_mean(residuals, depth),
        logit_change=recent_mean(logit_changes, depth - 1),  # the first segment of a row has no change
        halt_logit=halt_logit,
        depth=depth,
        converged=converged,
        halted=halted,
        valid=valid,
    )
