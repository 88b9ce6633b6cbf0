"""The rows that iterate: they enter, move by a segment, and leave when their halting rule says so. Knows no queue.

A row can be parked between two segments and continued later in any slot, without a change to any bit of its evidence.
Each row takes depth, halting rule, seed and suppositions from its job; the other options are the same for all rows.
Rows under way come first in every tensor. When compiled, shapes never change: idle slots are computed too.

Rows stay on the device. The host waits for it once a turn, for one table of all that it must know of each row; watched
rows take a second table.
"""

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice, repeat
from typing import Literal, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from eqr.engine.config import SolveConfig
from eqr.engine.policy.halting import HaltingRule
from eqr.engine.policy.suppose import FIRST, Due
from eqr.engine.segment import Compile, fastest
from eqr.engine.tensors import Parked, RowTensors
from eqr.engine.verdict import Column, Verdict, judge, on_host
from eqr.evidence import Evidence, History, Snapshot, ended
from eqr.model import Reasoner
from eqr.random import NOISE, SUPPOSE, Streams, row_key, uniform
from eqr.runtime import RowWorkers, rows_under_way, sent

Latents = Literal["none", "end", "all"]
"""The latent states of a row to keep: none, the state at its end, or the states of all segments in its history."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """One restart of one puzzle, to be iterated until it ends."""

    puzzle: Int[Tensor, " L"]
    """Symbol ids, 0 = blank."""
    restart: int
    config: SolveConfig
    """Options of the request, which give this row its depth, halting rule, seed and suppositions."""
    watched: bool = False
    """Whether the request wants a snapshot after each segment."""


@dataclass(kw_only=True)
class _Row:
    job: Job
    key: int
    rule: int
    """Number of its halting rule."""
    age: int = 0
    """Segments so far."""
    due: bool = False
    """Whether it may make a supposition after its next segment."""
    seconds: float = 0.0
    history: list[Snapshot] = field(default_factory=list)
    parked: Parked = ()

    @property
    def counts(self) -> tuple[int, ...]:
        """The row's numbers in ``RowTensors.counts`` before its first segment."""
        own = self.job.config.settings
        return (0, self.rule, own.suppose, own.guesses, FIRST * own.suppose, 0)


class Rows:
    """A fixed number of slots for rows."""

    @torch.inference_mode()
    def __init__(
        self,
        model: Reasoner,
        config: SolveConfig,
        workers: RowWorkers,
        compile: Compile = False,
        record: bool = False,
        latents: Latents = "none",
    ) -> None:
        """``record`` keeps histories; ``latents`` keeps states: at a row's end, or of every segment in its history."""
        self.model, self.config, self.workers = model, config, workers
        self.record, self.latents = record, latents
        self.slots = config.rows or rows_under_way(workers.device)
        self.part = workers.rows_each(self.slots)
        self.segment, self.static, _ = fastest(model, compile, config.bf16)
        self.solver, self.thresholds = config.stepper, config.thresholds(model.calibration)
        self.rows: list[_Row] = []
        self.parked: dict[Job, _Row] = {}
        self.rules: list[HaltingRule] = []
        """The halting rules of the rows since slots were last empty; a row holds the number of its own."""
        self.started = 0.0
        slots = -(-self.slots // self.part) * self.part if self.static else self.slots
        self.tensors = RowTensors(model, self.solver, slots, config.window)
        if self.static:  # compiles once, before several workers call it
            workers.map(self._advance, [slice(0, self.part)])

    @property
    def free(self) -> int:
        """Slots without a row."""
        return self.slots - len(self.rows)

    @property
    def cheap(self) -> int:
        """Rows that may enter without slowing down those under way."""
        return self.workers.rows_at_once(self.slots) - len(self.rows)

    @torch.inference_mode()
    def enter(self, jobs: list[Job]) -> None:
        """Start a row for each job; the rows of jobs that are parked continue."""
        self._start([job for job in jobs if job not in self.parked])
        if continued := [self.parked.pop(job) for job in jobs if job in self.parked]:
            self.tensors.put([row.parked for row in continued], len(self.rows))
            self.rows += continued
        for row in continued:
            row.parked = ()

    def _start(self, jobs: list[Job]) -> None:
        if not jobs:
            return
        if not self.rows and not self.parked:
            self.rules.clear()
        rows = [_Row(job=job, key=self._key(job), rule=self._number(job.config.halting)) for job in jobs]
        new, held = slice(len(self.rows), len(self.rows) + len(jobs)), self.tensors
        held.keys[new] = sent(Streams.of(row.key for row in rows).keys, held.device)
        held.counts[new] = sent(torch.tensor([row.counts for row in rows]), held.device)
        held.puzzle[new] = sent(torch.stack([job.puzzle for job in jobs]), held.device)
        held.supposed[new] = 0
        held.recent[new] = torch.inf
        held.z[new] = self.model.init(Streams(held.keys[new]), ids=held.puzzle[new])
        self._see(new)
        self.rows += rows

    def _key(self, job: Job) -> int:
        return row_key(job.config.seed, self.model.task.identity(job.puzzle), job.restart)

    def _number(self, rule: HaltingRule) -> int:
        if rule not in self.rules:
            self.rules.append(rule)
        return self.rules.index(rule)

    def _see(self, rows: slice | Tensor) -> None:
        """Show rows their puzzles with what they suppose; they keep their states, and the solver starts anew."""
        held = self.tensors
        supposed, puzzle = held.supposed[rows], held.puzzle[rows]
        held.x[rows] = self.model.embed(torch.where(supposed > 0, supposed, puzzle))
        # The solver's memory belongs to the old map z <- f(z; x).
        for carried, fresh in zip(held.memory, self.solver.init(held.z[rows]), strict=True):
            carried[rows] = fresh

    def advance(self) -> list[tuple[Job, Snapshot]]:
        """Move every row by one segment; returns the snapshots of watched rows."""
        self.started, count = time.perf_counter(), len(self.rows)
        # Compiled code takes parts of one size; otherwise rows are spread evenly over the threads.
        size = self.part if self.static else min(self.part, -(-count // self.workers.threads))
        self.workers.map(self._advance, [slice(start, start + size) for start in range(0, count, size)])
        for row in self.rows:
            row.age += 1
        return self._snapshots([at for at, row in enumerate(self.rows) if self.record or row.job.watched])

    @torch.inference_mode()
    def _advance(self, part: slice) -> None:
        held = self.tensors
        part = slice(part.start, min(part.stop, len(held.z) if self.static else len(self.rows)))
        memory = tuple(carried[part] for carried in held.memory)
        puzzle = held.puzzle[part]
        moved = self.segment(self.model, self.solver, held.z[part], held.x[part], puzzle, memory, self._noise(part))
        change = self.model.task.layout.mean_of_cells((moved.logits - held.logits[part]).norm(dim=-1), puzzle)
        # Before a row's first segment there are no logits to compare with.
        change = change.masked_fill(held.age[part] == 0, torch.inf)
        held.age[part] += 1
        newest = torch.stack([moved.residual, change], 1).unsqueeze(2)
        held.recent[part] = torch.cat([held.recent[part, :, 1:], newest], 2)
        held.z[part], held.logits[part], held.halt_logit[part] = moved.z, moved.logits, moved.halt_logit
        for carried, new in zip(held.memory, moved.memory, strict=True):
            carried[part] = new

    def _noise(self, part: slice) -> Float[Tensor, "R U N C D"] | None:
        if not self.config.noise:
            return None
        streams = Streams(self.tensors.keys[part])
        return self.config.noise * streams.normal(NOISE, self.tensors.age[part], *self.model.noise_shape)

    @torch.inference_mode()
    def leave(self) -> list[tuple[Job, Evidence]]:
        """End the rows that halt or have reached full depth; returns the evidence of each."""
        rules = {row.rule: self.rules[row.rule] for row in self.rows}
        suppose = any(row.job.config.suppose for row in self.rows)
        layout, count = self.model.task.layout, len(self.rows)
        verdict = judge(self.tensors, count, layout, rules, self.thresholds, suppose, self._due())
        share = (time.perf_counter() - self.started) / count
        leaving, changed = list[int](), list[int]()
        marks = zip(self.rows, *(mark.tolist() for mark in (verdict.halts, verdict.changed, verdict.due)), strict=True)
        for at, (row, halts, has_changed, due) in enumerate(marks):
            row.seconds += share
            row.due = bool(due)
            if halts or row.age == row.job.config.segments:
                leaving.append(at)
            elif has_changed:
                changed.append(at)
        if changed:
            self._see(self.tensors.index(changed))
        if not leaving:
            return []
        evidence = self._evidence(leaving, verdict.of(leaving))
        self._close(leaving)
        return evidence

    def _due(self) -> Due | None:
        """The rows that may make a supposition now, each with the chance that draws its cell."""
        due = [at for at, row in enumerate(self.rows) if row.due]
        if not due:
            return None
        keys, ages = zip(*((self.rows[at].key, self.rows[at].age) for at in due), strict=True)
        chances = torch.from_numpy(uniform(keys, SUPPOSE, ages))
        return Due(self.tensors.index(due), sent(chances, self.tensors.device))

    def _evidence(self, leaving: list[int], verdict: Verdict) -> list[tuple[Job, Evidence]]:
        """The evidence of the rows in the slots ``leaving``, each alone."""
        rows = [self.rows[at] for at in leaving]
        puzzles = torch.stack([row.job.puzzle for row in rows])
        answers = self._with_headers(puzzles, verdict.answers)
        ends = ended(
            puzzle=puzzles[0],
            answers=answers,
            residuals=torch.from_numpy(verdict.residuals),
            logit_changes=torch.from_numpy(verdict.logit_changes),
            halt_logit=torch.from_numpy(verdict.halt_logit),
            depth=torch.tensor([row.age for row in rows]),
            converged=torch.from_numpy(verdict.converged > 0),
            halted=torch.from_numpy(verdict.halts > 0),
            valid=self.model.task.is_solved(puzzles, answers),
        )
        states = (
            torch.split(self.tensors.z[self.tensors.index(leaving)].cpu(), 1) if self.latents == "end" else repeat(None)
        )
        histories = [(History.stacked(row.history),) if self.record else () for row in rows]
        return [
            (row.job, replace(alone, puzzle=row.job.puzzle, seconds=row.seconds, histories=history, states=state))
            for row, alone, history, state in zip(rows, ends.apart(), histories, states, strict=False)
        ]

    def _with_headers(self, puzzles: Int[Tensor, "R L"], boards: Column) -> Int[Tensor, "R L"]:
        """The answers with the headers of their puzzles, whose numbers may be too large for a table of float32."""
        return torch.cat([puzzles[:, : self.model.task.layout.rule_cells], torch.from_numpy(boards).long()], 1)

    @torch.inference_mode()
    def drop(self, jobs: Collection[Job]) -> None:
        """End the rows of ``jobs``, if under way, without evidence."""
        if not jobs:
            return
        for job in jobs:
            self.parked.pop(job, None)
        self._close(self._slots(jobs))

    @torch.inference_mode()
    def park(self, jobs: Collection[Job]) -> None:
        """Take the rows of ``jobs`` out of their slots; ``enter`` continues them. Their states stay on the device."""
        slots = self._slots(jobs) if jobs else []
        for at, values in zip(slots, self.tensors.taken(slots) if slots else [], strict=True):
            row = self.rows[at]
            row.parked = values
            self.parked[row.job] = row
        self._close(slots)

    def _slots(self, jobs: Collection[Job]) -> list[int]:
        return [at for at, row in enumerate(self.rows) if row.job in jobs]

    def _close(self, slots: list[int]) -> None:
        """Remove the rows in ``slots``, in ascending order; rows from the end take the slots before it."""
        count = len(self.rows) - len(slots)
        gaps = [at for at in slots if at < count]
        moving = [at for at in range(count, len(self.rows)) if at not in slots]
        if gaps:
            self.tensors.move(moving, gaps)
        for at, gap in zip(moving, gaps, strict=True):
            self.rows[gap] = self.rows[at]
        del self.rows[count:]

    @torch.inference_mode()
    def _snapshots(self, slots: list[int]) -> list[tuple[Job, Snapshot]]:
        """Takes a snapshot of the rows in ``slots`` and records it; returns the snapshots of watched rows."""
        if not slots:
            return []
        held, at = self.tensors, self.tensors.index(slots)
        confidence = F.softmax(held.logits[at], -1).amax(-1)
        latest = (held.residuals[at, -1], held.changes[at, -1], held.halt_logit[at])
        boards, *figures = on_host([held.answers(self.model.task.layout, at), confidence, *latest])
        names = ("answers", "confidence", "residual", "logit_change", "halt_logit", "z")
        answers = self._with_headers(torch.stack([self.rows[slot].job.puzzle for slot in slots]), boards)
        columns = [answers, *map(torch.from_numpy, figures)]
        columns += [held.z[at].cpu()] if self.latents == "all" else []
        watched = []
        for slot, *values in zip(slots, *columns, strict=True):
            row = self.rows[slot]
            snapshot = Snapshot(**dict(zip(names, values, strict=False)))
            if self.record:
                row.history.append(snapshot)
            if row.job.watched:
                watched.append((row.job, snapshot))
        return watched


@runtime_checkable
class Queue(Protocol):
    """The source of rows, and the receiver of their snapshots and evidence."""

    def preempted(self) -> list[Job]:
        """Rows to park, because others need their slots more; ``start`` returns these rows again later."""

    def start(self) -> Job | None:
        """The next needed row to start or to continue, or None."""

    def start_ahead(self, cheap: int) -> Iterator[Job]:
        """Yields rows for idle slots, which may turn out to be needed; ``cheap`` of them cost no time."""

    def ahead(self) -> list[Job]:
        """Rows under way that are not needed yet, in the order in which to stop them for needed ones."""

    def give_back(self, job: Job) -> None:
        """Take back a row that was stopped."""

    def dropped(self) -> list[Job]:
        """Rows under way that nobody needs any more."""

    def see(self, job: Job, snapshot: Snapshot) -> None:
        """Take a snapshot of a watched row."""

    def end(self, job: Job, evidence: Evidence) -> None:
        """Take a row's evidence."""


def turn(rows: Rows, queue: Queue) -> int:
    """One turn of the engine: fills free slots, moves all rows by a segment, hands in the evidence of rows that end.

    Returns the number of rows moved.
    """
    rows.park(queue.preempted())
    ahead = queue.ahead()
    needed = list(islice(iter(queue.start, None), rows.free + len(ahead)))
    stopped = ahead[: max(0, len(needed) - rows.free)]
    for job in stopped:
        queue.give_back(job)
    rows.drop(stopped)
    rows.enter(needed)
    rows.enter(list(islice(queue.start_ahead(rows.cheap), rows.free)))
    moved = len(rows.rows)
    if not moved:
        return 0
    for job, snapshot in rows.advance():
        queue.see(job, snapshot)
    for job, evidence in rows.leave():
        queue.end(job, evidence)
    rows.drop(queue.dropped())
    return moved
