"""One puzzle's decoded answers, segment by segment (EqR Fig. 13): do right cells turn wrong?"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from eqr.analysis.base import Finding, Row
from eqr.analysis.traces import turned_wrong
from eqr.engine import SolveConfig, evidence_stream
from eqr.evidence import History
from eqr.model import Reasoner


@dataclass(frozen=True, kw_only=True)
class Trajectory(Finding):
    """T segments of the first restart of a puzzle."""

    puzzle: Int[Tensor, " L"]
    history: History
    changed: Bool[Tensor, "T L"]
    """Cells whose symbol differs from the segment before; none in the first."""
    right: Bool[Tensor, "T L"] | None
    """Cells that equal the label; None without a label."""
    written: tuple[str, ...]
    """The answers as text."""

    @property
    def last_change(self) -> int:
        """The last segment that changed a cell; 1 if none did."""
        moved = self.changed.any(1).nonzero()
        return int(moved.max()) + 1 if len(moved) else 1

    def headline(self) -> Row:
        """The last change of the answer, and the number of changes."""
        figures: Row = {
            "last_change_at": self.last_change,
            "cell_changes": int(self.changed.sum()),
            "residual": float(self.history.residual[-1]),
        }
        if self.right is not None:
            figures["cells_wrong"] = int((~self.right[-1]).sum())
            figures["right_cells_that_turned_wrong"] = int(turned_wrong(self.right).sum())
        return figures

    def tables(self) -> dict[str, list[Row]]:
        """One line for each segment."""
        lines: list[Row] = []
        for t, answer in enumerate(self.written):
            line: Row = {
                "depth": t + 1,
                "residual": float(self.history.residual[t]),
                "changed": int(self.changed[t].sum()),
                "mean_confidence": float(self.history.confidence[t].mean()),
            }
            if self.right is not None:
                line["wrong"] = int((~self.right[t]).sum())
            lines.append(line | {"answer": answer})
        return {"": lines}


def trajectory(
    model: Reasoner, puzzle: Int[Tensor, " L"], label: Int[Tensor, " L"] | None, config: SolveConfig
) -> Trajectory:
    """Follows the first restart of ``puzzle`` to ``config.depth``; ``label``, if known, tells which cells are right."""
    config = replace(config, breadth=1, views=1, halt="fixed")
    history = next(evidence_stream(model, puzzle.unsqueeze(0), config, record=True)).histories[0]
    answers = history.answers
    return Trajectory(
        puzzle=puzzle,
        history=history,
        changed=torch.cat([torch.zeros_like(answers[:1], dtype=torch.bool), answers[1:] != answers[:-1]]),
        right=None if label is None else answers == label,
        written=tuple(model.task.format(answer) for answer in answers),
    )
