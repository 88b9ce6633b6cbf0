"""Named training runs. A new preset is one entry of the dict; ``configured`` applies changes to a preset."""

import contextlib
import io
from dataclasses import fields
from typing import Any

import tyro

from eqr.errors import InputError, registered, unknown
from eqr.model import ModelConfig
from eqr.model.blocks import BLOCKS
from eqr.paper.presets import PAPER, SMALL, changed
from eqr.tasks import Task
from eqr.training.config import Preset, TrainConfig

# Continues from sudoku_cpu, on harder draws. Damping, and slots that keep solved puzzles, make solutions hold still.
# The learning rate does not decay: with decay to 0 and no hints, wrong answers settled too (docs/record.md).
SETTLE = Preset(
    model=ModelConfig(task="sudoku", block="relation", channels=32, layers=2, damping=0.2),
    train=TrainConfig(
        max_segments=32,
        leave_probability=0.2,
        pool=100_000,
        lr=2e-3,
        decay_share=0.0,
        ema=0.999,
        hard_share=0.15,
        extra_share=0.5,
        reveal_share=0.3,
        minutes=40.0,
    ),
)

# The bundled model. Continues from sudoku_settle with two more blocks, which do nothing at first, with more of the
# hardest draws, and with hints. The last minutes gain more than all before (docs/record.md): let the rate decay.
DEEP = changed(
    SETTLE,
    {"layers": 4},
    decay_share=0.15,
    hard_share=0.1,
    extra_share=0.8,
    reveal_share=0.1,
    hint_every=4,
    minutes=80.0,
)

# Built in: nothing. Small steps (2 updates), fresh puzzles (gone after 2 segments) and a high rate that falls from
# the first step on: with puzzles that stay, this rate learns the slots by heart (docs/record.md).
UNTOLD = Preset(
    model=ModelConfig(
        task="sudoku",
        block="synthesizer",
        channels=128,
        layers=2,
        heads=4,
        updates_per_segment=2,
        damping=0.2,
    ),
    train=TrainConfig(
        max_segments=2,
        leave_probability=1.0,
        pool=100_000,
        decay_share=1.0,
        ema=0.999,
        hard_share=0.1,
        extra_share=0.35,
        eval_depth=32,
        steps=11_320,
    ),
)

STAY = changed(
    UNTOLD,
    {"updates_per_segment": 4},
    slots=64,
    max_segments=16,
    leave_probability=0.3,
    lr=2e-3,
    extra_share=0.65,
    reveal_share=0.3,
    hint_every=3,
    guess_share=0.3,
    steps=16_000,
)

PRESETS: dict[str, Preset] = {
    # Built in: board relations and symbol symmetry.
    "sudoku_cpu": Preset(
        model=ModelConfig(task="sudoku", block="relation", channels=32, layers=2),
        train=TrainConfig(pool=100_000, lr=4e-3, ema=0.999, hard_share=0.15),
    ),
    "sudoku_settle": SETTLE,
    "sudoku_deep": DEEP,
    # The network of sudoku_deep, trained in one stage from random weights in an hour and a half on one core. Other
    # blocks are compared with this run: with model.block=mixer model.channels=128 model.layers=2 lr=1e-3 and 31,110
    # steps it trains the paper's block at the same FLOPs (docs/record.md).
    "sudoku_once": changed(DEEP, lr=4e-3, decay_share=0.4, extra_share=0.65, reveal_share=0.25, steps=32_000),
    "sudoku_untold": UNTOLD,
    # Goes on from sudoku_untold, with puzzles that stay, with hints and guesses, and with more of the hardest draws.
    "sudoku_untold_stay": STAY,
    # Goes on from sudoku_untold_stay with twice the channels, twice the blocks and sixteen times the slots, on a GPU.
    "sudoku_untold_large": changed(STAY, {"channels": 256, "layers": 4}, slots=1024, lr=2.5e-3, steps=4_300),
    # Built in: symbol symmetry. The board is learned.
    "sudoku_symbol": Preset(
        model=ModelConfig(task="sudoku", block="symbol", channels=24), train=TrainConfig(pool=100_000)
    ),
    # Built in: nothing. This is the paper's block.
    "sudoku_mixer": Preset(
        model=ModelConfig(task="sudoku", block="mixer", channels=128), train=TrainConfig(pool=100_000)
    ),
    # A 4x4 board, trained in under a minute: for tests and first steps.
    "sudoku4_tiny": Preset(
        model=ModelConfig(task="sudoku4", block="relation", channels=16),
        train=TrainConfig(pool=2_000, warmup_steps=50, ema=0.99, bf16=False, compile=False, minutes=0.75),
    ),
    # Built in: a maze is local. Trained on small boards, which grow with success; the bundled model.
    "maze_cpu": Preset(
        model=ModelConfig(task="maze9", block="conv", channels=32, updates_per_segment=10),
        train=TrainConfig(max_segments=8, pool=20_000, lr=4e-3, ema=0.999, grow_to=15, eval_depth=32, minutes=12.0),
    ),
    # Built in: colours except black are interchangeable; grids, rows, columns and neighbours (docs/arc.md).
    "mini_arc_cpu": Preset(
        model=ModelConfig(task="arc5x149", block="axial", channels=24, layers=2),
        train=TrainConfig(slots=64, max_segments=8, leave_probability=0.3, ema=0.998, evaluated=75, minutes=60.0),
    ),
    # Your own puzzles (docs/own_puzzles.md); ``of_board`` puts their task in place of this one.
    "grid": Preset(
        model=ModelConfig(block="relation", channels=32, layers=2),
        train=TrainConfig(lr=4e-3, ema=0.998, minutes=10.0),
    ),
    # Your own problems of variables, values and relations (docs/your_problem.md); ``of_board`` gives their task.
    "csp": Preset(
        model=ModelConfig(block="relation", channels=32, layers=2, damping=0.2),
        train=TrainConfig(
            max_segments=32,
            leave_probability=0.2,
            lr=4e-3,
            decay_share=0.5,
            ema=0.998,
            reveal_share=0.3,
            hint_every=4,
            guess_share=0.5,
            minutes=28.0,
        ),
    ),
    **PAPER,
    **SMALL,
}


FLAGS = ("minutes", "steps", "save_minutes", "eval_minutes", "log_seconds")
"""Options of a run that are flags of ``eqr train``, so ``--set`` does not take them."""


def shrunk(preset: Preset) -> Preset:
    """The preset with a narrow network, few slots and a budget of two minutes: a check that everything works."""
    model, train = preset.model, preset.train
    return changed(
        preset,
        {
            "channels": min(model.channels, 64),
            "token_hidden": min(model.token_hidden, 64),
            "heads": min(model.heads, 4),
        },
        slots=min(train.slots, 16),
        rows=8,
        lr=max(train.lr, 1e-3),
        pool=min(train.pool, 1_000),
        warmup_steps=min(train.warmup_steps, 20),
        ema=min(train.ema, 0.95),
        bf16=False,
        compile=False,
        evaluated=8,
        minutes=2.0,
        steps=0,
    )


def of_board(preset: Preset, task: Task, block: str) -> Preset:
    """The preset ``grid`` or ``csp`` for this task, with a block that assumes only what the user declared."""
    chosen = registered("block", block, BLOCKS)
    # Channels count per symbol of a cell in some blocks, per cell in others; a cell's vector holds several symbols.
    channels = preset.model.channels * (1 if chosen.per_symbol else 4)
    return changed(preset, {"task": task, "block": chosen, "channels": channels, "rotary": 2})


def preset_named(name: str) -> Preset:
    """The preset of that name; raises InputError for an unknown name."""
    if name not in PRESETS:
        raise unknown("preset", name, PRESETS, plugins=True)
    return PRESETS[name]


def configured(preset: Preset | str, changes: list[str], tiny: bool = False) -> Preset:
    """The preset with ``key=value`` changes (``model.key`` for the network); an InputError names the nearest key."""
    preset = preset_named(preset) if isinstance(preset, str) else preset
    preset = shrunk(preset) if tiny else preset
    of_model: dict[str, Any] = {}
    of_train: dict[str, Any] = {}
    for change in changes:
        key, equals, text = change.partition("=")
        if not equals:
            raise InputError(f"--set {change!r}: write key=value, e.g. --set lr=0.003")
        part = key.removeprefix("model.")
        target, config = (of_model, preset.model) if part != key else (of_train, preset.train)
        target[part] = _value(config, part, text)
    return changed(preset, of_model, **of_train)


def _value(config: TrainConfig | ModelConfig, key: str, text: str) -> Any:
    known = {field.name: type(field.default) for field in fields(config)}
    known["channels"] = int  # it has no default
    if key in FLAGS:
        raise InputError(f"--set {key}={text}: write --{key.replace('_', '-')} {text} instead")
    if key not in known:
        raise unknown("--set: option", key, known)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            # tyro reads True and False, people also write true and false.
            words = [text.capitalize() if known[key] is bool else text]
            return tyro.cli(known[key], args=words, config=(tyro.conf.FlagConversionOff,))
    except SystemExit:
        raise InputError(f"--set {key}={text}: a value of type {known[key].__name__} is needed") from None
