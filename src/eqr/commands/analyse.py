"""``eqr analyse``: a model's trajectories and their ends, as figures, tables and a summary. Measures nothing itself."""

import time
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from rich.console import Console

from eqr.analysis import (
    Ends,
    Spectrum,
    correlation_of_budgets,
    correlation_of_rows,
    easy_and_hard,
    explore,
    from_cold_start,
    from_random_starts,
    path_independence,
    residual_depth,
    right_rows,
    spectral_radius,
    spectrum,
    steps,
    traced,
    trajectory,
)
from eqr.commands.flags import Expert, Folder
from eqr.commands.options import Judged, Machine
from eqr.commands.out import output_folder
from eqr.data.files import read_labelled
from eqr.data.parsing import Refused, Text, read_puzzle
from eqr.data.text import Columns
from eqr.engine import SolveConfig
from eqr.engine.config import RowConfig
from eqr.errors import DISTRIBUTION, InputError
from eqr.model import Reasoner
from eqr.terminal.console import progress_bar, waiting
from eqr.terminal.pictures import save_animation

if TYPE_CHECKING:
    from eqr.analysis.writing import Written

LOOKED_AT = 16
"""Most starts of a single puzzle at which the spectral radius is computed."""


@dataclass(frozen=True, kw_only=True)
class Analyse:
    """Show whether trajectories settle, and on solutions: figures, tables and a summary (docs/attractors.md)."""

    data: str | None = None
    """CSV (question, answer, and rating if known), npz or folder of puzzles with answers."""
    puzzle: str | None = None
    """Analyse only this puzzle: its text, or its number in --data, from 1."""
    model: Judged = field(default_factory=Judged)
    limit: int = 64
    """Use the first N puzzles only."""
    columns: Columns = field(default_factory=Columns)
    depth: int = 64
    """Segments of every row."""
    breadth: int = 8
    """Random restarts of each puzzle of --data."""
    starts: Expert[int] = 256
    """Random starts of each puzzle whose basins are analysed."""
    out: Folder[str] = "analysis"
    """Folder for the figures (PNG, SVG), their numbers (CSV) and summary.json."""
    rows: RowConfig = field(default_factory=RowConfig)
    machine: Machine = field(default_factory=Machine)

    def run(self) -> None:
        """Write the files and print the headline figures."""
        from eqr.analysis.writing import Written  # matplotlib takes a second to import

        started = time.perf_counter()
        for name, least in (("breadth", 2), ("starts", 2)):
            if vars(self)[name] < least:
                raise InputError(f"--{name} {vars(self)[name]}: at least {least} are needed for comparisons")
        if self.data is None and self.puzzle is None:
            raise InputError("no puzzles are given: use --data F.csv, or --puzzle with a puzzle as text")
        config = SolveConfig(depth=self.depth, breadth=self.breadth, **vars(self.rows))
        model = self.model.load(self.machine.ready())
        source = Path(self.data).name if self.data else "one puzzle"
        written = Written(folder=output_folder("--out", self.out), title=f"{Path(self.model.model).name} on {source}")
        count = self._all(model, config, written) if self.puzzle is None else self._one(model, config, written)
        settings: dict[str, object] = {
            "data": self.data,
            "puzzle": self.puzzle,
            "starts": self.starts,
            "device": self.machine.device,
        }
        settings |= vars(self.model) | {name: config.named()[name] for name in ("depth", "breadth", *vars(self.rows))}
        settings |= {
            "puzzles": count,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "eqr_version": version(DISTRIBUTION),
        }
        Console().print(written.summarise(settings | {"seconds": round(time.perf_counter() - started, 1)}))
        print(f"figures, tables and summary.json are in {self.out}")

    def _all(self, model: Reasoner, config: SolveConfig, written: "Written") -> int:
        """Runs every analysis of many puzzles, and the landscapes of two of them; returns the number of puzzles."""
        from eqr.analysis import figures

        with waiting("reading puzzles"):
            puzzles = read_labelled(str(self.data), model.task, self.limit, self.columns)
        model = model.for_task(puzzles.task)
        with progress_bar("trajectories", len(puzzles)) as advance:
            traces = traced(model, puzzles, config, lambda done: advance(done, ""))
        right, taken = traces.exact[..., -1].flatten(), steps(traces)
        with waiting("drawing"):
            written.put("residual_depth", residual_depth(traces.residual.flatten(0, 1), right), figures.residual_depth)
            written.put("correlation_budgets", correlation_of_budgets(traces), figures.correlation_budgets)
            written.put("correlation_rows", correlation_of_rows(traces), figures.correlation_rows)
            written.put("steps", taken, figures.steps)
        anywhere = from_random_starts(model)
        if anywhere is not model:
            with progress_bar("random starts", len(puzzles)) as advance:
                traces = traced(anywhere, puzzles, config, lambda done: advance(done, ""))
        with progress_bar("cold start", len(puzzles)) as advance:
            cold = traced(from_cold_start(model), puzzles, replace(config, breadth=1), lambda done: advance(done, ""))
        written.put("path_independence", path_independence(traces, cold), figures.path_independence)
        with progress_bar("spectra", len(puzzles)) as advance:
            radii = spectrum(model, puzzles, config, lambda done: advance(done, ""))
        written.put("spectrum", radii, figures.spectrum)
        batch = puzzles.batch()
        for at in easy_and_hard(taken):
            self._landscape(model, batch.inputs[at], batch.labels[at], str(at + 1), config, written)
        return len(puzzles)

    def _one(self, model: Reasoner, config: SolveConfig, written: "Written") -> int:
        """Runs the analyses that a single puzzle allows; returns the number of puzzles, 1."""
        from eqr.analysis import figures

        model, puzzle, label, number = self._chosen(model)
        ends = self._landscape(model, puzzle, label, number, config, written)
        right = right_rows(model.task, puzzle, ends.answers, label)
        written.put("residual_depth", residual_depth(ends.residuals, right), figures.residual_depth, number)
        few = slice(0, LOOKED_AT)
        inputs = puzzle.expand(len(ends.answers), -1)[few]
        with progress_bar("spectra", len(inputs)) as advance:
            radius = spectral_radius(model, inputs, ends.states[few], self.rows.seed, lambda done: advance(done, ""))
        radii = Spectrum(radius=radius, right=right[few], residual=ends.residual[few])
        written.put("spectrum", radii, figures.spectrum, number)
        return 1

    def _chosen(self, model: Reasoner) -> tuple[Reasoner, torch.Tensor, torch.Tensor | None, str]:
        """The model on the puzzle's board, the puzzle, its label if known, its number in --data or an empty string."""
        text = str(self.puzzle)
        if text.isdecimal() and len(text) < model.task.layout.cells:
            number = int(text)
            if self.data is None:
                raise InputError(f"--puzzle {text} is the number of a puzzle in --data: give --data too, or a text")
            if number < 1:
                raise InputError(f"--puzzle {text}: puzzles count from 1")
            puzzles = read_labelled(self.data, model.task, number, self.columns)
            if number > len(puzzles):
                raise InputError(f"--puzzle {text}: {self.data} holds {len(puzzles)} puzzles, choose a lower number")
            batch = puzzles.batch()
            return model.for_task(puzzles.task), batch.inputs[-1], batch.labels[-1], str(number)
        read = read_puzzle(model.task, Text("--puzzle", text), model.for_task)
        if isinstance(read, Refused):
            raise read.error()
        return *read, None, ""

    def _landscape(
        self,
        model: Reasoner,
        puzzle: torch.Tensor,
        label: torch.Tensor | None,
        number: str,
        config: SolveConfig,
        written: "Written",
    ) -> Ends:
        """Writes the basins and one trajectory of a puzzle; returns the ends of its starts."""
        from eqr.analysis import figures
        from eqr.analysis.frames import animation

        with progress_bar(f"basins {number}", self.starts) as advance:
            basins, ends = explore(model, puzzle, label, self.starts, config, lambda done: advance(done, ""))
        with waiting(f"drawing {number}"):
            written.put("basins", basins, figures.basins, number)
            path = trajectory(model, puzzle, label, config)
            stem = written.put("trajectory", path, figures.strip_of(model.task), number)
            save_animation(*animation(model.task, path), stem.with_name(f"{stem.name}.gif"))
        return ends
