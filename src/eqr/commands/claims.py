"""``eqr claims``: measures the paper's claims one by one, and writes a page of Markdown with tables and figures."""

import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from eqr.commands.flags import Folder
from eqr.commands.options import Threads
from eqr.commands.out import output_folder
from eqr.data.files import Puzzles, collect, read_labelled
from eqr.data.text import Columns
from eqr.errors import InputError
from eqr.paper.claims import CLAIMS, Claim, Laboratory, Measured, OutOfTime, trained_depth
from eqr.paper.claims.report import keep, kept, page
from eqr.runtime import CPU
from eqr.storage.checkpoint import folder_of, load
from eqr.storage.files import write_text_atomically
from eqr.tasks import Task
from eqr.terminal.console import progress_bar, waiting
from eqr.training.run import HELD_OUT_STREAM

GENERATED = 128
IMAGES = "images"


@dataclass(frozen=True, kw_only=True)
class Claims:
    """Test the paper's claims at the scale of this machine."""

    out: Folder[str] = "claims"
    """Folder for a JSON and a CSV file of each claim, and for trained models. A claim that is already there is measured
    again only if its settings have changed."""
    report: str | None = None
    """The page with tables, verdicts and figures; the figures go into the folder images beside the page. By default
    claims.md in --out."""
    budget: float = 30.0
    """Minutes after which no further training or measurement starts; the same command continues later."""
    model: str = "sudoku"
    """Trained Sudoku reasoner for the claims about compute and attractors: bundled model, model folder, or
    hf:user/name."""
    data: str | None = None
    """Puzzles for this reasoner: CSV or npz with answers, rated if possible; by default generated puzzles."""
    limit: int = GENERATED
    """Use the first N of these puzzles."""
    columns: Columns = field(default_factory=Columns)
    seeds: int = 2
    """Number of trainings of each variant that is compared with others."""
    boards: int = 200
    """Number of 6x6 Sudokus on which the trained variants are compared."""
    only: str | None = None
    """Numbers of the claims to measure, e.g. 3,4,9; by default all."""
    train_steps: int | None = None
    """Steps of each training; by default the preset's own (small_*)."""
    machine: Threads = field(default_factory=Threads)

    def run(self) -> None:
        """Measure, write, and print the verdicts."""
        started = time.monotonic()
        folder = output_folder("--out", self.out)
        for name in ("budget", "limit", "seeds", "boards"):
            if not vars(self)[name] > 0:
                raise InputError(f"--{name} {vars(self)[name]}: it must be more than 0")
        wanted = self._wanted()
        for claim in CLAIMS:
            _known(claim, folder)  # a damaged file is told before anything is measured
        threads = self.machine.set()
        model = load(self.model, CPU)
        lab = Laboratory(
            folder=folder,
            model=model,
            model_name=Path(self.model).name,
            trained_depth=trained_depth(folder_of(self.model)),
            puzzles=self._puzzles(model.task),
            data_name=Path(self.data).name if self.data else "generated puzzles",
            seeds=range(self.seeds),
            deadline=started + 60 * self.budget,
            threads=threads,
            boards=self.boards,
            train_steps=self.train_steps,
        )
        self._measure(lab, wanted)
        measured = {claim.number: result for claim in CLAIMS if (result := _known(claim, folder))}
        report = Path(self.report) if self.report else folder / "claims.md"
        with waiting("drawing"):
            write_text_atomically(report, page(CLAIMS, measured, _drawn(measured, report), self._opening()))
        Console().print(_table(measured))
        print(f"report in {report}")

    def _measure(self, lab: Laboratory, wanted: list[int]) -> None:
        def missing(claim: Claim) -> bool:
            known = _known(claim, lab.folder)
            return known is None or not claim.uses or known.settings != lab.settings(claim.uses, claim.protocol)

        claims = [claim for claim in CLAIMS if claim.number in wanted and missing(claim)]
        with progress_bar("measuring", len(claims)) as advance:
            for claim in claims:
                try:
                    result = claim.measure(lab)
                except OutOfTime:
                    print(f"claim {claim.number}: out of time; the same command continues")
                    continue
                keep(replace(result, settings=lab.settings(claim.uses, claim.protocol)), claim.number, lab.folder)
                print(f"claim {claim.number}, {claim.title}: {result.verdict}")
                advance(1, "")

    def _wanted(self) -> list[int]:
        numbers = [claim.number for claim in CLAIMS]
        if self.only is None:
            return numbers
        parts = self.only.split(",")
        if not all(part.strip().isdecimal() and int(part) in numbers for part in parts):
            raise InputError(f"--only {self.only}: give numbers of claims, 1 to {len(numbers)}, separated by commas")
        return [int(part) for part in parts]

    def _puzzles(self, task: Task) -> Puzzles:
        if self.data:
            with waiting("reading puzzles"):
                return read_labelled(self.data, task, self.limit, self.columns)
        with progress_bar("generating puzzles", self.limit) as advance:
            return collect(task, task.generate(HELD_OUT_STREAM + 2), self.limit, advance)

    def _opening(self) -> str:
        report = Path(self.report) if self.report else None
        names: dict[str, object] = {"report": report.name if report and report.is_absolute() else report}
        names |= {name: Path(vars(self)[name]).name for name in ("model", "data") if vars(self)[name]}
        given = names | {name: vars(self)[name] for name in ("limit", "seeds", "boards", "train_steps")}
        given |= {"threads": self.machine.threads}
        options = "".join(f" --{name.replace('_', '-')} {value}" for name, value in given.items() if value is not None)
        return (
            f"Written by `eqr claims{options}`. Each claim tells with what it was measured. Standard errors are those "
            "over puzzles, and a gain counts when it is more than two of them; seconds are the engine's wall-clock on "
            "this machine, whatever else it did."
        )


def _known(claim: Claim, folder: Path) -> Measured | None:
    """The measurement of a claim that is kept in the folder, if any; raises InputError as ``kept``."""
    return kept(claim.number, folder, claim.curve)


def _drawn(measured: dict[int, Measured], report: Path) -> dict[int, str]:
    """Draws the figures beside the report; returns their paths relative to the report."""
    from eqr.paper.claims.figures import draw  # matplotlib takes a second to import

    folder = output_folder("--report", str(report.parent / IMAGES))
    drawn = {}
    for claim in CLAIMS:
        result = measured.get(claim.number)
        if claim.curve and result and result.rows:
            drawn[claim.number] = f"{IMAGES}/claim_{claim.number:02}.png"
            draw(result.rows, claim.curve, claim.title, folder / f"claim_{claim.number:02}.png")
    return drawn


def _table(measured: dict[int, Measured]) -> Table:
    table = Table("claim", "", "verdict", "numbers")
    for claim in CLAIMS:
        result = measured.get(claim.number)
        outcome = (result.verdict, result.why) if result else ("not run", "")
        table.add_row(str(claim.number), claim.title, *outcome)
    return table
