"""The equipment for measuring claims: puzzles, the large model, small models trained when needed. Knows no claim.

Trained models are kept in a folder, so that a stopped run continues where it was.
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from eqr.analysis import Traces, traces_of
from eqr.data.files import Puzzles, collect
from eqr.engine import SolveConfig, evidence_stream
from eqr.errors import InputError
from eqr.evidence import Evidence
from eqr.model import Reasoner
from eqr.paper.presets import SMALL as PRESETS
from eqr.storage.checkpoint import load
from eqr.storage.states import has_state, load_state
from eqr.tasks import task_of
from eqr.training.log import LOG, lines_of
from eqr.training.run import HELD_OUT_STREAM, identity_of, train

LARGE, SMALL, CLOCK = "large", "small", "clock"
"""Parts on which a measurement may depend: the large model and its puzzles, trained small models, the clock."""
Settings = dict[str, str]
"""The settings of a measurement, by name."""
PROTOCOL = "protocol"
"""Name of the claim's protocol in the settings."""
LARGE_MODEL = "the large model"
DIGITS = 12
"""Digits of a digest, enough to tell models and puzzles apart."""


MOST_SEGMENTS = 2**20
"""Largest number of segments in a log that is believed."""


class OutOfTime(Exception):
    """The budget is spent; models trained so far are kept."""


@dataclass(frozen=True, kw_only=True)
class TracedRows:
    """A run of many puzzles at fixed depth."""

    ends: list[Evidence]
    """The evidence of each puzzle, without histories."""
    traces: Traces


@dataclass(kw_only=True)
class Laboratory:
    """The models, puzzles and runs that the measurements share.

    Memory holds the traces and last answers of rows that several claims use, but no histories: some 35 bytes for a
    segment of a row. For all claims, that is 60 KB for each puzzle of the large model and, with two seeds, 120 KB for
    each 6x6 board.
    """

    folder: Path
    """The folder of all measurements; trained models are kept in its subfolder ``runs``."""
    model: Reasoner
    """A large, trained Sudoku reasoner, for the claims about depth, breadth and attractors."""
    model_name: str
    trained_depth: int | None
    """Most segments of a row in the training of the large model, if known."""
    puzzles: Puzzles
    """The puzzles for the large model."""
    data_name: str
    seeds: Sequence[int]
    """Seeds of every training that is compared with others."""
    deadline: float
    """No training and no measurement starts after this moment of ``time.monotonic``."""
    threads: int
    boards: int = 200
    """Number of 6x6 Sudokus on which trained variants are compared."""
    train_steps: int | None = None
    """Steps of each training; by default the preset's own."""
    said: Callable[[str], None] = field(default=print)
    """Called with a line of text before each training and run."""
    known: dict[tuple[str, SolveConfig], TracedRows] = field(default_factory=dict)
    """The runs so far, since several claims use the same rows."""

    def settings(self, uses: Sequence[str], protocol: str) -> Settings:
        """The settings of a measurement that depends on the parts ``uses``; equal settings make equal measurements."""
        settings: Settings = {}
        if LARGE in uses:
            settings["model"] = f"{self.model_name} (weights {self._weights})"
            settings["puzzles"] = f"the first {len(self.puzzles)} of {self.data_name} ({self._questions})"
        if SMALL in uses:
            steps = f"{self.train_steps} steps" if self.train_steps else "the presets' steps"
            settings["small models"] = f"{len(self.seeds)} seeds, {steps}"
            settings["boards"] = str(self.boards)
        if CLOCK in uses:
            settings["threads"] = str(self.threads)
        return settings | {PROTOCOL: protocol}

    @cached_property
    def _weights(self) -> str:
        digest = hashlib.sha256(repr((self.model.config.named(), self.model.calibration, self.trained_depth)).encode())
        for name, value in sorted(self.model.state_dict().items()):
            digest.update(name.encode() + value.detach().cpu().float().numpy().tobytes())
        return digest.hexdigest()[:DIGITS]

    @cached_property
    def _questions(self) -> str:
        parts = (self.puzzles.questions, self.puzzles.answers, self.puzzles.ratings)
        return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()[:DIGITS]

    def in_time(self) -> None:
        """Raises OutOfTime when the budget is spent."""
        if time.monotonic() > self.deadline:
            raise OutOfTime

    @cached_property
    def small_puzzles(self) -> Puzzles:
        """Generated 6x6 Sudokus that no preset trains on."""
        task = task_of(PRESETS["small_eqr"].model.task)
        return collect(task, task.generate(HELD_OUT_STREAM + 1), self.boards)

    def trained(self, preset: str, seed: int) -> Reasoner:
        """The preset trained with this seed; trains it once and keeps it, and continues a stopped or shorter run.

        Raises InputError if the folder holds a longer training, or the training of another preset.
        """
        folder, chosen = self.folder / "runs" / f"{preset}-{seed}", PRESETS[preset]
        config = replace(chosen.train, steps=self.train_steps or chosen.train.steps, eval_minutes=1e4)
        going = has_state(folder)
        state = load_state(folder) if going else {"step": 0}
        identity = identity_of(chosen.model, config, seed, None, None)
        if state["step"] > config.steps or (going and state["identity"] != identity):
            raise InputError(
                f"{folder} holds a training of {state['step']} steps that is not the one needed ({config.steps} "
                "steps of the present preset): choose another --out, or delete the folder"
            )
        if state["step"] < config.steps:
            self.in_time()
            self.said(f"training {preset}, seed {seed}: {config.steps} steps")
            train(chosen.model, config=config, out=folder, seed=seed, resume=going)
        return load(folder)

    def traced(self, config: SolveConfig, name: str = LARGE_MODEL, model: Reasoner | None = None) -> TracedRows:
        """Runs the puzzles of the large model at fixed depth, or the 6x6 puzzles by ``model``, called ``name``."""
        if (name, config) not in self.known:
            ends: list[Evidence] = []
            chosen, puzzles = (model, self.small_puzzles) if model else (self.model, self.puzzles)

            def stream() -> Iterator[Evidence]:
                for evidence in self._run(name, chosen, puzzles, config, record=True):
                    ends.append(replace(evidence, histories=()))
                    yield evidence

            traces = traces_of(stream(), puzzles, config.window, config.thresholds(chosen.calibration).tol)
            self.known[name, config] = TracedRows(ends=ends, traces=traces)
        return self.known[name, config]

    def ended(self, config: SolveConfig) -> list[Evidence]:
        """Runs the large model's puzzles; returns the evidence of each, which is not kept for other claims."""
        return list(self._run(LARGE_MODEL, self.model, self.puzzles, config, record=False))

    def _run(
        self, name: str, model: Reasoner, puzzles: Puzzles, config: SolveConfig, record: bool
    ) -> Iterator[Evidence]:
        self.in_time()
        noise = f", noise {config.noise:g}" if config.noise else ""
        self.said(
            f"solving {len(puzzles)} puzzles with {name}: depth {config.segments}, breadth {config.breadth}, "
            f"halt {config.halting.name}{noise}"
        )
        yield from evidence_stream(model, puzzles.batch().inputs, config, record=record)


def trained_depth(folder: Path) -> int | None:
    """Most segments of a row in the last training of a model; None if its folder has no log."""
    segments = None
    for _, record in lines_of(folder / LOG):
        if record is not None and record.get("event") == "start":
            options = record.get("run") or record.get("config")  # as older logs call them
            found = options.get("max_segments") if isinstance(options, dict) else None
            segments = found if type(found) is int and 0 < found <= MOST_SEGMENTS else segments
    return segments
