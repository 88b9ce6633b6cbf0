"""A run folder from start to end: puzzles, log, lock, resumption. What ``eqr train`` calls."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import torch

from eqr.checkpoint import STATE, load, write_atomically, write_text_atomically
from eqr.console import progress_bar
from eqr.data import Draws, Puzzles, collect, load_puzzles, read_labelled, save_puzzles
from eqr.errors import InputError
from eqr.model import Reasoner
from eqr.tasks import TASKS
from eqr.training.config import TrainConfig
from eqr.training.trainer import Budget, Record, Trainer

SEEDS = 1_000_000
"""Runs use the puzzle streams 0 to SEEDS - 1; the held-out puzzles come from one beyond."""
HELD_OUT_STREAM = 1_000_003
HELD_OUT, EVALUATED = 4_000, 128
"""Puzzles generated for held-out evaluation, and how many of each kind are used."""
LOG = "log.jsonl"


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


def puzzle_pool(config: TrainConfig, folder: Path, seed: int) -> Puzzles:
    """The run's generated puzzles, made once and kept in its folder."""
    path = folder / f"pool-{config.model.task}-{seed}-{config.pool}.npz"
    if path.exists():
        return load_puzzles(path)
    stream = TASKS[config.model.task].generate(seed, workers=os.cpu_count() or 1)
    with progress_bar("generating training puzzles", config.pool) as progress:
        pool = collect(stream, config.pool, progress)
    write_atomically(path, lambda part: save_puzzles(pool, part))
    return pool


def held_out_puzzles(config: TrainConfig) -> dict[str, Puzzles]:
    """Generated puzzles no run trains on: those that need no guess, and hard ones."""
    task = TASKS[config.model.task]
    puzzles = collect(task.generate(HELD_OUT_STREAM, workers=os.cpu_count() or 1), HELD_OUT)
    return {
        "no_guess": puzzles.where(puzzles.ratings == 0, EVALUATED),
        "hard": puzzles.where(puzzles.ratings >= config.hard_guesses, EVALUATED),
    }


def first_weights(config: TrainConfig, seed: int, start_from: str | None) -> Reasoner:
    """A new network, or the trained one in ``start_from``; raises InputError if that is another network."""
    if start_from is None:
        return Reasoner(config.model, torch.Generator().manual_seed(seed))
    model, trained = Reasoner(config.model), load(start_from).state_dict()
    ours = model.state_dict()
    for name in sorted(ours.keys() | trained.keys()):
        if name not in ours or name not in trained or ours[name].shape != trained[name].shape:
            raise InputError(
                f"--start-from {start_from}: its {name} does not fit the preset's network: they differ in size"
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
    train_data: list[str],
    eval_data: str | None,
    start_from: str | None,
    resume: bool,
    device: torch.device,
    report: Callable[[Record], None],
) -> Trainer:
    """Train in ``folder``; everything reported also goes to its ``log.jsonl``.

    Raises InputError when the folder is in use, holds another run, or cannot be written.
    """
    if not 0 <= seed < SEEDS:
        raise InputError(f"--seed {seed}: training seeds are 0 to {SEEDS - 1}")
    if resume and not (folder / STATE).exists():
        raise InputError(f"{folder} holds no run to resume: start without --resume")
    with locked(folder):
        if not resume and (folder / STATE).exists():
            raise InputError(f"{folder} already holds a run: go on with --resume, or choose another --out")
        task = TASKS[config.model.task]
        pool = puzzle_pool(config, folder, seed)
        extra = [read_labelled(path, task) for path in train_data]
        total = sum(len(puzzles) for puzzles in extra)
        extra_share = config.extra_share if extra else 0.0
        hard = pool.where(pool.ratings >= config.hard_guesses)
        sources = [
            (pool, 1 - extra_share - config.hard_share),
            (hard, config.hard_share),
            *((puzzles, extra_share * len(puzzles) / total) for puzzles in extra),
        ]
        draws = Draws(task, sources, config.reveal_share, config.reveal_most, seed)
        held_out = held_out_puzzles(config)
        if eval_data:
            held_out["eval_data"] = read_labelled(eval_data, task, 2 * EVALUATED)

        def logged(record: Record) -> None:
            try:
                with (folder / LOG).open("a") as log:
                    log.write(json.dumps(record) + "\n")
            except OSError as error:
                raise InputError(f"cannot write {folder / LOG} ({error.strerror}): cure that, then --resume") from error
            report(record)

        network = {f"model.{key}": value for key, value in asdict(config.model).items()}
        names = [Path(path).name for path in train_data]
        options = {key: value for key, value in asdict(config).items() if key != "model"}
        origin = Path(start_from).name if start_from else None
        identity = {**options, **network, "seed": seed, "train_data": names, "start_from": origin}
        model = first_weights(config, seed, None if resume else start_from)
        trainer = Trainer(config, budget, model, draws, held_out, folder, seed, identity, device, logged)
        if resume:
            trainer.resume()
            if trainer.progress() >= 1:
                spent = f"{trainer.step} steps, {trainer.seconds / 60:.2f} minutes"
                raise InputError(f"the budget is spent ({spent}): give more --minutes or --steps to go on")
            forget_after(folder / LOG, trainer.step)
        start = {"event": "start", "step": trainer.step, "minutes": round(trainer.seconds / 60, 3)}
        logged(
            {
                **start,
                "bf16": trainer.bf16,
                "threads": torch.get_num_threads(),
                "budget": asdict(budget),
                "run": identity,
            }
        )
        trainer.run()
        return trainer
