"""Where trajectories end: the latent states themselves, which the engine does not keep. Knows no label.

Rows start as in the engine (a function of seed, puzzle and restart) and take plain steps without noise, so they are the
engine's rows at fixed depth. What is held is one state a row.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from eqr.engine import SolveConfig
from eqr.errors import InputError
from eqr.model import Reasoner
from eqr.random import row_generator
from eqr.runtime import row_workers
from eqr.solvers import relative_residual
from eqr.tasks import Task
from eqr.types import Ids, State


@dataclass(frozen=True, kw_only=True)
class Ends:
    """The ends of R rows after T segments, and what the map does with them next; on the CPU."""

    states: State
    answers: Int[Tensor, "R L"]
    """Symbol ids, clues included."""
    residuals: Float[Tensor, "R T"]
    """Relative residual of the last update of each segment."""
    recurrence: Float[Tensor, "R P"]
    """``|f^p(z) - z| / |z|`` for p = 1, ..., P: how near the p-th further update comes to the end state."""
    later: Float[Tensor, " R"]
    """Relative residual of the last of these further updates."""
    stays: Bool[Tensor, " R"]
    """Whether the answer is the same after them."""

    @property
    def residual(self) -> Float[Tensor, " R"]:
        """``|f(z) - z| / |z|`` of the end states."""
        return self.recurrence[:, 0]


def settle(
    model: Reasoner,
    inputs: Ids,
    restarts: Sequence[int],
    config: SolveConfig,
    lags: int = 1,
    progress: Callable[[float], None] = lambda done: None,
) -> Ends:
    """Move a row for each of ``inputs`` (R, L) and ``restarts`` by ``config.depth`` segments, then by ``lags`` updates.

    Of ``config`` depth and seed count. ``progress`` is told of rows done.
    """
    columns: list[tuple[Tensor, ...]] = []
    with row_workers(model.answer_head.device) as workers:
        size = workers.rows_each(len(inputs))
        parts = [slice(start, start + size) for start in range(0, len(inputs), size)]
        for ends in workers.each(lambda part: _moved(model, inputs[part], restarts[part], config, lags), parts):
            columns.append(ends)
            progress(len(ends[0]))
    states, symbols, residuals, recurrence, later, after = (torch.cat(column) for column in zip(*columns, strict=True))
    inputs = inputs.cpu()
    to_find = model.task.layout.to_find(inputs)
    answers, after = (torch.where(to_find, decoded + 1, inputs) for decoded in (symbols, after))
    stays = (answers == after).all(-1)
    return Ends(states=states, answers=answers, residuals=residuals, recurrence=recurrence, later=later, stays=stays)


@torch.no_grad()
def _moved(model: Reasoner, inputs: Ids, restarts: Sequence[int], config: SolveConfig, lags: int) -> tuple[Tensor, ...]:
    """End states, decoded symbols from 0, residuals, recurrences, last residual, last symbols of some rows."""
    device = model.answer_head.device
    generators = [row_generator(config.seed, puzzle, k) for puzzle, k in zip(inputs.cpu(), restarts, strict=True)]
    z = torch.cat([model.init(1, generator) for generator in generators]).to(device)
    x, residuals, recurrence = model.embed(inputs.to(device)), [], []
    for _ in range(config.depth):
        for _ in range(model.config.updates_per_segment):
            before, z = z, model.update(z, x)
        residuals.append(relative_residual(z, before))
    end = z
    for _ in range(lags):
        before, z = z, model.update(z, x)
        recurrence.append(relative_residual(z, end))
    symbols, after = (model.decode(state).argmax(-1) for state in (end, z))
    later = relative_residual(z, before)
    found = (end, symbols, torch.stack(residuals, 1), torch.stack(recurrence, 1), later, after)
    return tuple(column.cpu() for column in found)


def right_rows(
    task: Task, puzzle: Int[Tensor, " L"], answers: Int[Tensor, "R L"], label: Int[Tensor, " L"] | None
) -> Bool[Tensor, " R"]:
    """Which answers are right: like the label, or without one by the task's own rules.

    Raises InputError if there is neither.
    """
    if label is not None:
        return (answers == label).all(-1)
    if not task.has_rules:
        raise InputError(
            f"{task.name} has no rules to check answers by: give the number of a puzzle of --data, which has its answer"
        )
    return task.is_solved(puzzle.expand_as(answers), answers)
