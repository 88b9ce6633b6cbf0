"""``eqr train``: trains a model from a preset, within a budget, in a folder."""

import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import torch
import tyro

from eqr.commands.custom_task import CustomTask
from eqr.commands.flags import Expert, Folder
from eqr.commands.options import Machine
from eqr.data.text import Columns
from eqr.distributed import Ranks, joined_ranks
from eqr.errors import InputError
from eqr.presets import configured, of_board, preset_named
from eqr.runtime import keep_freed_memory
from eqr.terminal.console import progress_bar
from eqr.training.config import Preset, TrainConfig
from eqr.training.log import Record
from eqr.training.run import Trained, train
from eqr.training.trainer import Diverged, Stopped


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train a model from a preset."""

    preset: tyro.conf.Positional[str]
    """sudoku_once (Sudoku in one stage), maze_cpu, sudoku4_tiny for first steps, grid for your own puzzles
    (docs/own_puzzles.md), mini_arc_cpu (docs/arc.md), paper_sudoku and others of the published protocol
    (docs/paper.md); an unknown name lists them all."""
    out: Folder[str | None] = None
    """Folder of the run; by default runs/PRESET."""
    minutes: float | None = None
    """Budget in minutes, resumed time included; the learning-rate schedule follows the budget."""
    steps: int | None = None
    """Budget in optimizer steps, instead of minutes."""
    start_from: str | None = None
    """Start from the weights of this bundled model, model folder, or hf:user/name instead of new ones; it may have
    fewer blocks, and channels that divide the preset's."""
    resume: bool = False
    """Continue from the folder's last checkpoint."""
    tiny: bool = False
    """Scale the preset's width, batch and budget down to a run of two minutes on a CPU, to try things out."""
    set: list[str] = field(default_factory=list)
    """Changes to the preset: key=value, or model.key=value."""
    data: list[str] = field(default_factory=list)
    """Training puzzles, besides those that the preset generates: CSV or JSON lines (question, answer), npz (puzzles,
    solutions) or a folder that ``eqr data`` wrote."""
    eval_data: str | None = None
    """Puzzles for evaluation at intervals, of which the first 256 are used (``evaluated`` x 2); not for training."""
    columns: Columns = field(default_factory=Columns)
    own: CustomTask = field(default_factory=CustomTask)
    save_minutes: Expert[float] = 5.0
    """Minutes between checkpoints."""
    no_save_slots: Expert[bool] = False
    """Leave the slots out of checkpoints, which are small then; a resumed run goes on with the next puzzle of each
    slot."""
    eval_minutes: Expert[float] = 10.0
    """Minutes between evaluations."""
    log_seconds: Expert[float | None] = None
    """Seconds between lines of the log; by default 30, or less in a run of a few minutes."""
    seed: int = 0
    """Seed of weights, puzzles and starts."""
    machine: Machine = field(default_factory=Machine)

    def run(self) -> None:
        """Train; Ctrl-C saves the run and prints how to continue it."""
        if self.minutes is not None and self.steps is not None:
            raise InputError("both --minutes and --steps are given: give one of them")
        self.machine.set()
        task, described = self.own.read(self.preset, self.data, self.eval_data, self.columns)
        preset = preset_named(self.preset)
        if task is not None:
            preset = of_board(preset, task, self.own.block_for(self.preset))
        preset = configured(preset, self.set, self.tiny)
        config = self._budgeted(preset.train)
        if not config.pool and not self.data:
            raise InputError(
                f"the preset {self.preset} generates no puzzles: give --data, for instance a folder that "
                "`eqr data` wrote, or generate some with --set pool=100000"
            )
        folder = Path(self.out or f"runs/{self.preset}")
        with joined_ranks(self.machine.device, timedelta(minutes=30)) as (ranks, device):
            if described and ranks.first:
                print(described)
            keep_freed_memory()
            trained = self._train(Preset(model=preset.model, train=config), folder, ranks, device)
        if ranks.first:
            print(f"done: {trained.step} steps, {trained.seconds / 60:.2f} minutes; model in {folder}")

    def _budgeted(self, config: TrainConfig) -> TrainConfig:
        """The options with the budget and the intervals of the command line."""
        if self.minutes is not None:
            config = replace(config, minutes=self.minutes, steps=0)
        if self.steps is not None:
            if self.steps < 1:
                raise InputError(f"steps is {self.steps}: it must be more than 0")
            config = replace(config, steps=self.steps)
        usual = config.log_seconds if config.steps else min(config.log_seconds, 3 * config.minutes)
        return replace(
            config,
            save_minutes=self.save_minutes,
            save_slots=config.save_slots and not self.no_save_slots,
            eval_minutes=self.eval_minutes,
            log_seconds=self.log_seconds or usual,
        )

    def _train(self, preset: Preset, folder: Path, ranks: Ranks, device: torch.device) -> Trained:
        with ExitStack() as stack:
            bars: list[Callable[[float, str], None]] = []
            shown = 0.0

            def report(record: Record) -> None:
                nonlocal shown
                if record["event"] == "start":
                    bars.append(stack.enter_context(progress_bar(self.preset, 1.0)))
                else:
                    with suppress(BrokenPipeError):  # the reader of the pipe has ended: train on
                        print(_line(record), flush=True)
                spent = preset.train.progress(record["step"], 60 * record["minutes"])
                bars[0](spent - shown, "")
                shown = spent

            try:
                return train(
                    preset.model,
                    self.data or None,
                    config=preset.train,
                    eval_data=self.eval_data,
                    columns=self.columns,
                    out=folder,
                    resume=self.resume,
                    start_from=self.start_from,
                    seed=self.seed,
                    on_record=report,
                    ranks=ranks,
                    device=device,
                )
            except Stopped:
                if ranks.first:
                    print(f"saved in {folder}; continue with the same command and --resume", file=sys.stderr)
                raise
            except KeyboardInterrupt:
                print("stopped before there was anything new to save", file=sys.stderr)
                raise
            except Diverged as error:
                raise InputError(str(error)) from None


def _line(record: Record) -> str:
    """Formats a record for the console: ``step 120  minutes 1.5  loss 0.83 ...``."""
    shown = (f"{key} {value:.4g}" for key, value in record.items() if isinstance(value, float))
    return "  ".join([f"step {record['step']:>6}", *shown])
