"""A training run from its data to its model. ``eqr.train`` and ``eqr train`` call ``train`` in every process.

The network, the sampler and the held-out puzzles are built and checked first; the trainer gets them as one ``Run``.
"""

import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, cast

import torch
from filelock import FileLock, Timeout

from eqr.data.files import Labelled, Puzzles, collect, labelled
from eqr.data.sampler import CheckedSampler, PuzzleSampler, Sampler, StreamSampler
from eqr.data.text import USUAL, Columns
from eqr.distributed import Ranks
from eqr.errors import InputError
from eqr.model import ModelConfig, Reasoner
from eqr.random import WEIGHTS, torch_stream
from eqr.runtime import CPU
from eqr.storage.checkpoint import holds_model, load, shapes_of
from eqr.storage.states import has_state
from eqr.storage.weights import misfit
from eqr.tasks import Task
from eqr.terminal.console import progress_bar, waiting
from eqr.training.config import INCIDENTAL, TrainConfig
from eqr.training.growth import grown
from eqr.training.log import LOG, Record, forget_after
from eqr.training.pool import puzzle_pool
from eqr.training.trainer import Run, Trainer

SEEDS = 1_000_000
"""Runs use the puzzle streams 0 to SEEDS - 1; the held-out puzzles come from a stream beyond these."""
HELD_OUT_STREAM = 1_000_003
SEARCHED = 32
"""Puzzles generated for each held-out puzzle, since hard puzzles are rare."""
Data: TypeAlias = Labelled | Sequence[str | Path | Puzzles] | Sampler | Iterable[tuple[object, object]]
"""Training puzzles: paths, sets, arrays of questions and answers, a sampler, or an iterable of pairs."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The outcome of a run."""

    model: Reasoner
    """The network with averaged weights, ready for inference."""
    log: list[Record]
    """Every record that this call logged, in order; a resumed run's file has those of before as well."""
    step: int
    seconds: float
    """Training time, earlier parts of a resumed run included."""


def train(
    model: ModelConfig | Reasoner,
    data: Data | None = None,
    *,
    config: TrainConfig | None = None,
    eval_data: Labelled | None = None,
    columns: Columns = USUAL,
    out: str | Path | None = None,
    resume: bool = False,
    start_from: str | None = None,
    seed: int = 0,
    on_record: Callable[[Record], None] = lambda record: None,
    ranks: Ranks = Ranks(),  # noqa: B008 - frozen
    device: torch.device = CPU,
) -> Trained:
    """Trains a network; every record also goes to ``log.jsonl`` in the run's folder.

    Args:
        model: The options of a new network, or a trained network to continue from (it is copied).
        data: Training puzzles: a path or several, a pair of arrays (questions, answers) of ids (B, L), an object with
            ``draw(rng)``, or any iterable of (question, answer). Without data they are generated (``config.pool``).
        config: Budget, optimizer, loss and all other options.
        eval_data: Puzzles for evaluation at intervals; the run does not train on them.
        columns: Columns of puzzles and answers in files whose header has other names.
        out: Folder of the run: model, log and state. Without a folder, nothing is kept on disk.
        resume: Continue from the folder's last checkpoint.
        start_from: Start from the weights of this bundled model, model folder, or hf:user/name; it may have fewer
            blocks, and channels that divide the network's.
        seed: Seed of weights, puzzles and starts.
        on_record: Called with every record of the log: a start, training figures, evaluations.
        ranks: The processes that share the run; the first one writes.
        device: The device of the network.

    Raises InputError if the folder is in use, holds another run, or cannot be written, and Diverged if the loss is not
    finite or far above that of guessing.
    """
    config = config or TrainConfig()
    with ExitStack() as stack:
        folder = Path(out) if out is not None else Path(stack.enter_context(tempfile.TemporaryDirectory()))
        _refuse_settings(config, seed, resume, folder)
        network = first_weights(model, seed, None if resume else start_from)
        _refuse_network(config, network, data)
        ranks.share(config.slots)
        if ranks.first:
            stack.enter_context(locked(folder))
        if not resume and has_state(folder):
            raise InputError(f"{folder} already holds a run: continue with --resume, or choose another --out")
        if not resume and holds_model(folder):
            raise InputError(f"{folder} already holds a model, which the run would replace: choose another --out")
        ranks.wait()

        def sampler_for(task: Task) -> Sampler:
            return training_sampler(config, task, folder, seed, data, ranks, columns)

        run = Run(
            model=network,
            config=config,
            sampler_for=sampler_for,
            held_out=held_out_puzzles(config, network.task, eval_data, columns, hidden=not ranks.first),
            folder=folder,
            seed=seed,
            identity=identity_of(network.config, config, seed, data, start_from),
        )
        log: list[Record] = []
        trainer = Trainer(run, ranks, device, _logger(folder, ranks, log, on_record))
        if resume:
            _resume(trainer, ranks)
        refuse_unequal_starts(trainer, ranks)
        trainer.train()
        return Trained(model=trainer.averaged().eval(), log=log, step=trainer.step, seconds=trainer.seconds)


def _refuse_settings(config: TrainConfig, seed: int, resume: bool, folder: Path) -> None:
    if not 0 <= seed < SEEDS:
        raise InputError(f"--seed {seed}: training seeds are 0 to {SEEDS - 1}")
    if resume and not has_state(folder):
        raise InputError(f"{folder} holds no run to resume: start without --resume")


def _refuse_network(config: TrainConfig, model: Reasoner, data: Data | None) -> None:
    if config.gradient_updates > model.config.updates_per_segment:
        raise InputError(
            f"gradient_updates is {config.gradient_updates}: a segment has {model.config.updates_per_segment} updates, "
            "0 stands for all of them"
        )
    if data is not None and config.grow_to > model.task.layout.rows:
        raise InputError(
            f"data holds boards of one size, and grow_to={config.grow_to} lets boards grow: set grow_to=0 "
            "or leave the data out"
        )


def first_weights(model: ModelConfig | Reasoner, seed: int, start_from: str | None) -> Reasoner:
    """Makes a new network, with the weights of ``start_from`` if given, grown to its size (``growth``), or copies a
    trained one, without what was measured of it. Raises InputError if the weights do not fit the network.
    """
    if isinstance(model, Reasoner):
        if start_from is not None:
            raise InputError(f"start_from={start_from!r}: the network given has weights already, leave it out")
        copied = deepcopy(model).requires_grad_()  # a loaded model is frozen
        copied.calibration = copied.settings = None
        return copied
    generator = torch_stream(CPU, seed, WEIGHTS)
    new = Reasoner(model, generator)
    if start_from is None:
        return new
    trained = grown(new, load(start_from, task=new.task), generator)
    wrong = misfit(shapes_of(new.state_dict()), shapes_of(trained))
    if wrong:
        raise InputError(f"--start-from {start_from}: its {wrong} does not fit the preset's network: the sizes differ")
    new.load_state_dict(trained)
    return new


def _logger(
    folder: Path, ranks: Ranks, kept: list[Record], on_record: Callable[[Record], None]
) -> Callable[[Record], None]:
    """Makes a function that keeps a record; in the first process it also writes the log and calls ``on_record``."""

    def logged(record: Record) -> None:
        kept.append(record)
        if not ranks.first:
            return
        try:
            with (folder / LOG).open("a") as log:
                log.write(json.dumps(record) + "\n")
        except OSError as error:
            raise InputError(f"cannot write {folder / LOG} ({error.strerror}): fix that, then --resume") from error
        on_record(record)

    return logged


def _resume(trainer: Trainer, ranks: Ranks) -> None:
    trainer.resume()
    if trainer.progress() >= 1:
        spent = f"{trainer.step} steps, {trainer.seconds / 60:.2f} minutes"
        raise InputError(f"the budget is spent ({spent}): give more --minutes or --steps to continue")
    if ranks.first:
        with waiting("reading the log"):
            forget_after(trainer.folder / LOG, trainer.step)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock the folder for this process; raises InputError if another process has locked it."""
    lock = FileLock(folder / ".lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(f"another process is training in {folder}: wait for it or choose another --out") from None
    except OSError as error:
        raise InputError(f"cannot use {folder} as the run's folder ({error.strerror}): choose another --out") from None
    try:
        yield
    finally:
        lock.release()


def training_sampler(
    config: TrainConfig,
    task: Task,
    folder: Path,
    seed: int,
    data: Data | None,
    ranks: Ranks,
    columns: Columns = USUAL,
) -> Sampler:
    """Makes the sampler of training puzzles of ``task``, which gives each source its share of the draws."""
    if isinstance(data, Sampler):
        return CheckedSampler(task, data)
    sets = _sets(data, task, columns)
    if sets is None:
        stream = StreamSampler(task, cast("Iterable[tuple[object, object]]", data))  # type: ignore[arg-type]
        return CheckedSampler(task, stream)
    total = sum(len(puzzles) for puzzles in sets)
    if not config.pool:
        sources = [(puzzles, len(puzzles) / total) for puzzles in sets]
    else:
        pool = puzzle_pool(task, folder, seed, config.pool, ranks)
        hard = pool.where(pool.ratings >= config.hard_guesses)
        if config.hard_share and not len(hard):
            raise InputError(
                f"hard_guesses is {config.hard_guesses:,}, and the hardest of the {len(pool):,} generated puzzles is "
                f"rated {pool.ratings.max():,}: lower it, raise pool, or set hard_share=0"
            )
        extra_share = config.extra_share if sets else 0.0
        sources = [
            (pool, 1 - extra_share - config.hard_share),
            (hard, config.hard_share),
            *((puzzles, extra_share * len(puzzles) / total) for puzzles in sets),
        ]
    return PuzzleSampler(task, sources, config.augment, config.reveal_share, config.reveal_most)


def _sets(data: Data | None, task: Task, columns: Columns) -> list[Puzzles] | None:
    """The sets of puzzles that ``data`` names or holds; None if ``data`` is an iterable of single puzzles."""
    if data is None:
        return []
    if isinstance(data, Sequence) and all(isinstance(part, str | Path | Puzzles) for part in data):
        parts = [data] if isinstance(data, str) else list(cast("Sequence[Labelled]", data))
    elif isinstance(data, Path | Puzzles | tuple | list):
        parts = [cast(Labelled, data)]
    else:
        return None
    with waiting("reading training puzzles"):
        sets = [labelled(part, task, columns=columns) for part in parts]
    for puzzles, part in zip(sets, parts, strict=True):
        if puzzles.task.layout != task.layout:
            name = part if isinstance(part, str | Path) else "the data"
            raise InputError(
                f"{name} holds {puzzles.task.name}, the run trains on {task.name}: give boards of that size"
            )
    return sets


def held_out_puzzles(
    config: TrainConfig, task: Task, eval_data: Labelled | None, columns: Columns = USUAL, hidden: bool = False
) -> dict[str, Puzzles]:
    """Generated puzzles that no run trains on, if this run has a pool, and the first puzzles of ``eval_data``.

    Shows on a terminal how far it is, unless ``hidden``.
    """
    held_out = generated_puzzles(config, task, hidden) if config.pool else {}
    if eval_data is not None:
        with waiting("reading puzzles for evaluation", hidden):
            held_out["eval_data"] = labelled(eval_data, task, 2 * config.evaluated, columns)
    return held_out


def generated_puzzles(config: TrainConfig, task: Task, hidden: bool = False) -> dict[str, Puzzles]:
    """Generates held-out puzzles; where ratings count guesses, separates hard puzzles from those without guesses."""

    def first(count: int) -> Puzzles:
        stream = task.generate(HELD_OUT_STREAM, workers=os.cpu_count() or 1)
        with progress_bar("generating puzzles for evaluation", count, hidden) as progress:
            return collect(task, stream, count, progress)

    puzzles = first(config.evaluated)
    if puzzles.ratings.min() > 0:
        return {"generated": puzzles}
    puzzles = first(SEARCHED * config.evaluated)
    return {
        "no_guess": puzzles.where(puzzles.ratings == 0, config.evaluated),
        "hard": puzzles.where(puzzles.ratings >= config.hard_guesses, config.evaluated),
    }


def refuse_unequal_starts(trainer: Trainer, ranks: Ranks) -> None:
    """Raises InputError unless all processes start with the same weights, finite ones, at the same step."""
    for name, parameter in trainer.model.named_parameters():
        if not torch.isfinite(parameter).all():
            raise InputError(f"the network to start from has a weight {name!r} that is not finite: give another one")
    weights = sum(float(parameter.detach().double().sum()) for parameter in trainer.model.parameters())
    starts = ranks.gather(torch.tensor([[float(trainer.step), weights]], dtype=torch.double))
    if (starts != starts[0]).any():
        raise InputError(
            f"the processes start from different states of {trainer.folder} (steps {starts[:, 0].int().tolist()}): "
            "put the run on a file system that all of them see"
        )


def identity_of(
    model: ModelConfig, config: TrainConfig, seed: int, data: Data | None, start_from: str | None
) -> Record:
    """The options that identify a run; a resumed run must repeat them."""
    network = {f"model.{key}": value for key, value in model.named().items()}
    options = {key: value for key, value in config.named().items() if key not in INCIDENTAL}
    parts = [data] if isinstance(data, str | Path) else data if isinstance(data, list | tuple) else []
    names = [Path(part).name for part in parts if isinstance(part, str | Path)]
    origin = Path(start_from).name if start_from else None
    return {**options, **network, "seed": seed, "data": names, "start_from": origin}
