"""``eqr bench``: speed of updates and training steps on this machine."""

import json
from dataclasses import asdict, dataclass, field

import torch
from rich.console import Console
from rich.table import Table

from eqr.commands.options import Threads
from eqr.errors import InputError
from eqr.measure.bench import Speed, measure_step, measure_update
from eqr.model import ModelConfig, Reasoner
from eqr.model.reasoner import HearingCall
from eqr.paper.presets import changed
from eqr.presets import PRESETS
from eqr.runtime import can_compile, pick_device
from eqr.terminal.console import progress_bar
from eqr.training.config import Preset
from eqr.training.loss import segment_loss
from eqr.types import State

UPDATES: dict[str, ModelConfig] = {
    "relation": PRESETS["sudoku_cpu"].model,
    "symbol": PRESETS["sudoku_symbol"].model,
    # As in the paper's Sudoku model (EqR section D.4): its width, and two blocks in each update.
    "mixer": ModelConfig(task="sudoku", block="mixer", channels=512, layers=2, token_hidden=512, expansion=4.0),
}
"""Blocks at their usual sizes; the updates of inference are measured."""
STEPS: dict[str, Preset] = {
    "sudoku_cpu": changed(PRESETS["sudoku_cpu"], rows=16),
    "paper_sudoku": changed(PRESETS["paper_sudoku"], rows=8),
}
"""Training runs; their passes over ``rows`` slots are measured."""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Measure updates of each block and training steps on the CPU, beside plain matrix products of the same sizes.

    Updates are measured with one thread and with all of them; if a block has a kernel in C++, with and without it."""

    no_compile: bool = False
    """Measure plain torch alone, without kernels and torch.compile."""
    rounds: int = 9
    """Number of measurements of each, in turn with the plain products; the median counts."""
    json: bool = False
    """Print JSON."""
    machine: Threads = field(default_factory=Threads)

    def run(self) -> None:
        """Print the table."""
        if self.rounds < 1:
            raise InputError(f"--rounds {self.rounds}: it must be at least 1")
        threads, compile = self.machine.set(), not self.no_compile and can_compile(pick_device("cpu"))
        updates: list[Speed] = []
        steps: list[Speed] = []
        with progress_bar("measuring", len(UPDATES) + len(STEPS)) as advance:
            for block in UPDATES:
                updates += measure_update(block, UPDATES[block], compile, self.rounds)
                advance(1, block)
            for preset in STEPS:
                steps.append(step_speed(preset, compile, self.rounds))
                advance(1, preset)
        if self.json:
            measured = {"blocks": updates, "training": steps}
            rows = {kind: [{**asdict(s), "share": s.share} for s in speeds] for kind, speeds in measured.items()}
            print(json.dumps({"threads": threads, "compiled": compile, **rows}, indent=2))
            return
        Console().print(_table(updates, "Updates", "block", "updates/s"))
        Console().print(_table(steps, "Training passes, forward and backward", "preset", "segments/s"))


def step_speed(preset: str, compile: bool, rounds: int) -> Speed:
    """Measures the speed of the training passes of a preset in STEPS."""
    model_config, config = STEPS[preset].model, STEPS[preset].train

    def loss(
        model: Reasoner,
        z: State,
        inputs: torch.Tensor,
        labels: torch.Tensor,
        noise: torch.Tensor | None,
        call: HearingCall | None,
    ) -> torch.Tensor:
        return segment_loss(model, z, inputs, labels, noise, config, call).loss

    return measure_step(preset, model_config, loss, config.rows, bool(config.noise), compile, rounds)


def _table(speeds: list[Speed], title: str, name: str, rate: str) -> Table:
    columns = (name, "form", "threads", "parameters", "rows", rate, "GFLOP/s", "torch.mm GFLOP/s", "share")
    table = Table(*columns, title=title, title_justify="left")
    for speed in speeds:
        rates = (f"{speed.per_second:.0f}", f"{speed.gflops:.1f}", f"{speed.mm_gflops:.1f}")
        sizes = (str(speed.threads), f"{speed.parameters:,}", str(speed.rows))
        table.add_row(speed.name, speed.form, *sizes, *rates, f"{speed.share:.0%}")
    return table
