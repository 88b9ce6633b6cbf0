"""The training loop: draw -> segment -> step -> average -> log, evaluate, save. Resuming changes no number."""

import math
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from eqr.data.files import Puzzles
from eqr.data.sampler import Sampler
from eqr.distributed import Ranks
from eqr.engine import SolveConfig
from eqr.engine.policy.suppose import doubted_cells
from eqr.errors import InputError, shown
from eqr.measure.evaluate import evaluate
from eqr.model import Reasoner
from eqr.runtime import row_workers, sent, sent_home, stop_requests
from eqr.storage.checkpoint import save
from eqr.storage.states import STATE, load_state, save_state
from eqr.tasks import Task
from eqr.training.carried import small, whole
from eqr.training.config import TrainConfig
from eqr.training.gradients import Passes
from eqr.training.kept import board_of, refuse_unfit
from eqr.training.log import Record
from eqr.training.loss import SegmentLoss
from eqr.training.optim import learning_rate_scale, make_average, update_average
from eqr.training.slots import Left, Slots


@dataclass(frozen=True)
class Sums:
    """The figures of a step, on which all processes agree."""

    step: int
    values: Callable[[], Tensor]
    """Waits for the sums of loss, slots left, solved puzzles, requests to stop, and time; then for the norm of the
    gradient, and for each slot of this process whether its puzzle left."""


RECENT = 200
"""Steps over which loss and solved share are averaged for the log."""


class Diverged(RuntimeError):
    """The loss or its gradient is not finite, or the loss far exceeds that of guessing; the last checkpoint is kept."""


class Stopped(KeyboardInterrupt):
    """The run was asked to stop, and has saved its state."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """The parts of a training run, built and checked before its first step."""

    model: Reasoner
    config: TrainConfig
    sampler_for: Callable[[Task], Sampler]
    """Returns the source of puzzles for a board; a run calls this again when its board grows."""
    held_out: dict[str, Puzzles]
    """Puzzles to evaluate on, by their name in the log."""
    folder: Path
    seed: int
    identity: Record
    """The options that a resumed run must repeat."""


class Trainer:
    """Carries out one run in one folder."""

    def __init__(self, run: Run, ranks: Ranks, device: torch.device, report: Callable[[Record], None]) -> None:
        """``report`` is called with each record of the log."""
        self.run, self.config, self.ranks, self.device, self.report = run, run.config, ranks, device, report
        self.folder = run.folder
        self.model = run.model.to(device).train()
        self.optimizers = self.config.make_optimizers(self.model, self.config.lr, self.config.weight_decay)
        self.average = make_average(self.model, self.config.ema)
        self.slots = self._slots()
        self.passes = Passes(self.model, self.config, ranks, device)
        if self.config.grow_to > self.model.task.layout.rows:
            self.model.task.larger()  # if there is none, raises InputError now rather than in the middle of the run
        self.step, self.logged_step = 0, 0
        self.seconds = self.saved = self.evaluated = self.logged = 0.0
        """Training time, and that at the last checkpoint, evaluation and line of the log."""
        self.losses: deque[float] = deque(maxlen=RECENT)
        self.left: deque[tuple[int, int]] = deque(maxlen=RECENT)

    def _slots(self, drawn: Sequence[int] = ()) -> Slots:
        sampler = self.run.sampler_for(self.model.task)
        return Slots(self.model, sampler, self.config, self.run.seed, self.ranks, self.device, doubted_cells, drawn)

    def progress(self) -> float:
        """Share of the budget spent, resumed time included."""
        return self.config.progress(self.step, self.seconds)

    def train(self) -> None:
        """Train to the end of the budget; saves at the end, at intervals, and when asked to stop.

        Raises Stopped, after saving, if asked to stop; raises Diverged without saving.
        """
        self._report_start()
        clock, started = time.monotonic, time.monotonic() - self.seconds
        self.saved = self.evaluated = self.logged = self.seconds
        sums: Sums | None = None
        with stop_requests() as stop_requested, row_workers(self.device) as workers:
            while self.progress() < 1:
                cold = not self.passes.warm
                passes = self.passes.begin(workers, self.model, self.slots, self.step)
                stop = self._read(sums)  # of the step before, while the device works
                result, norm = self.passes.finish(self.model, passes)
                left = self.slots.advance(self.step, result)
                if cold:  # compiling is set-up: it does not count against the budget
                    started = clock() - self.seconds
                sums = self._sums(result, norm, left, stop_requested(), clock() - started)
                self._apply()
                self.step += 1
                paused = clock()
                grow = self._should_grow()  # by earlier steps, also where this one is read now
                if grow or stop or self._due():
                    self._read(sums)
                    sums = None
                    self._pause(grow, stop)
                    started += clock() - paused
            self._read(sums)
            if self.step > self.logged_step:
                self._log(self.step)
            self.save()
        if self.evaluated < self.seconds:
            self._evaluate()

    def _sums(self, result: SegmentLoss, norm: Tensor, left: Left, stop: bool, seconds: float) -> Sums:
        """Starts to bring the figures of this step to the host."""
        # All processes must agree on these numbers; the time is the first process's.
        of_host = sent(torch.tensor([stop, seconds * self.ranks.first], dtype=torch.double), self.device)
        mine = torch.stack([result.loss.detach(), left.left.sum(), left.solved.sum()]).double()
        ours = self.ranks.sum(torch.cat([mine, of_host]))
        return Sums(self.step, sent_home(torch.cat([ours, norm.double().view(1), left.left.double()])))

    def _read(self, sums: Sums | None) -> bool:
        """Note the figures of a step, and bring the next puzzles of slots that it left; returns whether to stop."""
        if sums is None:
            return False
        loss, left, solved, stop, self.seconds, norm, *leaving = sums.values().tolist()
        self.losses.append(loss / self.ranks.size)
        self._refuse_divergence(sums.step, self.losses[-1], norm)
        self.left.append((int(left), int(solved)))
        self.slots.prepare([place for place, gone in enumerate(leaving) if gone])
        # At first more often, so that one soon sees whether a run learns.
        if self.seconds - self.logged >= min(self.config.log_seconds, max(1.0, self.seconds / 2)):
            self._log(sums.step + 1)
        return bool(stop)

    def _due(self) -> bool:
        """Whether it is time to evaluate or to save."""
        evaluation = self.seconds - self.evaluated >= 60 * self.config.eval_minutes
        return evaluation or self.seconds - self.saved >= 60 * self.config.save_minutes

    def _pause(self, grow: bool, stop: bool) -> None:
        """Do what is due between two steps; raises Stopped, after saving, if asked to ``stop``."""
        if grow:
            self._grow(self.model.task.larger())
        if self.seconds - self.evaluated >= 60 * self.config.eval_minutes:
            self._evaluate()
            self.evaluated = self.seconds
        if stop or self.seconds - self.saved >= 60 * self.config.save_minutes:
            self.save()
            self.saved = self.seconds
        if stop:
            self.ranks.wait()
            raise Stopped(f"stopped and saved in {self.folder}: --resume, or resume=True, goes on")

    def _should_grow(self) -> bool:
        """Whether enough of the puzzles that left recently were solved, and ``grow_to`` allows a larger board."""
        if len(self.left) < RECENT or self.model.task.layout.rows >= self.config.grow_to:
            return False
        left, solved = (sum(counts) for counts in zip(*self.left, strict=True))
        return bool(solved >= self.config.grow_at * max(1, left))

    def _grow(self, task: Task) -> None:
        """Continue on the board of ``task`` with the same weights and optimizers, and new slots."""
        drawn = self.slots.drawn
        self.model, self.average.module = self.model.for_task(task), self.averaged().for_task(task)
        self.slots = self._slots(drawn)
        self.left.clear()
        self.passes.warm = not self.passes.compiles

    def _apply(self) -> None:
        """Move the weights and their average."""
        config = self.config
        scale = learning_rate_scale(self.step, self.progress(), config.warmup_steps, config.decay_share)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = config.lr * scale
            optimizer.step()
            optimizer.zero_grad()
        update_average(self.average, self.model, first=self.step == 0)

    def _refuse_divergence(self, step: int, loss: float, norm: float) -> None:
        guessing = math.log(self.model.task.layout.symbols)
        mean = sum(self.losses) / len(self.losses)
        warm = step > self.config.warmup_steps + RECENT
        if math.isfinite(loss) and math.isfinite(norm) and not (warm and mean > 2 * guessing):
            return
        raise self._diverged(
            step, f"the loss is {loss:.3g} (guessing gives {guessing:.3g}), the norm of its gradient is {norm:.3g}"
        )

    def _diverged(self, step: int, fault: str) -> Diverged:
        saved = (self.folder / STATE).exists()
        lower = f"lower the learning rate, e.g. --set lr={min(self.config.lr / 2, TrainConfig.lr):g}"
        advice = lower if step else "nothing has been learned yet, so look at the block, the loss and the data"
        cure = f"the last good checkpoint in {self.folder} is kept: {advice} and --resume" if saved else advice
        return Diverged(f"step {step}: {fault}; {cure}")

    def _report_start(self) -> None:
        budget = (
            {"minutes": None, "steps": self.config.steps} if self.config.steps else {"minutes": self.config.minutes}
        )
        self.report(
            {
                "event": "start",
                "step": self.step,
                "minutes": round(self.seconds / 60, 3),
                "bf16": self.passes.bf16,
                "processes": self.ranks.size,
                "threads": torch.get_num_threads(),
                "budget": budget,
                "run": self.run.identity,
            }
        )

    def _log(self, step: int) -> None:
        updates = (step - self.logged_step) * self.config.slots * self.model.config.updates_per_segment
        seconds = self.seconds - self.logged
        self.logged_step, self.logged = step, self.seconds
        left = sum(left for left, _ in self.left)
        self.report(
            {
                "event": "train",
                "step": step,
                "minutes": round(self.seconds / 60, 3),
                "loss": round(sum(self.losses) / len(self.losses), 5),
                "solved": round(sum(solved for _, solved in self.left) / max(1, left), 4),
                "task": self.model.task.name,
                "lr": self.optimizers[0].param_groups[0]["lr"],
                "updates_per_second": round(updates / max(seconds, 1e-9), 1),
            }
        )

    def _evaluate(self) -> None:
        record: Record = {"event": "eval", "step": self.step, "minutes": round(self.seconds / 60, 3)}
        solving = SolveConfig(depth=self.config.eval_depth or self.config.max_segments)
        for name, puzzles in self.run.held_out.items():
            if len(puzzles):
                report = evaluate(self.averaged(), puzzles, solving, compile="kernel", ranks=self.ranks)
                record[name] = round(report.exact_accuracy, 4)
        self.report(record)

    def averaged(self) -> Reasoner:
        """The model with averaged weights, which the run evaluates and saves."""
        return cast(Reasoner, self.average.module)

    def save(self) -> None:
        """Write the averaged model and the whole state of the run; only the first process writes.

        Raises Diverged, and writes nothing, if a weight is not finite.
        """
        slots = self.slots.state()
        for name, weight in (*self.model.named_parameters(), *self.averaged().named_parameters()):
            if not torch.isfinite(weight).all():
                raise self._diverged(self.step, f"the weight {name!r} is not finite")
        if not self.ranks.first:
            return
        save(self.averaged(), self.folder)
        state = {
            "identity": self.run.identity,
            "step": self.step,
            "seconds": self.seconds,
            "bf16": self.passes.bf16,
            "task": self.model.task.name,
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "slots": slots,
            "losses": list(self.losses),
            "left": list(self.left),
        }
        save_state(state if self.config.save_slots else small(state), self.folder)

    def resume(self) -> None:
        """Continue from the folder's last good state; raises InputError if the state belongs to another run."""
        state = whole(load_state(self.folder, self._check))
        self.step, self.seconds, self.passes.bf16 = state["step"], state["seconds"], state["bf16"]
        self.logged_step = self.step
        task = board_of(state, self.model.task, self.config.grow_to)
        if task != self.model.task:
            self._grow(task)
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        for optimizer, values in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(values)
        self.slots.restore(state["slots"])
        if "z" not in state["slots"] and self.ranks.first:
            print(f"notice: {self.folder} keeps no slots: each goes on with its next puzzle", file=sys.stderr)
        self.losses.extend(state["losses"])
        self.left.extend(state["left"])

    def _check(self, state: Record) -> None:
        """Raises InputError unless this run can go on from ``state``."""
        self._refuse_another_run(state)
        config = self.config
        refuse_unfit(whole(state), self.model, self.average, self.optimizers, config.slots, config.grow_to)

    def _refuse_another_run(self, state: Record) -> None:
        """Raises InputError unless only the learning rate and its decay differ from the run that is resumed."""
        for key in sorted(state["identity"].keys() | self.run.identity.keys(), key=str):
            theirs, ours = state["identity"].get(key), self.run.identity.get(key)
            if key not in ("lr", "decay_share") and ours != theirs:
                raise InputError(
                    f"the run was trained with {shown(str(key))} {shown(str(theirs))}, this command says {ours}: "
                    f"repeat the options of the run, only lr and decay_share may change"
                )
