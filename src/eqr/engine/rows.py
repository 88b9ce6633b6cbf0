"""The rows that iterate: they enter, move by a segment, and leave when their halting rule says so. Knows no queue.

A row can be parked between two segments and continued later in any slot, without a change to any bit of its evidence.
Each row takes depth, halting rule, seed and suppositions from its job; the other options are the same for all rows.
Rows under way come first in every tensor. When compiled, shapes never change: idle slots are computed too.
"""

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Literal, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from eqr.engine.config import SolveConfig
from eqr.engine.policy.halting import HaltInputs, settled
from eqr.engine.policy.suppose import Suppositions
from eqr.engine.segment import segment
from eqr.evidence import Evidence, History, Snapshot, ended
from eqr.model import Reasoner
from eqr.random import NOISE, SUPPOSE, Streams, row_key
from eqr.runtime import RowWorkers, can_compile, compiled

Latents = Literal["none", "end", "all"]
"""The latent states of a row to keep: none, the state at its end, or the states of all segments in its history."""

Compile = bool | Literal["kernel"]
"""True: the block's kernel in C++, or torch.compile if it has none;
"kernel": its kernel, or plain torch; False: plain torch."""


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
    suppositions: Suppositions | None
    seconds: float = 0.0
    history: list[Snapshot] = field(default_factory=list)
    parked: tuple[Tensor, ...] = ()
    """The row's values in the tensors of ``Rows``, while it has no slot."""


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
        device = model.answer_head.device
        call = model.fused() if compile else None
        compile = compile is True and call is None and can_compile(device)
        self.static = compile
        self.part = workers.rows_each(config.rows)
        slots = -(-config.rows // self.part) * self.part if compile else config.rows
        self.segment = compiled(segment) if compile else partial(segment, call=call)
        self.solver, self.thresholds = config.stepper, config.thresholds(model.calibration)
        self.rows: list[_Row] = []
        self.parked: dict[Job, _Row] = {}
        self.keys = Streams.of([0] * slots, device).keys
        self.z = model.init(Streams(self.keys))
        self.inputs = torch.zeros(slots, model.task.layout.width, dtype=torch.long)
        self.x = model.embed(self.inputs.to(device))
        self.memory = self.solver.init(self.z)
        self.logits = model.decode(self.z)
        self.halt_logit = model.halt_logit(self.z)
        self.age = torch.zeros(slots, dtype=torch.long, device=device)
        self.depth = self.age.clone()
        self.residuals = torch.full((slots, config.window), torch.inf, device=device)
        self.changes = self.residuals.clone()
        if compile:  # once, before several workers call it
            workers.map(self._advance, [slice(0, self.part)])

    @property
    def free(self) -> int:
        """Slots without a row."""
        return self.config.rows - len(self.rows)

    @property
    def cheap(self) -> int:
        """Rows that may enter without slowing down those under way."""
        return self.workers.rows_at_once(self.config.rows) - len(self.rows)

    @torch.inference_mode()
    def enter(self, jobs: list[Job]) -> None:
        """Start a row for each job; the rows of jobs that are parked continue."""
        self._start([job for job in jobs if job not in self.parked])
        for job in jobs:
            if row := self.parked.pop(job, None):
                for tensor, value in zip(self._tensors, row.parked, strict=True):
                    tensor[len(self.rows)] = value
                row.parked = ()
                self.rows.append(row)

    def _start(self, jobs: list[Job]) -> None:
        if not jobs:
            return
        rows = [
            _Row(
                job=job,
                suppositions=Suppositions(job.config.suppose) if job.config.suppose else None,
            )
            for job in jobs
        ]
        new = slice(len(self.rows), len(self.rows) + len(jobs))
        self.inputs[new] = torch.stack([job.puzzle for job in jobs])
        keys = (row_key(job.config.seed, job.puzzle, job.restart) for job in jobs)
        self.keys[new] = Streams.of(keys, self.keys.device).keys
        self.z[new] = self.model.init(Streams(self.keys[new]))
        self._see(new, self.inputs[new])
        self.age[new] = 0
        self.depth[new] = torch.tensor([job.config.depth for job in jobs]).to(self.depth.device)
        self.residuals[new] = torch.inf
        self.changes[new] = torch.inf
        self.rows += rows

    def _see(self, rows: slice, ids: Int[Tensor, "R L"]) -> None:
        """Give rows the question ``ids``; they keep their states, and the solver starts anew."""
        self.x[rows] = self.model.embed(ids.to(self.x.device))
        # The solver's memory belongs to the old map z <- f(z; x).
        for carried, fresh in zip(self.memory, self.solver.init(self.z[rows]), strict=True):
            carried[rows] = fresh

    def advance(self) -> list[tuple[Job, Snapshot]]:
        """Move every row by one segment; returns the snapshots of watched rows."""
        started, count = time.perf_counter(), len(self.rows)
        # Compiled code takes parts of one size; otherwise rows are spread evenly over the threads.
        size = self.part if self.static else min(self.part, -(-count // self.workers.threads))
        self.workers.map(self._advance, [slice(start, start + size) for start in range(0, count, size)])
        share = (time.perf_counter() - started) / count
        for row in self.rows:
            row.seconds += share
        return self._snapshots([at for at, row in enumerate(self.rows) if self.record or row.job.watched])

    @torch.inference_mode()
    def _advance(self, part: slice) -> None:
        part = slice(part.start, min(part.stop, len(self.z) if self.static else len(self.rows)))
        moved = self.segment(
            self.model, self.solver, self.z[part], self.x[part], tuple(m[part] for m in self.memory), self._noise(part)
        )
        change = (moved.logits - self.logits[part]).norm(dim=-1).mean(-1)
        self.z[part], self.logits[part], self.halt_logit[part] = moved.z, moved.logits, moved.halt_logit
        for carried, new in zip(self.memory, moved.memory, strict=True):
            carried[part] = new
        # Before a row's first segment there are no logits to compare with.
        change = torch.where(self.age[part] > 0, change, torch.inf)
        self.age[part] += 1
        self.residuals[part] = torch.cat([self.residuals[part, 1:], moved.residual.unsqueeze(1)], 1)
        self.changes[part] = torch.cat([self.changes[part, 1:], change.unsqueeze(1)], 1)

    def _noise(self, part: slice) -> Float[Tensor, "R U N C D"] | None:
        if not self.config.noise:
            return None
        streams = Streams(self.keys[part])
        return self.config.noise * streams.normal(NOISE, self.age[part], *self.model.noise_shape)

    @torch.inference_mode()
    def leave(self) -> list[tuple[Job, Evidence]]:
        """End the rows that halt or have reached full depth; returns the evidence of each."""
        count = len(self.rows)
        inputs = HaltInputs(
            residuals=self.residuals[:count],
            logit_changes=self.changes[:count],
            halt_logit=self.halt_logit[:count],
            depth=self.age[:count],
            thresholds=self.thresholds,
        )
        halts, free = self._suppose(self._sure(inputs))
        leaving = (halts | (inputs.depth == self.depth[:count])).nonzero().flatten()
        if not len(leaving):
            return []
        on_cpu = leaving.cpu()
        puzzles, answers = self.inputs[on_cpu], self._answers()[on_cpu]
        columns = {
            "residuals": inputs.residuals,
            "logit_changes": inputs.logit_changes,
            "halt_logit": inputs.halt_logit,
            "depth": inputs.depth,
            "converged": settled(inputs) & free,
            "halted": halts,
        }
        columns = {name: column[leaving].cpu() for name, column in columns.items()}
        valid = self.model.task.is_solved(puzzles, answers)
        # All rows in one Evidence, to compute the means at once; ``_evidence`` gives each its own puzzle.
        ends = ended(puzzle=puzzles[0], answers=answers, **columns, valid=valid)
        evidence = [self._evidence(ends, number, at) for number, at in enumerate(leaving.tolist())]
        for at in reversed(leaving.tolist()):  # from the end, since ``_close`` moves the last row
            self._close(at)
        return evidence

    def _evidence(self, ends: Evidence, number: int, at: int) -> tuple[Job, Evidence]:
        """The evidence of the row in slot ``at``, which is restart ``number`` of ``ends``."""
        row, alone = self.rows[at], ends.only(torch.tensor([number]))
        return row.job, replace(
            alone,
            puzzle=row.job.puzzle,
            seconds=row.seconds,
            histories=(History.stacked(row.history),) if self.record else (),
            states=self.z[at : at + 1].cpu().clone() if self.latents == "end" else None,
        )

    def _sure(self, inputs: HaltInputs) -> Bool[Tensor, " R"]:
        """True for the rows that their own halting rules would stop."""
        rules = [row.job.config.halting for row in self.rows]
        sure = torch.zeros_like(inputs.depth, dtype=torch.bool)
        for rule in dict.fromkeys(rules):
            its_own = torch.tensor([other == rule for other in rules], device=sure.device)
            sure = torch.where(its_own, rule.halts(inputs), sure)
        return sure

    def _suppose(self, sure: Bool[Tensor, " R"]) -> tuple[Bool[Tensor, " R"], Bool[Tensor, " R"]]:
        """Returns which rows halt, and which held no supposition in this segment; updates the suppositions."""
        halts, free = sure.clone(), torch.ones_like(sure)
        supposing = [(at, row.suppositions) for at, row in enumerate(self.rows) if row.suppositions]
        if not supposing:
            return halts, free
        to_find, sure_rows = self.model.task.layout.to_find(self.inputs), sure.tolist()
        chances = Streams(self.keys[: len(sure)]).uniform(SUPPOSE, self.age[: len(sure)]).tolist()
        for at, suppositions in supposing:
            free[at] = not suppositions.cells
            if suppositions.turn(sure_rows[at], self.logits[at], to_find[at], chances[at]):
                seen = self.inputs[at : at + 1].clone()
                for cell, symbol in suppositions.cells.items():
                    seen[0, cell] = symbol
                self._see(slice(at, at + 1), seen)
            halts[at] = suppositions.done
        return halts, free

    @torch.inference_mode()
    def drop(self, jobs: Collection[Job]) -> None:
        """End the rows of ``jobs``, if under way, without evidence."""
        if not jobs:
            return
        for job in jobs:
            self.parked.pop(job, None)
        for at in reversed(range(len(self.rows))):
            if self.rows[at].job in jobs:
                self._close(at)

    @torch.inference_mode()
    def park(self, jobs: Collection[Job]) -> None:
        """Take the rows of ``jobs`` out of their slots; ``enter`` continues them. Their states stay on the device."""
        for at in reversed(range(len(self.rows)) if jobs else ()):
            row = self.rows[at]
            if row.job in jobs:
                row.parked = tuple(tensor[at].clone() for tensor in self._tensors)
                self.parked[row.job] = row
                self._close(at)

    def _close(self, at: int) -> None:
        """Remove the row in slot ``at``; the last row takes the slot."""
        last = len(self.rows) - 1
        if at != last:
            self.rows[at] = self.rows[last]
            for tensor in self._tensors:
                tensor[at] = tensor[last]
        self.rows.pop()

    @property
    def _tensors(self) -> tuple[Tensor, ...]:
        """All that slots hold; axis 0 of each tensor counts slots."""
        marks = (self.age, self.depth, self.residuals, self.changes)
        return (self.keys, self.z, self.x, self.inputs, self.logits, self.halt_logit, *marks, *self.memory)

    def _answers(self) -> Int[Tensor, "R L"]:
        """Decoded ids of the rows under way, clues included where they are fixed, on the CPU."""
        inputs, decoded = self.inputs[: len(self.rows)], self.logits[: len(self.rows)].argmax(-1).cpu() + 1
        return torch.where(self.model.task.layout.to_find(inputs), decoded, inputs)

    @torch.inference_mode()
    def _snapshots(self, slots: list[int]) -> list[tuple[Job, Snapshot]]:
        """Takes a snapshot of the rows in ``slots`` and records it; returns the snapshots of watched rows."""
        if not slots:
            return []
        at = torch.tensor(slots).to(self.age.device)
        columns = {
            "answers": self._answers()[at.cpu()],
            "confidence": F.softmax(self.logits[at], -1).amax(-1),
            "residual": self.residuals[at, -1],
            "logit_change": self.changes[at, -1],
            "halt_logit": self.halt_logit[at],
        }
        if self.latents == "all":
            columns["z"] = self.z[at]
        columns = {name: column.cpu() for name, column in columns.items()}
        watched = []
        for number, slot in enumerate(slots):
            row = self.rows[slot]
            snapshot = Snapshot(**{name: column[number].clone() for name, column in columns.items()})
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
