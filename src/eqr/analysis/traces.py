"""Traces compare every segment of every restart with the label; most analyses read them.

B puzzles, K restarts, T segments at fixed depth. Histories are summarised as they come, so a segment of a row takes
some thirty bytes, and no board but the last is kept. Knows no latent state.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from eqr.data.files import Puzzles
from eqr.engine import SolveConfig, evidence_stream
from eqr.evidence import Evidence, History, recent_mean, windows
from eqr.model import Reasoner


@dataclass(frozen=True, kw_only=True)
class Traces:
    """Trajectories of B puzzles x K restarts over T segments."""

    residual: Float[Tensor, "B K T"]
    """Relative residual of the segment's last update."""
    logit_change: Float[Tensor, "B K T"]
    """Infinite in the first segment."""
    halt_logit: Float[Tensor, "B K T"]
    exact: Bool[Tensor, "B K T"]
    """Whether every cell equals the label."""
    token: Float[Tensor, "B K T"]
    """Share of the cells to find that equal the label; 1 if there are no cells to find."""
    lost: Int[Tensor, "B K T"]
    """Number of cells that were right in the segment before and are wrong in this one."""
    answer: Int[Tensor, "B K T"]
    """Number of the decoded board: equal boards of a puzzle have equal numbers."""
    ends: UInt8[Tensor, "B K L"]
    """The last boards."""
    difficulty: Float[Tensor, " B"]
    measure: str
    """The unit of ``difficulty``: rating, or cells to find (cells in which question and answer differ)."""
    window: int
    """Segments over which selection averages figures, and for which a settled row must be still."""
    tol: float
    """Residual below which a row is still."""

    def judged_residual(self) -> Float[Tensor, "B K T"]:
        """The residual that selection would see at each depth: the mean over the last ``window`` segments.

        Infinite where the mean is not a number.
        """
        return _recent_mean(self.residual, self.window)

    def judged_logit_change(self) -> Float[Tensor, "B K T"]:
        """The logit change that selection would see at each depth; infinite after the first segment."""
        later = _recent_mean(self.logit_change[..., 1:], self.window)
        return torch.cat([self.logit_change[..., :1], later], -1)


def _recent_mean(values: Float[Tensor, "B K T"], window: int) -> Float[Tensor, "B K T"]:
    """The mean over the last ``window`` values, or over fewer at the start; infinite where the mean is not a number."""
    mean = recent_mean(windows(values, window)[..., 1:, :], torch.arange(1, values.shape[-1] + 1).expand_as(values))
    return torch.where(mean.isnan(), torch.inf, mean)


def turned_wrong(right: Bool[Tensor, "*R T L"]) -> Int[Tensor, "*R T"]:
    """Counts the cells that are wrong and were right in the segment before; 0 in the first segment."""
    lost = (right[..., :-1, :] & ~right[..., 1:, :]).sum(-1)
    return torch.nn.functional.pad(lost, (1, 0))


def difficulty_of(puzzles: Puzzles) -> tuple[Float[Tensor, " B"], str]:
    """The puzzles' ratings if they have any, else the number of cells in which question and answer differ."""
    if len(set(puzzles.ratings.tolist())) > 1:
        return torch.from_numpy(puzzles.ratings).float(), "rating"
    return torch.from_numpy((puzzles.questions != puzzles.answers).sum(1)).float(), "cells to find"


def traces_of(stream: Iterable[Evidence], puzzles: Puzzles, window: int, tol: float) -> Traces:
    """Makes traces from a stream of evidence with histories, one for each of ``puzzles``, run at fixed depth."""
    batch, layout = puzzles.batch(), puzzles.task.layout
    columns: list[tuple[Tensor, ...]] = []
    for evidence, question, label in zip(stream, batch.inputs, batch.labels, strict=True):
        rows = History.stacked(evidence.histories)
        boards, right = rows.answers, rows.answers == label
        number = torch.unique(boards.flatten(0, 1), dim=0, return_inverse=True)[1].view(boards.shape[:2])
        signs = (rows.residual, rows.logit_change, rows.halt_logit)
        token = right[..., layout.to_find(question)].float().mean(-1).nan_to_num(nan=1.0)
        columns.append((*signs, right.all(-1), token, turned_wrong(right), number, boards[:, -1].to(torch.uint8)))
    names = ("residual", "logit_change", "halt_logit", "exact", "token", "lost", "answer", "ends")
    stacked = dict(zip(names, map(torch.stack, zip(*columns, strict=True)), strict=True))
    difficulty, measure = difficulty_of(puzzles)
    return Traces(**stacked, difficulty=difficulty, measure=measure, window=window, tol=tol)


def traced(
    model: Reasoner, puzzles: Puzzles, config: SolveConfig, progress: Callable[[float], None] = lambda done: None
) -> Traces:
    """Runs ``config.breadth`` restarts of every puzzle to ``config.depth``; calls ``progress`` after each puzzle.

    Rows never halt, whatever ``config.halt`` is.
    """
    model, config = model.for_task(puzzles.task), replace(config, halt="fixed", views=1)

    def stream() -> Iterable[Evidence]:
        for evidence in evidence_stream(model, puzzles.batch().inputs, config, record=True):
            yield evidence
            progress(1)

    return traces_of(stream(), puzzles, config.window, config.thresholds(model.calibration).tol)
