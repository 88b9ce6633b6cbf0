"""The training loss of one segment: a pure function of model and tensors. Knows no optimizer, slot or schedule."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from eqr.errors import registered, unknown
from eqr.model import Reasoner
from eqr.model.reasoner import HearingCall
from eqr.types import Logits, State

CellLoss = Callable[[Float[Tensor, "N V"], Int[Tensor, " N"]], Float[Tensor, " N"]]
"""The loss of N cells from their logits and target symbols, from 0."""


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """The objective of one segment."""

    loss: CellLoss | str = "softmax"
    """Cross entropy of the softmax, or of the stablemax (as in HRM, TRM and EqR): a function or its name."""
    loss_cells: str = "blanks"
    """Cells that count: blanks (every cell, in a task without blanks), or all (every cell with a label)."""
    supervise: str = "updates"
    """States to compare with the answer: after every update that the gradient sees (updates), or the last (segment)."""
    gradient_updates: int = 0
    """Number of last updates of a segment that the gradient runs through; 0: all of them."""
    halt_weight: float = 0.5
    """Weight of the halting loss."""
    halt_shapes_state: bool = False
    """Whether the halting loss also trains the network behind the state (TRM, EqR), or only the halting head."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "loss", registered("loss", self.loss, LOSSES))
        for name, known in (("loss_cells", ("blanks", "all")), ("supervise", ("updates", "segment"))):
            if vars(self)[name] not in known:
                raise unknown(name, vars(self)[name], known)

    @property
    def cell_loss(self) -> CellLoss:
        """``loss`` as a function."""
        return cast(CellLoss, self.loss)


@dataclass(frozen=True, kw_only=True)
class SegmentLoss:
    """The outcome of one segment of training."""

    loss: Float[Tensor, ""]
    """Cross entropy, mean over the cells that count and over the supervised states, plus the weighted halting loss."""
    z: State
    """State after the segment, detached."""
    solved: Bool[Tensor, " R"]
    """Rows whose decoded answer equals the label in every cell to find, and whose clues are right."""
    misled: Bool[Tensor, " R"]
    """Rows with a wrong clue: one of the network's own guesses (``guess_share``)."""
    halt_logit: Float[Tensor, " R"]
    """Scores of the halting head, detached."""
    logits: Logits
    """Scores of the symbols after the segment, detached."""


def softmax(logits: Float[Tensor, "N V"], targets: Int[Tensor, " N"]) -> Float[Tensor, " N"]:
    """Cross entropy of the softmax."""
    return F.cross_entropy(logits, targets, reduction="none")


def stablemax(logits: Float[Tensor, "N V"], targets: Int[Tensor, " N"]) -> Float[Tensor, " N"]:
    """Cross entropy of ``s(x) / sum s(x)`` with s(x) = x + 1 above 0 and 1 / (1 - x) below (arXiv 2501.04697).

    The reference computes it in float64; in float32 it differs by less than 1e-5 and costs a quarter.
    """
    weight = torch.where(logits < 0, 1 / (1 - logits.clamp(max=0)), logits + 1)
    return weight.sum(-1).log() - weight.gather(-1, targets.unsqueeze(-1)).squeeze(-1).log()


LOSSES: dict[str, CellLoss] = {
    "softmax": softmax,
    "stablemax": stablemax,
}


def segment_loss(
    model: Reasoner,
    z: State,
    inputs: Int[Tensor, "R L"],
    labels: Int[Tensor, "R L"],
    noise: Float[Tensor, "R U N C D"] | None,
    config: LossConfig,
    call: HearingCall | None = None,
) -> SegmentLoss:
    """Runs a segment; its loss is the cross entropy + ``halt_weight`` * BCE(halt logit, exact match).

    A row with a wrong clue has no right answer: it counts in the halting loss alone, as not right.
    The segment's U updates add ``noise``. ``call`` is a faster form of the model's own (``Reasoner.fused``).
    The gradient stays within this segment (segmented online training, EqR arXiv 2605.21488).
    """
    x, relations = model.embed(inputs), model.relations(inputs)
    layout = model.task.layout
    labelled, to_find = labels > 0, layout.to_find(inputs)
    misled = (labelled & (inputs != labels) & ~to_find).any(-1)
    counts = labelled & (to_find if config.loss_cells == "blanks" else layout.answered(inputs))
    counts = counts & ~misled.unsqueeze(-1)
    # Cells that do not count may hold what is no symbol, such as the numbers of a header.
    targets = (labels - 1).masked_fill(~counts, 0)
    updates = model.config.updates_per_segment
    without_gradient = updates - config.gradient_updates if config.gradient_updates else 0
    added = noise.unbind(1) if noise is not None else (None,) * updates
    with torch.no_grad():
        for number in range(without_gradient):
            z = model.update(z, x, added[number], call, relations)
    entropies = []
    for number in range(without_gradient, updates):
        z = model.update(z, x, added[number], call, relations)
        if config.supervise == "updates" or number == updates - 1:
            logits = model.decode(z, relations).float()
            cell = config.cell_loss(logits.flatten(0, 1), targets.flatten()).view_as(targets)
            entropies.append((cell * counts).sum() / counts.sum().clamp(min=1))
    solved = ((logits.argmax(-1) == targets) | ~counts).all(-1) & ~misled
    halt = model.halt_logit(z if config.halt_shapes_state else z.detach(), relations).float()
    halting = F.binary_cross_entropy_with_logits(halt, solved.float())
    loss = torch.stack(entropies).mean() + config.halt_weight * halting
    return SegmentLoss(
        loss=loss,
        z=z.detach(),
        solved=solved,
        misled=misled,
        halt_logit=halt.detach(),
        logits=logits.detach(),
    )


def joined(parts: Sequence[SegmentLoss]) -> SegmentLoss:
    """Joins the results of several passes over equally many rows."""
    return SegmentLoss(
        loss=torch.stack([part.loss.detach() for part in parts]).mean(),
        z=torch.cat([part.z for part in parts]),
        solved=torch.cat([part.solved for part in parts]),
        misled=torch.cat([part.misled for part in parts]),
        halt_logit=torch.cat([part.halt_logit for part in parts]),
        logits=torch.cat([part.logits for part in parts]),
    )
