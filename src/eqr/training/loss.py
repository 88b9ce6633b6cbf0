"""The training loss of one segment. Pure function of model and tensors; knows no optimizer, slot or schedule."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from eqr.model import Reasoner
from eqr.types import State


@dataclass(frozen=True, kw_only=True)
class SegmentLoss:
    """What one segment of training yields."""

    loss: Float[Tensor, ""]
    """Cross entropy on blank cells, mean over updates, plus the weighted halting loss."""
    z: State
    """State after the segment, detached."""
    solved: Bool[Tensor, " R"]
    """Rows whose decoded answer equals the label in every cell."""
    halt_logit: Float[Tensor, " R"]
    """Scores of the halting head, detached."""


def segment_loss(
    model: Reasoner, z: State, inputs: Int[Tensor, "R L"], labels: Int[Tensor, "R L"], halt_weight: float
) -> SegmentLoss:
    """Cross entropy on the blanks after every update of a segment + ``halt_weight`` * BCE(halt logit, exact match).

    The gradient runs through the updates of this segment alone (segmented online training, EqR arXiv 2605.21488).
    """
    x = model.embed(inputs)
    unknown = ((inputs == 0) & (labels > 0)).float()
    targets = (labels - 1).clamp(min=0)
    entropy = torch.zeros((), device=z.device)
    for _ in range(model.config.updates_per_segment):
        z = model.update(z, x)
        logits = model.decode(z).float()
        cell = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view_as(unknown)
        entropy = entropy + (cell * unknown).sum() / unknown.sum().clamp(min=1)
    solved = ((logits.argmax(-1) == targets) | (unknown == 0)).all(-1)
    # The head judges the state; it does not shape it.
    halt = model.halt_logit(z.detach()).float()
    halting = F.binary_cross_entropy_with_logits(halt, solved.float())
    loss = entropy / model.config.updates_per_segment + halt_weight * halting
    return SegmentLoss(loss=loss, z=z.detach(), solved=solved, halt_logit=halt.detach())


def joined(parts: Sequence[SegmentLoss]) -> SegmentLoss:
    """The results of several passes over equally many rows as one."""
    return SegmentLoss(
        loss=torch.stack([part.loss.detach() for part in parts]).mean(),
        z=torch.cat([part.z for part in parts]),
        solved=torch.cat([part.solved for part in parts]),
        halt_logit=torch.cat([part.halt_logit for part in parts]),
    )
