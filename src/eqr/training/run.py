"""A run folder from start to end: puzzles, log, lock, resumption. What ``eqr train`` calls in every process."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path

import torch

from eqr.data.files import Puzzles, collect, load_puzzles, read_labelled, save_puzzles
from eqr.data.sampler import PuzzleSampler
from eqr.distributed import Ranks
from eqr.errors import InputError
from eqr.model import Reasoner
from eqr.random import WEIGHTS, torch_stream
from eqr.runtime import CPU
from eqr.storage.checkpoint import has_state, load, misfit, write_atomically, write_text_atomically
from eqr.tasks import Task, task_named
from eqr.terminal.console import progress_bar
from eqr.training.config import Budget, TrainConfig
from eqr.training.growth import grown
from eqr.training.trainer import Record, Trainer

SEEDS = 1_000_000
"""Runs use the puzzle streams 0 to SEEDS - 1; the held-out puzzles come from one beyond."""
HELD_OUT_STREAM = 1_000_003
SEARCHED = 32
"""Puzzles generated for each held-out one: hard ones are rare."""
LOG = "log.jsonl"
INCIDENTAL = ("rows", "compile", "evaluated", "eval_depth", "default_minutes", "default_steps")
"""Options that a run may change when it is resumed: they do not enter the mathematics."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder for this process; raises InputError if another one has it."""
    import fcntl  # not on Windows, where all but training works

    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("w")
    except OSError as error:
        raise InputError(f"cannot use {folder} as the run's folder ({error.strerror}): choose another --out") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"another process is training in {folder}: wait for it or choose another --out") from None
        yield


def puzzle_pool(config: TrainConfig, task: Task, folder: Path, seed: int, ranks: Ranks) -> Puzzles:
    """The run's generated puzzles, made once by the first process and kept in the run's folder."""
    path = folder / f"pool-{task.name}-{seed}-{config.pool}.npz"
    if ranks.first and not path.exists():
        stream = task.generate(seed, workers=os.cpu_count() or 1)
        with progress_bar("generating training puzzles", config.pool) as progress:
            pool = collect(task, stream, config.pool, progress)
        write_atomically(path, lambda part: save_puzzles(pool, part))
    ranks.wait()
    return load_puzzles(path, task)


def training_sampler(
    config: TrainConfig, task: Task, folder: Path, seed: int, data: list[str], ranks: Ranks
) -> PuzzleSampler:
    """Where training puzzles of ``task`` come from, each source with its share of the draws."""
    extra = [read_labelled(path, task) for path in data]
    for puzzles, path in zip(extra, data, strict=True):
        if puzzles.task is not task:
            raise InputError(
                f"{path} holds {puzzles.task.name}, the run trains on {task.name}: give boards of its size"
            )
    total = sum(len(puzzles) for puzzles in extra)
    if not config.pool:
        sources = [(puzzles, len(puzzles) / total) for puzzles in extra]
    else:
        pool = puzzle_pool(config, task, folder, seed, ranks)
        extra_share = config.extra_share if extra else 0.0
        sources = [
            (pool, 1 - extra_share - config.hard_share),
            (pool.where(pool.ratings >= config.hard_guesses), config.hard_share),
            *((puzzles, extra_share * len(puzzles) / total) for puzzles in extra),
        ]
    return PuzzleSampler(task, sources, config.augment, config.reveal_share, config.reveal_most)


def held_out_puzzles(config: TrainConfig, eval_data: str | None) -> dict[str, Puzzles]:
    """Generated puzzles no run trains on, if the run trains on generated ones; and the first of ``eval_data``."""
    task, held_out = task_named(config.model.task, config.model.grid), {}
    if config.pool:
        held_out = generated_puzzles(config, task)
    return {**held_out, "eval_data": read_labelled(eval_data, task, 2 * config.evaluated)} if eval_data else held_out


def generated_puzzles(config: TrainConfig, task: Task) -> dict[str, Puzzles]:
    """Held-out puzzles: where ratings count guesses, those that need none and hard ones apart."""

    def first(count: int) -> Puzzles:
        return collect(task, task.generate(HELD_OUT_STREAM, workers=os.cpu_count() or 1), count)

    puzzles = first(config.evaluated)
    if puzzles.ratings.min() > 0:
        return {"generated": puzzles}
    puzzles = first(SEARCHED * config.evaluated)
    return {
        "no_guess": puzzles.where(puzzles.ratings == 0, config.evaluated),
        "hard": puzzles.where(puzzles.ratings >= config.hard_guesses, config.evaluated),
    }


def first_weights(config: TrainConfig, seed: int, start_from: str | None) -> Reasoner:
    """A new network, or the trained one in ``start_from``, grown to the preset's size (``growth``); raises InputError
    if that is another network.
    """
    generator = torch_stream(CPU, seed, WEIGHTS)
    model = Reasoner(config.model, generator)
    if start_from is None:
        return model
    trained = grown(model, load(start_from), generator)
    wrong = misfit(model, trained)
    if wrong:
        raise InputError(
            f"--start-from {start_from}: its {wrong} does not fit the preset's network: they differ in size"
        )
    model.load_state_dict(trained)
    return model


def forget_after(log: Path, step: int) -> None:
    """Drop what a killed run logged after its last checkpoint, so that the log tells how the weights came to be."""
    lines = log.read_text().splitlines(keepends=True) if log.exists() else []
    kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]
    write_text_atomically(log, "".join(kept))


def train(
    config: TrainConfig,
    budget: Budget,
    folder: Path,
    seed: int,
    data: list[str],
    eval_data: str | None,
    start_from: str | None,
    resume: bool,
    ranks: Ranks,
    device: torch.device,
    report: Callable[[Record], None],
) -> Trainer:
    """Train in ``folder``; everything reported also goes to its ``log.jsonl``. The first of ``ranks`` writes.

    Raises InputError when the folder is in use, holds another run, or cannot be written.
    """
    if not 0 <= seed < SEEDS:
        raise InputError(f"--seed {seed}: training seeds are 0 to {SEEDS - 1}")
    if resume and not has_state(folder):
        raise InputError(f"{folder} holds no run to resume: start without --resume")
    if data and config.grow_to > task_named(config.model.task, config.model.grid).layout.rows:
        raise InputError(
            f"{data[0]} holds boards of one size, and grow_to={config.grow_to} lets boards grow: set grow_to=0 "
            "or leave the data out"
        )
    ranks.share(config.slots)
    with locked(folder) if ranks.first else nullcontext():
        if not resume and has_state(folder):
            raise InputError(f"{folder} already holds a run: go on with --resume, or choose another --out")
        ranks.wait()

        def sampler_of(task: Task) -> PuzzleSampler:
            return training_sampler(config, task, folder, seed, data, ranks)

        held_out = held_out_puzzles(config, eval_data)

        def logged(record: Record) -> None:
            if not ranks.first:
                return
            try:
                with (folder / LOG).open("a") as log:
                    log.write(json.dumps(record) + "\n")
            except OSError as error:
                raise InputError(f"cannot write {folder / LOG} ({error.strerror}): cure that, then --resume") from error
            report(record)

        identity = identity_of(config, seed, data, start_from)
        model = first_weights(config, seed, None if resume else start_from)
        trainer = Trainer(config, budget, model, sampler_of, held_out, folder, seed, identity, ranks, device, logged)
        if resume:
            trainer.resume()
            if trainer.progress() >= 1:
                spent = f"{trainer.step} steps, {trainer.seconds / 60:.2f} minutes"
                raise InputError(f"the budget is spent ({spent}): give more --minutes or --steps to go on")
            if ranks.first:
                forget_after(folder / LOG, trainer.step)
        refuse_unequal_starts(trainer, ranks)
        start = {"event": "start", "step": trainer.step, "minutes": round(trainer.seconds / 60, 3)}
        used = {"bf16": trainer.passes.bf16, "processes": ranks.size, "threads": torch.get_num_threads()}
        logged({**start, **used, "budget": asdict(budget), "run": identity})
        trainer.run()
        return trainer


def refuse_unequal_starts(trainer: Trainer, ranks: Ranks) -> None:
    """Raises InputError unless all processes start with the same weights at the same step."""
    weights = sum(float(parameter.detach().double().sum()) for parameter in trainer.model.parameters())
    starts = ranks.gather(torch.tensor([[float(trainer.step), weights]], dtype=torch.double))
    if (starts != starts[0]).any():
        raise InputError(
            f"the processes start from different states of {trainer.folder} (steps {starts[:, 0].int().tolist()}): "
            "put the run on a file system that all of them see"
        )


def identity_of(config: TrainConfig, seed: int, data: list[str], start_from: str | None) -> Record:
    """What makes a run this run and no other; a resumed one must agree with it."""
    network = {f"model.{key}": value for key, value in asdict(config.model).items()}
    options = {key: value for key, value in asdict(config).items() if key not in ("model", *INCIDENTAL)}
    names = [Path(path).name for path in data]
    origin = Path(start_from).name if start_from else None
    return {**options, **network, "seed": seed, "data": names, "start_from": origin}
