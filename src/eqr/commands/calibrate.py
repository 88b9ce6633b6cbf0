"""``eqr calibrate``: the halting thresholds and the settings with which a model answers best, kept with the model."""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console
from rich.table import Table

from eqr.commands.options import Answered, Compiled
from eqr.data.reading import read_text
from eqr.engine.config import NumberConfig
from eqr.errors import InputError
from eqr.measure.calibrate import LEAST, RUNS, Calibrated, calibrate, described
from eqr.runtime import stop_requests
from eqr.storage.checkpoint import CALIBRATION, folder_of, is_bundled, load, save_calibration, save_settings
from eqr.storage.files import write_text_atomically
from eqr.storage.hub import is_on_hub
from eqr.terminal.console import progress_bar


@dataclass(frozen=True, kw_only=True)
class Calibrate:
    """Measure how a model answers best, and keep that with the model: every command uses it from then on.

    Give puzzles similar to those you will solve, not trained on, and hard enough that the model fails on some. The
    thresholds need at least 100 puzzles that it solves.

    First come the thresholds of residual and halting logit beyond which answers are right (``--tol``, ``--delta``).
    Then settings are tried with these thresholds, from one start each: halting by residual; by the halting head; and,
    if the clues of the puzzles are fixed, by the halting head with suppositions (``--suppose`` 3, 4 and 6, each with
    two ``--guesses`` at a time; 3 with four; 2 with six). The highest exact accuracy wins; of equals, the fewest
    updates per puzzle. At last the winner is tried with more starts, and then with two and four times the segments;
    these are kept if their exact accuracy is higher. Halting rules of plugins are not tried.
    """

    model: tyro.conf.Positional[str]
    """Model folder or bundled model."""
    puzzles: Answered
    depth: int = 64
    """Most segments that a row may use at first."""
    breadth: int = 32
    """Most starts to try: the best setting is measured with breadth auto:K as well. 1: one start only."""
    json: str | None = None
    """Write thresholds, all tried settings and their figures to this file; - for standard output."""
    numbers: NumberConfig = field(default_factory=NumberConfig)
    machine: Compiled = field(default_factory=Compiled)

    def run(self) -> None:
        """Measure; then write calibration.json and the settings in config.json; then print the figures."""
        if self.json and not Path(self.json).parent.is_dir():
            raise InputError(f"--json {self.json}: the folder does not exist, create it first")
        folder = self._folder()
        measured = self._measured()
        _write(measured, folder)
        record = json.dumps(_record(measured, folder), indent=2)
        if self.json == "-":
            print(record)
            return
        Console().print(_table(measured))
        for sentence in _sentences(measured):
            print(sentence)
        if self.json:
            write_text_atomically(Path(self.json), record + "\n")
        chosen = measured.settings
        supposing = f"suppose {chosen.suppose}, guesses {chosen.guesses}"
        print(f"written to {folder}: depth {chosen.depth}, halt {chosen.halt}, {supposing}, breadth {chosen.breadth}")

    def _folder(self) -> Path:
        """The model's folder; raises InputError if nothing can be written there."""
        if is_on_hub(self.model):
            raise InputError(
                f"{self.model} is on the hub: copy it with `eqr push --model {self.model} --to FOLDER` first"
            )
        if is_bundled(self.model):
            raise InputError(
                f"{self.model} is a model of the package, which nothing may change: copy it with "
                f"`eqr push --model {self.model} --to FOLDER` first"
            )
        folder = folder_of(self.model)
        if not os.access(folder, os.W_OK):
            raise InputError(f"{folder} is not writable: copy the model to a folder of your own first")
        return folder

    def _measured(self) -> Calibrated:
        model = load(self.model, self.machine.ready())
        puzzles = self.puzzles.read(model.task)
        if len(puzzles) < LEAST and model.calibration and model.calibration.puzzles >= LEAST:
            raise InputError(
                f"{len(puzzles)} puzzles are too few for thresholds, which need {LEAST}, and {self.model} has those of "
                f"{model.calibration.puzzles} puzzles: give more puzzles, or delete its {CALIBRATION} first"
            )
        with progress_bar("calibrating", RUNS * len(puzzles)) as advance:
            return calibrate(
                model,
                puzzles,
                depth=self.depth,
                breadth=self.breadth,
                model_name=self.model,
                data_name=self.puzzles.name,
                compile=self.machine.compile,
                dtype=self.numbers.dtype,
                progress=advance,
            )


def _write(measured: Calibrated, folder: Path) -> None:
    """Writes thresholds and settings into the model's folder, both or neither."""
    path = folder / CALIBRATION
    earlier = read_text(path, "correct or delete it") if path.exists() else None

    def put_back() -> None:
        path.unlink(missing_ok=True) if earlier is None else write_text_atomically(path, earlier)

    with stop_requests(), ExitStack() as undo:  # a Ctrl-C between the two files comes too late
        undo.callback(put_back)
        save_calibration(measured.calibration, folder)
        save_settings(measured.settings, folder)
        undo.pop_all()


def _record(measured: Calibrated, folder: Path) -> dict[str, Any]:
    """The measured figures as JSON values."""
    tried = [{"chosen": report is measured.best, **report.record()} for report in measured.tried]
    return {
        "folder": str(folder),
        "calibration": asdict(measured.calibration),
        "solve": asdict(measured.settings),
        "tried": tried,
    }


def _table(measured: Calibrated) -> Table:
    """A row for each setting tried; the chosen one is marked."""
    first, best = measured.tried[0], measured.best
    title = f"{first.model} on {first.data}, {first.puzzles} puzzles, depth {first.config.depth}"
    rule = "* chosen: the highest exact accuracy; of equals, the fewest updates"
    table = Table(title=title, caption=rule, title_justify="left", caption_justify="left")
    judged = ("exact", "valid") if first.valid_accuracy is not None else ("exact",)
    table.add_column("setting")
    for name in (*judged, "updates\na puzzle", "restarts\na puzzle", "seconds"):
        table.add_column(name, justify="right")
    for report in measured.tried:
        shares = (report.exact_accuracy, report.valid_accuracy)
        table.add_row(
            ("* " if report is best else "  ") + described(report.config.settings),
            *(f"{share:.4f}" for share in shares if share is not None),
            f"{report.updates_per_puzzle:.1f}",
            f"{report.restarts_per_puzzle:.2f}",
            f"{report.seconds:.1f}",
            style="bold" if report is best else None,
        )
    return table


def _sentences(measured: Calibrated) -> Iterator[str]:
    """The thresholds, and the reasons for which settings were not tried."""
    calibration, best = measured.calibration, measured.best
    signs = (
        ("halting logit", "above", calibration.delta, calibration.delta_rows),
        ("residual", "below", calibration.tol, calibration.tol_rows),
    )
    if calibration.puzzles < LEAST:
        yield (
            f"{calibration.puzzles} puzzles are too few for thresholds, which need {LEAST}: only halting by residual "
            "was tried"
        )
    else:
        for sign, side, value, rows in signs:
            if value is None:
                yield f"no {sign} {side} which {calibration.precision:.1%} of at least {LEAST} rows are right"
            else:
                stopped = (
                    f"stops {rows} of {calibration.puzzles} rows, at least {calibration.precision:.1%} of them right"
                )
                yield f"{sign} {side} {value:.4g}: {stopped}"
        if calibration.delta is None:
            yield "without a threshold for the halting logit, only halting by residual was tried"
    if best.exact_accuracy == 1 and not best.config.adaptive:
        yield (
            "one start solves every puzzle, so more starts were not tried: puzzles on which the model fails would tell "
            "more"
        )
