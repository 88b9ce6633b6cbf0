"""The rows that iterate: they enter, move by a segment, and leave when their halting rule says so. Knows no queue.

Depth, halting rule and seed are those of each row's job; the rest of the options is the same for all rows. Rows under
way are the first ones of every tensor. Shapes never change when compiled; idle rows are moved along.
"""

import time
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from eqr.engine.config import SolveConfig
from eqr.engine.policy.halting import HALTING, HaltInputs, settled
from eqr.engine.policy.suppose import Suppositions
from eqr.engine.queue import Job, PuzzleQueue, RowEnd, Snapshot, history_of
from eqr.engine.segment import segment
from eqr.model import Reasoner
from eqr.random import row_generator
from eqr.runtime import RowWorkers, can_compile, compiled

RULES = tuple(HALTING)
"""Halting rules by the number that a place keeps."""


@dataclass(kw_only=True)
class _Row:
    job: Job
    generator: torch.Generator
    suppositions: Suppositions | None
    seconds: float = 0.0
    history: list[Snapshot] = field(default_factory=list)


class Slots:
    """A fixed number of places for rows."""

    @torch.inference_mode()
    def __init__(self, model: Reasoner, config: SolveConfig, workers: RowWorkers, compile: bool, record: bool) -> None:
        self.model, self.config, self.workers, self.record = model, config, workers, record
        device = model.answer_head.device
        compile = compile and can_compile(device)
        self.static = compile
        self.part = workers.rows_each(config.rows)
        places = -(-config.rows // self.part) * self.part if compile else config.rows
        self.segment = compiled(segment) if compile else segment
        self.solver, self.thresholds = config.make_solver(), config.thresholds(model.calibration)
        self.rows: list[_Row] = []
        self.z = model.init(places, torch.Generator()).to(device)
        self.inputs = torch.zeros(places, model.task.layout.width, dtype=torch.long)
        self.x = model.embed(self.inputs.to(device))
        self.memory = self.solver.init(self.z)
        self.logits = model.decode(self.z)
        self.halt_logit = model.halt_logit(self.z)
        self.age = torch.zeros(places, dtype=torch.long, device=device)
        self.depth, self.rule = self.age.clone(), self.age.clone()
        self.residuals = torch.full((places, config.window), torch.inf, device=device)
        self.changes = self.residuals.clone()
        if compile:  # once, before several workers call it
            workers.map(self._advance, [slice(0, self.part)])

    @property
    def free(self) -> int:
        """Places without a row."""
        return self.config.rows - len(self.rows)

    @torch.inference_mode()
    def enter(self, jobs: list[Job]) -> None:
        """Start a row for each job."""
        if not jobs:
            return
        rows = [
            _Row(
                job=job,
                generator=row_generator(job.config.seed, job.puzzle, job.restart),
                suppositions=Suppositions(job.config.suppose) if job.config.suppose else None,
            )
            for job in jobs
        ]
        new = slice(len(self.rows), len(self.rows) + len(jobs))
        self.inputs[new] = torch.stack([job.puzzle for job in jobs])
        self.z[new] = torch.cat([self.model.init(1, row.generator) for row in rows]).to(self.z.device)
        self._see(new, self.inputs[new])
        self.age[new] = 0
        self.depth[new] = torch.tensor([job.config.depth for job in jobs]).to(self.depth.device)
        self.rule[new] = torch.tensor([RULES.index(job.config.halt) for job in jobs]).to(self.rule.device)
        self.residuals[new] = torch.inf
        self.changes[new] = torch.inf
        self.rows += rows

    def _see(self, rows: slice, ids: Int[Tensor, "R L"]) -> None:
        """Let rows go on from their states with these ids for a question, and the solver begin anew."""
        self.x[rows] = self.model.embed(ids.to(self.x.device))
        for carried, fresh in zip(self.memory, self.solver.init(self.z[rows]), strict=True):
            carried[rows] = fresh

    def advance(self) -> None:
        """Move every row by one segment."""
        started, count = time.perf_counter(), len(self.rows)
        size = self.part if self.static else min(self.part, -(-count // self.workers.threads))
        self.workers.map(self._advance, [slice(start, start + size) for start in range(0, count, size)])
        share = (time.perf_counter() - started) / count
        for row in self.rows:
            row.seconds += share
        noted = [at for at, row in enumerate(self.rows) if self.record or row.job.jobs.watch]
        if noted:
            self._note(noted)

    @torch.inference_mode()
    def _advance(self, part: slice) -> None:
        part = slice(part.start, min(part.stop, len(self.z) if self.static else len(self.rows)))
        z, memory, residual, logits, self.halt_logit[part] = self.segment(
            self.model, self.solver, self.z[part], self.x[part], tuple(m[part] for m in self.memory), self._noise(part)
        )
        change = (logits - self.logits[part]).norm(dim=-1).mean(-1)
        self.z[part], self.logits[part] = z, logits
        for carried, new in zip(self.memory, memory, strict=True):
            carried[part] = new
        # Before a row's first segment there are no logits to compare with.
        change = torch.where(self.age[part] > 0, change, torch.inf)
        self.age[part] += 1
        self.residuals[part] = torch.cat([self.residuals[part, 1:], residual.unsqueeze(1)], 1)
        self.changes[part] = torch.cat([self.changes[part, 1:], change.unsqueeze(1)], 1)

    def _noise(self, part: slice) -> Float[Tensor, "R U N C D"] | None:
        if not self.config.noise:
            return None
        noise = torch.zeros(part.stop - part.start, *self.model.noise_shape)
        for place, row in enumerate(self.rows[part]):
            torch.randn(self.model.noise_shape, generator=row.generator, out=noise[place])
        return noise.mul_(self.config.noise).to(self.z.device)

    @torch.inference_mode()
    def leave(self) -> list[tuple[Job, RowEnd]]:
        """End the rows that halt or have reached full depth, and give their evidence."""
        count = len(self.rows)
        residuals, age = self.residuals[:count], self.age[:count]
        signs = HaltInputs(residuals=residuals, halt_logit=self.halt_logit[:count], thresholds=self.thresholds)
        sure = torch.stack([HALTING[rule](signs) for rule in RULES]).gather(0, self.rule[None, :count])[0]
        halts, free = self._suppose(sure)
        leaving = (halts | (age == self.depth[:count])).nonzero().flatten()
        if not len(leaving):
            return []
        answers = self._answers()[leaving.cpu()]
        columns = (
            _recent_mean(residuals[leaving], age[leaving]),
            # The first segment of a row has no change.
            _recent_mean(self.changes[:count][leaving], age[leaving] - 1),
            self.halt_logit[leaving],
            age[leaving],
            (settled(signs) & free)[leaving],
            halts[leaving],
        )
        ends = []
        for at, answer, *values in zip(leaving.tolist(), answers, *(c.tolist() for c in columns), strict=True):
            row = self.rows[at]
            residual, logit_change, halt_logit, depth, converged, halted = values
            end = RowEnd(
                answer=answer,
                residual=residual,
                logit_change=logit_change,
                halt_logit=halt_logit,
                depth=depth,
                converged=converged,
                halted=halted,
                seconds=row.seconds,
                history=history_of(row.history) if self.record else None,
            )
            ends.append((row.job, end))
        for at in reversed(leaving.tolist()):
            self._close(at)
        return ends

    def _suppose(self, sure: Bool[Tensor, " R"]) -> tuple[Bool[Tensor, " R"], Bool[Tensor, " R"]]:
        """Which rows halt, and which suppose nothing; then let those that may take suppositions up, and let go."""
        halts, free = sure.clone(), torch.ones_like(sure)
        supposing = [(at, row.suppositions) for at, row in enumerate(self.rows) if row.suppositions]
        if not supposing:
            return halts, free
        to_find, said = self.model.task.layout.to_find(self.inputs), sure.tolist()
        for at, suppositions in supposing:
            free[at] = not suppositions.cells
            if suppositions.turn(said[at], self.logits[at], to_find[at], self.rows[at].generator):
                seen = self.inputs[at : at + 1].clone()
                for cell, symbol in suppositions.cells.items():
                    seen[0, cell] = symbol
                self._see(slice(at, at + 1), seen)
            halts[at] = suppositions.done
        return halts, free

    @torch.inference_mode()
    def drop(self, jobs: PuzzleQueue) -> None:
        """End the rows of one asker without evidence: nobody waits for it any more."""
        for at in reversed(range(len(self.rows))):
            if self.rows[at].job.jobs is jobs:
                self._close(at)

    def _close(self, at: int) -> None:
        """Let the last row take the place of one that has left."""
        last = len(self.rows) - 1
        if at != last:
            self.rows[at] = self.rows[last]
            tensors = (
                self.z,
                self.x,
                self.inputs,
                self.logits,
                self.halt_logit,
                self.age,
                self.depth,
                self.rule,
                self.residuals,
                self.changes,
            )
            for tensor in (*tensors, *self.memory):
                tensor[at] = tensor[last]
        self.rows.pop()

    def _answers(self) -> Tensor:
        """(R, L) decoded ids of the rows under way, clues included where they stand, on the CPU."""
        inputs, found = self.inputs[: len(self.rows)], self.logits[: len(self.rows)].argmax(-1).cpu() + 1
        return torch.where(self.model.task.layout.to_find(inputs), found, inputs)

    @torch.inference_mode()
    def _note(self, noted: list[int]) -> None:
        """Keep or tell what these rows have come to."""
        at = torch.tensor(noted).to(self.age.device)
        signs = (self.residuals[at, -1], self.changes[at, -1], self.halt_logit[at])
        columns = (self._answers()[at.cpu()], self.logits[at].softmax(-1).amax(-1), *signs)
        for place, *values in zip(noted, *(column.cpu() for column in columns), strict=True):
            row, moment = self.rows[place], Snapshot(*(value.clone() for value in values))
            if self.record:
                row.history.append(moment)
            if row.job.jobs.watch:
                row.job.jobs.watch(row.job.restart, moment)


def _recent_mean(values: Float[Tensor, "R W"], count: Tensor) -> Float[Tensor, " R"]:
    """Mean over each row's last ``count`` values; infinite where there is none."""
    width = values.shape[1]
    kept = torch.arange(width, device=values.device) >= width - count.unsqueeze(1)
    return torch.where(kept, values, 0.0).sum(1) / kept.sum(1).clamp(min=1) + torch.where(kept.any(1), 0.0, torch.inf)
