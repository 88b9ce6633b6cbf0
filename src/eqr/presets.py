"""Named training runs. A new preset is one entry of the dict; ``configured`` applies changes to one."""

from dataclasses import fields, replace
from typing import Any

from eqr.errors import InputError, unknown
from eqr.model import ModelConfig
from eqr.training.config import TrainConfig

PRESETS: dict[str, TrainConfig] = {
    # Board relations and symbol symmetry built in; the bundled model.
    "sudoku_cpu": TrainConfig(
        model=ModelConfig(task="sudoku", block="relation", channels=32, layers=2),
        lr=4e-3,
        ema=0.999,
        hard_share=0.15,
    ),
    # Goes on from sudoku_cpu: damping and slots that keep solved puzzles make solutions hold still; harder draws. The
    # rate stays up: decayed to 0, the same run let wrong answers settle too (docs/record.md).
    "sudoku_settle": TrainConfig(
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
        rows=32,
        bf16=False,
        compile=False,
        default_minutes=0.75,
    ),
}


def configured(preset: str, changes: list[str]) -> TrainConfig:
    """The preset with ``key=value`` changes (``model.key`` for the network); names the nearest key if unknown."""
    if preset not in PRESETS:
        raise unknown("preset", preset, PRESETS)
    config = PRESETS[preset]
    for change in changes:
        key, equals, text = change.partition("=")
        if not equals:
            raise InputError(f"--set {change!r}: write key=value, e.g. --set lr=0.003")
        if key.startswith("model."):
            part = key.removeprefix("model.")
            config = replace(config, model=replace(config.model, **{part: _value(config.model, part, text)}))
        else:
            config = replace(config, **{key: _value(config, key, text)})
    return config


def _value(config: TrainConfig | ModelConfig, key: str, text: str) -> Any:
    known = {field.name: field.type for field in fields(config) if field.name != "model"}
    if key not in known:
        raise unknown("--set: option", key, known)
    kind = known[key]
    try:
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        return kind(text)  # type: ignore[operator]
    except (ValueError, KeyError):
        raise InputError(f"--set {key}={text}: a value of type {kind.__name__} is needed") from None  # type: ignore[union-attr]
