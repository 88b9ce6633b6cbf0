"""What claims are measured with: puzzles, the large model, small ones trained when needed. Knows no claim.

Trained models are kept in a folder, so that a run that was stopped goes on where it was.
"""

import hashlib
import json
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
from eqr.storage.checkpoint import has_state, load, load_state
from eqr.tasks import task_of
from eqr.training.run import HELD_OUT_STREAM, identity_of, train

LARGE, SMALL, CLOCK = "large", "small", "clock"
"""What a measurement depends on: the large model and its puzzles, trained small models, the clock."""
Settings = dict[str, str]
"""What a claim was measured with."""
PROTOCOL = "protocol"
"""Key of the settings under which the claim's protocol stands."""
LARGE_MODEL = "the large model"
DIGITS = 12
"""Of a digest: enough to tell models and puzzles apart."""


class OutOfTime(Exception):
    """The budget is spent; what was trained so far is kept."""


@dataclass(frozen=True, kw_only=True)
class TracedRows:
    """A run at fixed depth."""

    ends: list[Evidence]
    """Without histories."""
    traces: Traces


@dataclass(kw_only=True)
class Laboratory:
    """What the measurements share.

    Kept in memory are the traces and last answers of rows that several claims look at, and no histories: some 35 bytes
    a segment of a row. Of all claims that is 60 KB for each puzzle of the large model, and with two seeds 120 KB for
    each 6x6 board.
    """

    folder: Path
    """Trained models are kept in its ``runs``."""
    model: Reasoner
    """A large, trained Sudoku reasoner: what depth, breadth and attractors are looked at with."""
    model_name: str
    trained_depth: int | None
    """The most segments it was trained with, if known."""
    puzzles: Puzzles
    """Its puzzles."""
    data_name: str
    seeds: Sequence[int]
    """Of every training that is compared with another."""
    deadline: float
    """No training and no measurement starts after this moment of ``time.monotonic``."""
    threads: int
    boards: int = 200
    """6x6 Sudokus that trained variants are compared on."""
    train_steps: int | None = None
    """Steps of each training; the preset's own by default."""
    said: Callable[[str], None] = field(default=print)
    """Told of each training and run."""
    known: dict[tuple[str, SolveConfig], TracedRows] = field(default_factory=dict)
    """What was run already: several claims look at the same rows."""

    def settings(self, uses: Sequence[str], protocol: str) -> Settings:
        """What a measurement that uses these parts depends on; an earlier one is as good if it had the same."""
        found: Settings = {}
        if LARGE in uses:
            found["model"] = f"{self.model_name} (weights {self._weights})"
            found["puzzles"] = f"the first {len(self.puzzles)} of {self.data_name} ({self._questions})"
        if SMALL in uses:
            steps = f"{self.train_steps} steps" if self.train_steps else "the presets' steps"
            found["small models"] = f"{len(self.seeds)} seeds, {steps}"
            found["boards"] = str(self.boards)
        if CLOCK in uses:
            found["threads"] = str(self.threads)
        return found | {PROTOCOL: protocol}

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
        """The preset trained with this seed: once, and kept; a run that was stopped, or shorter, goes on.

        Raises InputError if the folder holds a longer training, or that of another preset.
        """
        folder, chosen = self.folder / "runs" / f"{preset}-{seed}", PRESETS[preset]
        config = replace(chosen.train, steps=self.train_steps or chosen.train.steps, eval_minutes=1e4)
        going = has_state(folder)
        state = load_state(folder) if going else {"step": 0}
        identity = identity_of(chosen.model, config, seed, None, None)
        if state["step"] > config.steps or (going and state["identity"] != identity):
            raise InputError(
                f"{folder} holds a training of {state['step']} steps that is not the one asked for ({config.steps} "
                "steps of the present preset): choose another --out, or delete it"
            )
        if state["step"] < config.steps:
            self.in_time()
            self.said(f"training {preset}, seed {seed}: {config.steps} steps")
            train(chosen.model, config=config, out=folder, seed=seed, resume=going)
        return load(folder)

    def traced(self, config: SolveConfig, name: str = LARGE_MODEL, model: Reasoner | None = None) -> TracedRows:
        """All puzzles run at fixed depth: by the large model, or the 6x6 ones by ``model``, which ``name`` names."""
        if (name, config) not in self.known:
            ends: list[Evidence] = []
            chosen, puzzles = (model, self.small_puzzles) if model else (self.model, self.puzzles)

            def found() -> Iterator[Evidence]:
                for one in self._run(name, chosen, puzzles, config, record=True):
                    ends.append(replace(one, histories=()))
                    yield one

            traces = traces_of(found(), puzzles, config.window, config.thresholds(chosen.calibration).tol)
            self.known[name, config] = TracedRows(ends=ends, traces=traces)
        return self.known[name, config]

    def ended(self, config: SolveConfig) -> list[Evidence]:
        """Where the large model's rows end; not kept for other claims."""
        return list(self._run(LARGE_MODEL, self.model, self.puzzles, config, record=False))

    def _run(
        self, name: str, model: Reasoner, puzzles: Puzzles, config: SolveConfig, record: bool
    ) -> Iterator[Evidence]:
        self.in_time()
        noise = f", noise {config.noise:g}" if config.noise else ""
        self.said(
            f"solving {len(puzzles)} puzzles with {name}: depth {config.depth}, breadth {config.breadth}, "
            f"halt {config.halting.name}{noise}"
        )
        yield from evidence_stream(model, puzzles.batch().inputs, config, record=record)


def trained_depth(folder: Path) -> int | None:
    """The most segments of a row in the last training of a model, if its folder has kept the log."""
    path, found = folder / "log.jsonl", None
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            record = json.loads(line) if '"start"' in line else {}
            # Older logs call the options "config".
            found = (record.get("run") or record.get("config") or {}).get("max_segments", found)
    return found
