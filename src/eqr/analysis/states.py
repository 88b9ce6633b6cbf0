"""The end states of trajectories, and how further updates move these states. Knows no label.

The engine moves the rows, at fixed depth; one state of each row is held.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from eqr.engine import SolveConfig, evidence_stream
from eqr.errors import InputError
from eqr.model import Reasoner
from eqr.runtime import row_workers
from eqr.solvers import relative_residual
from eqr.tasks import Task
from eqr.types import Ids, State


@dataclass(frozen=True, kw_only=True)
class Ends:
    """The ends of R rows after T segments, and how P further updates move the end states; on the CPU."""

    states: State
    answers: Int[Tensor, "R L"]
    """Symbol ids, clues included."""
    residuals: Float[Tensor, "R T"]
    """Relative residual of the last update of each segment."""
    recurrence: Float[Tensor, "R P"]
    """``|f^p(z) - z| / |z|`` for p = 1, ..., P: the distance of the p-th further update from the end state."""
    later: Float[Tensor, " R"]
    """Relative residual of the last further update."""
    stays: Bool[Tensor, " R"]
    """Whether the answer is the same after the further updates."""

    @property
    def residual(self) -> Float[Tensor, " R"]:
        """``|f(z) - z| / |z|`` of the end states."""
        return self.recurrence[:, 0]


def settle(
    model: Reasoner,
    puzzles: Ids,
    config: SolveConfig,
    lags: int = 1,
    progress: Callable[[float], None] = lambda done: None,
) -> Ends:
    """Moves ``config.breadth`` rows of each of ``puzzles`` (B, L) to full depth, then by ``lags`` further updates.

    No row halts. The restarts of a puzzle follow each other. ``progress`` is called with the number of rows done since.
    """
    config = replace(config, halt="fixed", suppose=0)
    share = 1 / config.segments
    rows = list(
        evidence_stream(
            model, puzzles, config, record=True, latents="end", on_snapshot=lambda restart, snapshot: progress(share)
        )
    )
    answers, states = torch.cat([row.answers for row in rows]), torch.cat([cast(State, row.states) for row in rows])
    inputs = puzzles.cpu().repeat_interleave(config.restarts, 0)
    with row_workers(model.answer_head.device) as workers:
        size = workers.rows_each(len(inputs))
        parts = [slice(start, start + size) for start in range(0, len(inputs), size)]
        moved = workers.map(lambda part: _moved(model, inputs[part], states[part], lags), parts)
    recurrence, later, symbols = (torch.cat(column) for column in zip(*moved, strict=True))
    after = torch.where(model.task.layout.to_find(inputs), symbols + 1, inputs)
    return Ends(
        states=states,
        answers=answers,
        residuals=torch.stack([history.residual for row in rows for history in row.histories]),
        recurrence=recurrence,
        later=later,
        stays=(answers == after).all(-1),
    )


@torch.no_grad()
def _moved(model: Reasoner, inputs: Ids, ends: State, lags: int) -> tuple[Tensor, Tensor, Tensor]:
    """Moves end states by ``lags`` updates; returns their recurrences, the last residuals, and the symbols from 0."""
    end, ids = (tensor.to(model.answer_head.device) for tensor in (ends, inputs))
    x, relations, recurrence, z = model.embed(ids), model.relations(ids), [], end
    for _ in range(lags):
        before, z = z, model.update(z, x, relations=relations)
        recurrence.append(relative_residual(z, end))
    later, symbols = relative_residual(z, before), model.decode(z, relations).argmax(-1)
    return torch.stack(recurrence, 1).cpu(), later.cpu(), symbols.cpu()


def right_rows(
    task: Task, puzzle: Int[Tensor, " L"], answers: Int[Tensor, "R L"], label: Int[Tensor, " L"] | None
) -> Bool[Tensor, " R"]:
    """True for right answers: those equal to the label or, without a label, valid by the task's own rules.

    Raises InputError if there is neither a label nor rules.
    """
    if label is not None:
        return (answers == label).all(-1)
    if not task.has_rules:
        raise InputError(
            f"{task.name} has no rules to check answers with: give the number of a puzzle in --data, which has answers"
        )
    return task.is_solved(puzzle.expand_as(answers), answers)
