"""``eqr claims``: the paper's claims, measured one after the other; a page of Markdown with tables and figures."""

import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from eqr.checkpoint import load, write_text_atomically
from eqr.claims import CLAIMS, Laboratory, Measured, OutOfTime
from eqr.claims.report import keep, kept, page
from eqr.commands.out import output_folder
from eqr.console import progress_bar
from eqr.data import Puzzles, collect, read_labelled
from eqr.errors import InputError
from eqr.runtime import CPU, set_threads
from eqr.tasks import Task
from eqr.training.session import HELD_OUT_STREAM

GENERATED = 128


@dataclass(frozen=True, kw_only=True)
class Claims:
    """Put the paper's claims to the test at the scale of this machine."""

    out: str = "claims"
    """Folder for claims.md, a JSON, CSV and PNG for each claim, and the models that are trained; what is there already
    is not measured again."""
    budget: float = 30.0
    """Minutes after which no further training or measurement starts; the same command goes on later."""
    model: str = "sudoku"
    """Trained Sudoku reasoner whose compute and attractors are looked at: bundled model, model folder, or
    hf:user/name."""
    data: str | None = None
    """Its puzzles: CSV or npz with answers, rated if possible; generated ones by default."""
    limit: int = GENERATED
    """Use so many of them."""
    seeds: int = 2
    """Trainings of each variant that is compared with another."""
    boards: int = 200
    """6x6 Sudokus that the trained variants are compared on."""
    only: str | None = None
    """Numbers of the claims to measure, e.g. 3,4,9; all by default."""
    train_steps: int | None = None
    """Steps of each training; by default the preset's own (small_*)."""
    threads: int | None = None
    """CPU threads; all by default."""

    def run(self) -> None:
        """Measure, write, and print the verdicts."""
        started = time.monotonic()
        folder = output_folder("--out", self.out)
        for name in ("budget", "limit", "seeds", "boards"):
            if not vars(self)[name] > 0:
                raise InputError(f"--{name} {vars(self)[name]}: more than 0 is needed")
        wanted = self._wanted()
        set_threads(self.threads)
        model = load(self.model, CPU)
        lab = Laboratory(
            folder=folder,
            model=model,
            puzzles=self._puzzles(model.task),
            seeds=range(self.seeds),
            deadline=started + 60 * self.budget,
            boards=self.boards,
            train_steps=self.train_steps,
        )
        self._measure(lab, wanted)
        measured = {claim.number: result for claim in CLAIMS if (result := kept(claim.number, folder))}
        pictures = {number: f"{number:02}.png" for number in measured if (folder / f"{number:02}.png").exists()}
        write_text_atomically(folder / "claims.md", page(CLAIMS, measured, pictures, self._settings()))
        Console().print(_table(measured))
        print(f"report in {folder / 'claims.md'}")

    def _measure(self, lab: Laboratory, wanted: list[int]) -> None:
        from eqr.claims.figures import draw  # matplotlib takes a second to import

        missing = [claim for claim in CLAIMS if claim.number in wanted and not kept(claim.number, lab.folder)]
        with progress_bar("measuring", len(missing)) as advance:
            for claim in missing:
                try:
                    result = claim.measure(lab)
                except OutOfTime:
                    print(f"claim {claim.number}: out of time; the same command goes on")
                    continue
                keep(result, claim.number, lab.folder)
                if claim.curve and result.rows:
                    draw(result.rows, claim.curve, claim.title, lab.folder / f"{claim.number:02}.png")
                print(f"claim {claim.number}, {claim.title}: {result.verdict}")
                advance(1, "")

    def _wanted(self) -> list[int]:
        numbers = [claim.number for claim in CLAIMS]
        if self.only is None:
            return numbers
        parts = self.only.split(",")
        if not all(part.strip().isdecimal() and int(part) in numbers for part in parts):
            raise InputError(f"--only {self.only}: numbers of claims, 1 to {len(numbers)}, with commas between them")
        return [int(part) for part in parts]

    def _puzzles(self, task: Task) -> Puzzles:
        if self.data:
            return read_labelled(self.data, task, self.limit)
        return collect(task, task.generate(HELD_OUT_STREAM + 2), self.limit)

    def _settings(self) -> str:
        data = Path(self.data).name if self.data else "generated puzzles"
        options = "".join(
            f" --{name} {value}"
            for name, value in (("model", self.model), ("data", data if self.data else None), ("limit", self.limit))
            if value is not None
        )
        return (
            f"Written by `eqr claims{options} --seeds {self.seeds}`: the large model is `{Path(self.model).name}` on "
            f"the first {self.limit} of {data}; small models are trained by presets, {self.seeds} seeds each. "
            f"Where the first quarter is used, one puzzle is {100 / max(1, self.limit // 4):.1f} points."
        )


def _table(measured: dict[int, Measured]) -> Table:
    table = Table("claim", "", "verdict", "numbers")
    for claim in CLAIMS:
        result = measured.get(claim.number)
        told = (result.verdict, result.why) if result else ("not run", "")
        table.add_row(str(claim.number), claim.title, *told)
    return table
