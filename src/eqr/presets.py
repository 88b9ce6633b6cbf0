"""Named training runs. A new preset is one entry of the dict; ``configured`` applies changes to one."""

from dataclasses import fields, replace
from typing import Any

from eqr.errors import InputError, unknown
from eqr.model import ModelConfig
from eqr.model.blocks import BLOCKS
from eqr.paper.presets import PAPER, SMALL
from eqr.tasks.grid import GridConfig
from eqr.training.config import TrainConfig

SOME_GRID = GridConfig(rows=2, cols=2, symbols="12", blank=".", clues_fixed=True, interchangeable=True, dihedral=True)

# Goes on from sudoku_cpu: damping and slots that keep solved puzzles make solutions hold still; harder draws. The
# rate stays up: without hints, decayed to 0, the same run let wrong answers settle too (docs/record.md).
SETTLE = TrainConfig(
    model=ModelConfig(task="sudoku", block="relation", channels=32, layers=2, damping=0.2),
    max_segments=32,
    leave_probability=0.2,
    lr=2e-3,
    decay_share=0.0,
    ema=0.999,
    hard_share=0.15,
    extra_share=0.5,
    reveal_share=0.3,
    default_minutes=40.0,
)

# Goes on from sudoku_settle with two more blocks, which do nothing at first; with more of the hardest draws, and with
# hints: the bundled model. Its last minutes are worth more than all before (docs/record.md): let it decay.
DEEP = replace(
    SETTLE,
    model=replace(SETTLE.model, layers=4),
    decay_share=0.15,
    hard_share=0.1,
    extra_share=0.8,
    reveal_share=0.1,
    hint_every=4,
    default_minutes=80.0,
)

PRESETS: dict[str, TrainConfig] = {
    # Board relations and symbol symmetry built in.
    "sudoku_cpu": TrainConfig(
        model=ModelConfig(task="sudoku", block="relation", channels=32, layers=2),
        lr=4e-3,
        ema=0.999,
        hard_share=0.15,
    ),
    "sudoku_settle": SETTLE,
    "sudoku_deep": DEEP,
    # The network of sudoku_deep in one stage, from random weights: an hour and a half of one core, and the measure of
    # others: with model.block=mixer model.channels=128 model.layers=2 lr=1e-3 and 31,110 steps it is the paper's block
    # at the same FLOPs (docs/record.md).
    "sudoku_once": replace(
        DEEP,
        lr=4e-3,
        decay_share=0.4,
        extra_share=0.65,
        reveal_share=0.25,
        default_steps=32_000,
    ),
    # Symbol symmetry built in, the board learned.
    "sudoku_symbol": TrainConfig(model=ModelConfig(task="sudoku", block="symbol", channels=24)),
    # Nothing built in: the paper's block.
    "sudoku_mixer": TrainConfig(model=ModelConfig(task="sudoku", block="mixer", channels=128)),
    # A 4x4 board, trained in under a minute: for tests and first steps.
    "sudoku4_tiny": TrainConfig(
        model=ModelConfig(task="sudoku4", block="relation", channels=16),
        pool=2_000,
        warmup_steps=50,
        ema=0.99,
        bf16=False,
        compile=False,
        default_minutes=0.75,
    ),
    # Told only that a maze is local: trained on small boards, which grow with success; the bundled model.
    "maze_cpu": TrainConfig(
        model=ModelConfig(task="maze9", block="conv", channels=32, updates_per_segment=10),
        max_segments=8,
        pool=20_000,
        lr=4e-3,
        ema=0.999,
        grow_to=15,
        eval_depth=32,
        default_minutes=12.0,
    ),
    # Told that colours but black are interchangeable, and of grids, rows, columns and neighbours (docs/arc.md).
    "mini_arc_cpu": TrainConfig(
        model=ModelConfig(task="arc5x149", block="axial", channels=24, layers=2),
        slots=64,
        max_segments=8,
        leave_probability=0.3,
        pool=0,
        ema=0.998,
        evaluated=75,
        default_minutes=60.0,
    ),
    # Your own puzzles (docs/own_puzzles.md); ``of_grid`` puts their board in place of this one.
    "grid": TrainConfig(
        model=ModelConfig(task="grid", grid=SOME_GRID, block="relation", channels=32, layers=2),
        pool=0,
        lr=4e-3,
        ema=0.998,
        default_minutes=10.0,
    ),
    **PAPER,
    **SMALL,
}


def shrunk(config: TrainConfig) -> TrainConfig:
    """The same run with a narrow network, few slots and two minutes: to see that everything works."""
    model = config.model
    return replace(
        config,
        model=replace(
            model,
            channels=min(model.channels, 64),
            token_hidden=min(model.token_hidden, 64),
            heads=min(model.heads, 4),
        ),
        slots=min(config.slots, 16),
        rows=8,
        lr=max(config.lr, 1e-3),
        pool=min(config.pool, 1_000),
        warmup_steps=min(config.warmup_steps, 20),
        ema=min(config.ema, 0.95),
        bf16=False,
        compile=False,
        evaluated=8,
        default_minutes=2.0,
        default_steps=0,
    )


def of_grid(config: TrainConfig, grid: GridConfig, block: str | None = None) -> TrainConfig:
    """The preset ``grid`` for this board: a block that is told of the board only what was said of it."""
    block = block or ("relation" if grid.interchangeable else "mixer")
    if block not in BLOCKS:
        raise unknown("block", block, BLOCKS)
    # The width of a symbol of a cell, or of a cell.
    channels = config.model.channels * (1 if BLOCKS[block].per_symbol else 4)
    return replace(config, model=replace(config.model, grid=grid, block=block, channels=channels, rotary=2))


def configured(
    preset: str, changes: list[str], tiny: bool = False, grid: GridConfig | None = None, block: str | None = None
) -> TrainConfig:
    """The preset with ``key=value`` changes (``model.key`` for the network); names the nearest key if unknown.

    ``grid`` and ``block`` are those of the preset ``grid``.
    """
    if preset not in PRESETS:
        raise unknown("preset", preset, PRESETS)
    config = of_grid(PRESETS[preset], grid, block) if grid else PRESETS[preset]
    config = shrunk(config) if tiny else config
    of_model: dict[str, Any] = {}
    of_run: dict[str, Any] = {}
    for change in changes:
        key, equals, text = change.partition("=")
        if not equals:
            raise InputError(f"--set {change!r}: write key=value, e.g. --set lr=0.003")
        if key.startswith("model."):
            part = key.removeprefix("model.")
            of_model[part] = _value(config.model, part, text)
        else:
            of_run[key] = _value(config, key, text)
    return replace(config, model=replace(config.model, **of_model), **of_run)


def _value(config: TrainConfig | ModelConfig, key: str, text: str) -> Any:
    known = {field.name: field.type for field in fields(config) if field.name not in ("model", "grid")}
    if key not in known:
        raise unknown("--set: option", key, known)
    kind = known[key]
    try:
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        return kind(text)  # type: ignore[operator]
    except (ValueError, KeyError):
        raise InputError(f"--set {key}={text}: a value of type {kind.__name__} is needed") from None  # type: ignore[union-attr]
