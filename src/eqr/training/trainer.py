"""The training loop: draw -> segment -> step -> average -> log, evaluate, save. Resumes with the same numbers."""

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch

from eqr.checkpoint import STATE, load_state, save, save_state
from eqr.data import Draws, Puzzles
from eqr.engine import SolveConfig
from eqr.errors import InputError
from eqr.evaluate import evaluate
from eqr.model import Reasoner
from eqr.runtime import can_compile, compiled, has_fast_bf16, mixed_precision, row_workers, stop_requests
from eqr.training.config import TrainConfig
from eqr.training.loss import SegmentLoss, joined, segment_loss
from eqr.training.optim import make_average, make_optimizers
from eqr.training.schedule import learning_rate_scale
from eqr.training.slots import Slots
from eqr.types import State

Record = dict[str, Any]
RECENT = 200
"""Steps over which loss and solved share are averaged for the log."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """When to stop, and how often to report. Exactly one of ``minutes`` and ``steps`` is set."""

    minutes: float | None
    steps: int | None
    save_minutes: float = 5.0
    eval_minutes: float = 10.0
    log_seconds: float = 30.0

    def __post_init__(self) -> None:
        for name in ("minutes", "steps", "save_minutes", "eval_minutes", "log_seconds"):
            value = vars(self)[name]
            if value is not None and not value > 0:
                raise InputError(f"{name} is {value}: more than 0 is needed")


class Diverged(RuntimeError):
    """Loss or gradient is not finite, or the loss far above that of guessing; the last checkpoint is kept."""


class Stopped(KeyboardInterrupt):
    """The run was asked to stop, and has saved its state."""


class Trainer:
    """One training run in one folder."""

    def __init__(
        self,
        config: TrainConfig,
        budget: Budget,
        model: Reasoner,
        draws: Draws,
        held_out: dict[str, Puzzles],
        folder: Path,
        seed: int,
        identity: Record,
        device: torch.device,
        report: Callable[[Record], None],
    ) -> None:
        self.config, self.budget, self.held_out = config, budget, held_out
        self.folder, self.identity, self.report = folder, identity, report
        self.model = model.to(device).train()
        self.optimizers = make_optimizers(self.model, config.lr, config.weight_decay)
        self.average = make_average(self.model, config.ema)
        self.slots = Slots(self.model, draws, config, seed, device)
        self.parameters = list(self.model.parameters())
        compile = config.compile and can_compile(device)
        self.loss = compiled(segment_loss) if compile else segment_loss
        self.warm = not compile
        self.bf16 = config.bf16 and has_fast_bf16(device)
        self.step, self.logged_step, self.seconds = 0, 0, 0.0
        self.losses: deque[float] = deque(maxlen=RECENT)
        self.left: deque[float] = deque(maxlen=RECENT)

    def progress(self) -> float:
        """Share of the budget spent, resumed time included."""
        if self.budget.steps is not None:
            return self.step / self.budget.steps
        return self.seconds / (60 * cast(float, self.budget.minutes))

    def run(self) -> None:
        """Train to the end of the budget; saves at the end, at intervals, and when asked to stop.

        Raises Stopped when it was asked to stop, and Diverged, without saving.
        """
        clock, started = time.monotonic, time.monotonic() - self.seconds
        saved = evaluated = logged = self.seconds
        first_step = self.step
        with stop_requests() as stop_requested:
            while self.progress() < 1:
                self._train_step()
                if self.step == first_step + 1 and self.config.compile:
                    # Compiling is set-up: it does not count against the budget.
                    started = clock() - self.seconds
                self.seconds = clock() - started
                if self.seconds - logged >= self.budget.log_seconds:
                    self._log(self.seconds - logged)
                    logged = self.seconds
                if self.seconds - evaluated >= 60 * self.budget.eval_minutes:
                    self._evaluate()
                    evaluated = logged = clock() - started
                    self.logged_step = self.step
                if self.seconds - saved >= 60 * self.budget.save_minutes:
                    self.save()
                    saved = self.seconds
                if stop_requested():
                    self.save()
                    raise Stopped
            self.save()
        self._evaluate()

    def _train_step(self) -> None:
        config = self.config
        scale = learning_rate_scale(self.step, self.progress(), config.warmup_steps, config.decay_share)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = config.lr * scale
        starts = range(0, config.slots, config.rows)
        z = self.slots.noised()
        with row_workers(self.slots.device) as workers:
            if not self.warm:  # compile by a first pass, before several workers call it
                workers.map(lambda start: self._pass(z, start), [0])
                self.warm = True
            parts = workers.map(lambda start: self._pass(z, start), starts)
        for parameter, *gradients in zip(self.parameters, *(gradients for _, gradients in parts), strict=True):
            # Added in the order of the rows, so that threads change no bit.
            parameter.grad = torch.stack(gradients).sum(0) / len(starts)
        result = joined([part for part, _ in parts])
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), config.clip)
        self.losses.append(float(result.loss))
        self._refuse_divergence(self.losses[-1], float(norm))
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        self.average.update_parameters(self.model)
        self.left.extend(self.slots.advance(result).float().tolist())
        self.step += 1

    def _pass(self, z: State, start: int) -> tuple[SegmentLoss, tuple[torch.Tensor, ...]]:
        """Loss and gradients of one pass: ``config.rows`` slots from ``start``."""
        rows = slice(start, start + self.config.rows)
        with mixed_precision(self.slots.device, self.bf16):
            part = self.loss(
                self.model, z[rows], self.slots.inputs[rows], self.slots.labels[rows], self.config.halt_weight
            )
        return part, torch.autograd.grad(part.loss, self.parameters)

    def _refuse_divergence(self, loss: float, norm: float) -> None:
        guessing = math.log(self.model.task.layout.symbols)
        mean = sum(self.losses) / len(self.losses)
        warm = self.step > self.config.warmup_steps + RECENT
        if math.isfinite(loss) and math.isfinite(norm) and not (warm and mean > 2 * guessing):
            return
        kept = (self.folder / STATE).exists()
        cure = f"lower the rate, e.g. --set lr={self.config.lr / 2:g}"
        raise Diverged(
            f"step {self.step}: the loss is {loss:.3g} (guessing gives {guessing:.3g}), its gradient {norm:.3g}; "
            + (f"the last good checkpoint in {self.folder} is kept: {cure} and --resume" if kept else cure)
        )

    def _log(self, seconds: float) -> None:
        updates = (self.step - self.logged_step) * self.config.slots * self.config.model.updates_per_segment
        self.logged_step = self.step
        self.report(
            {
                "event": "train",
                "step": self.step,
                "minutes": round(self.seconds / 60, 3),
                "loss": round(sum(self.losses) / len(self.losses), 5),
                "solved": round(sum(self.left) / max(1, len(self.left)), 4),
                "lr": self.optimizers[0].param_groups[0]["lr"],
                "updates_per_second": round(updates / seconds, 1),
            }
        )

    def _evaluate(self) -> None:
        record: Record = {"event": "eval", "step": self.step, "minutes": round(self.seconds / 60, 3)}
        solving = SolveConfig(depth=32)
        for name, puzzles in self.held_out.items():
            if len(puzzles):
                report = evaluate(self.averaged(), puzzles, solving, "average", name)
                record[name] = round(report.exact_accuracy, 4)
        self.report(record)

    def averaged(self) -> Reasoner:
        """The model with averaged weights: what is evaluated and saved."""
        return cast(Reasoner, self.average.module)

    def save(self) -> None:
        """Write the averaged model and the whole state of the run."""
        save(self.averaged(), self.folder)
        save_state(
            {
                "identity": self.identity,
                "step": self.step,
                "seconds": self.seconds,
                "model": self.model.state_dict(),
                "average": self.average.state_dict(),
                "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
                "slots": self.slots.state(),
                "losses": list(self.losses),
                "left": list(self.left),
            },
            self.folder,
        )

    def resume(self) -> None:
        """Go on from the folder's state; raises InputError if it is another run's."""
        state = load_state(self.folder)
        self._refuse_another_run(state)
        self.step, self.seconds = state["step"], state["seconds"]
        self.logged_step = self.step
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        for optimizer, values in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(values)
        self.slots.restore(state["slots"])
        self.losses.extend(state["losses"])
        self.left.extend(state["left"])

    def _refuse_another_run(self, state: Record) -> None:
        """Only the learning rate and its decay may differ from the run that is resumed."""
        for key in sorted(state["identity"].keys() | self.identity.keys()):
            theirs, ours = state["identity"].get(key), self.identity.get(key)
            if key not in ("lr", "decay_share") and ours != theirs:
                raise InputError(
                    f"{self.folder} was trained with {key} {theirs}, this command says {ours}: "
                    f"repeat the options of the run, only lr and decay_share may change"
                )
