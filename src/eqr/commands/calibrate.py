"""``eqr calibrate``: thresholds for a model's residual and halting logit, kept with the model."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import tyro

from eqr.commands.options import Compiled
from eqr.data.files import read_labelled
from eqr.data.text import Columns
from eqr.engine import SolveConfig
from eqr.errors import InputError
from eqr.measure.calibrate import LEAST, calibrate
from eqr.storage.checkpoint import folder_of, load, save_calibration
from eqr.storage.hub import is_on_hub
from eqr.terminal.console import progress_bar


@dataclass(frozen=True, kw_only=True)
class Calibrate:
    """Measure the thresholds of halting beyond which a model's answers are right, and keep them with the model.

    These thresholds become the defaults of ``--tol`` and ``--delta``, and ``--breadth auto:K`` relies on them.
    """

    model: tyro.conf.Positional[str]
    """Model folder or bundled model."""
    data: str
    """Puzzles with answers, similar to those you will solve, and hard enough that the model fails on some."""
    depth: int = 64
    """Segments to run."""
    limit: int | None = None
    """Use the first N puzzles only."""
    columns: Columns = field(default_factory=Columns)
    machine: Compiled = field(default_factory=Compiled)

    def run(self) -> None:
        """Print the thresholds and write calibration.json."""
        config = SolveConfig(depth=self.depth, halt="fixed")
        if is_on_hub(self.model):
            raise InputError(
                f"{self.model} is on the hub: copy it with `eqr push --model {self.model} --to FOLDER` first"
            )
        folder, model = folder_of(self.model), load(self.model, self.machine.ready())
        if not os.access(folder, os.W_OK):
            raise InputError(f"{folder} is not writable: copy the model to a folder of your own first")
        puzzles = read_labelled(self.data, model.task, self.limit, self.columns)
        with progress_bar("calibrating", len(puzzles)) as advance:
            calibration = calibrate(
                model,
                puzzles,
                config,
                Path(self.data).name,
                compile=self.machine.compile,
                progress=lambda: advance(1, ""),
            )
        save_calibration(calibration, folder)
        signs = (
            ("halting logit", "above", calibration.delta, calibration.delta_rows),
            ("residual", "below", calibration.tol, calibration.tol_rows),
        )
        for sign, side, value, rows in signs:
            if value is None:
                print(f"no {sign} {side} which {calibration.precision:.1%} of at least {LEAST} rows are right")
            else:
                stopped = f"stops {rows} of {calibration.puzzles} rows, {calibration.precision:.1%} of them right"
                print(f"{sign} {side} {value:.4g}: {stopped}")
        measured = f"{calibration.puzzles} puzzles of {calibration.data}, depth {calibration.depth}"
        print(f"measured on {measured}; written to {folder}")
