"""The published models as presets, at full scale and at a scale of minutes. Knows no other preset."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from eqr.model import ModelConfig
from eqr.training.config import Preset, TrainConfig

# The published protocol (EqR arXiv 2605.21488, D.4, and its reference configuration): nothing of the task is built in.
EQR = Preset(
    model=ModelConfig(
        task="sudoku",
        block="mixer",
        channels=512,
        layers=2,
        expansion=3.0,
        token_hidden=512,
        prefix_tokens=16,
        recursion="hierarchical",
        cycles=6,
        updates_per_segment=3,
        damping=0.05,
        init="truncated",
        learned_positions=False,
        scaled_embedding=True,
        halt_head="first",
        halt_bias=-5.0,
    ),
    train=TrainConfig(
        loss="stablemax",
        loss_cells="all",
        supervise="segment",
        gradient_updates=1,
        halt_shapes_state=True,
        slots=768,
        leave_probability=1.0,
        explore=0.1,
        noise=0.01,
        optimizer="adam_atan2",
        lr=1e-4,
        warmup_steps=2_000,
        decay_share=0.0,
        weight_decay=1.0,
        clip=0.0,
        ema=0.999,
        augment=False,
        reveal_share=0.0,
        steps=50_000,
    ),
)


def changed(preset: Preset, model: Mapping[str, Any] | None = None, **train: Any) -> Preset:
    """The preset with changed options of the network and of the training."""
    return Preset(model=replace(preset.model, **(model or {})), train=replace(preset.train, **train))


TRM = changed(EQR, {"damping": 0.0, "init": "fixed"}, noise=0.0)
# One stream with as many layer evaluations in a segment (42), all under the gradient, and no learned halting.
SEGMENTED = changed(
    TRM,
    {"recursion": "flat", "updates_per_segment": 21},
    gradient_updates=0,
    leave_probability=0.0,
    explore=0.0,
    halt_weight=0.0,
)
TIED = changed(SEGMENTED, max_segments=1)

# The paper's models, and the steps that lead to them (EqR section 6.1).
PAPER: dict[str, Preset] = {
    "paper_sudoku": EQR,
    "trm_sudoku": TRM,
    "segmented_sudoku": SEGMENTED,
    "tied_sudoku": TIED,
    "feedforward_sudoku": changed(TIED, {"layers": 42, "updates_per_segment": 1}),
    "paper_maze": changed(
        EQR,
        {
            "task": "maze30",
            "block": "attention",
            "channels": 128,
            "layers": 1,
            "expansion": 4.0,
            "cycles": 4,
            "prefix_tokens": 0,
        },
        steps=150_000,
    ),
    # HRM (arXiv 2506.21734) without its Q-continue target, which TRM found unnecessary.
    "hrm_sudoku": changed(
        TRM,
        {
            "block": "attention",
            "recursion": "two_modules",
            "layers": 4,
            "cycles": 2,
            "updates_per_segment": 2,
            "prefix_tokens": 1,
        },
        slots=384,
        lr=7e-5,
    ),
}


def small(preset: Preset, layers: int = 1, updates: int = 2) -> Preset:
    """The preset on generated 6x6 Sudokus, narrow and short: a segment has eight block evaluations (docs/paper.md)."""
    return changed(
        preset,
        {
            "task": "sudoku6",
            "channels": 64,
            "layers": layers,
            "expansion": 2.0,
            "token_hidden": 64,
            "prefix_tokens": 0,
            "cycles": 3,
            "updates_per_segment": updates,
        },
        slots=32,
        rows=16,
        pool=20_000,
        augment=True,
        reveal_share=0.5,
        lr=2e-3,
        warmup_steps=100,
        ema=0.99,
        weight_decay=0.1,
        bf16=False,
        steps=3_000,
    )


# Presets with which ``eqr claims`` measures the claims about training, in the order of the paper's construction.
SMALL: dict[str, Preset] = {
    "small_feedforward": small(PAPER["feedforward_sudoku"], layers=8, updates=1),
    "small_tied": small(TIED, updates=8),
    "small_segmented": small(SEGMENTED, updates=8),
    "small_streams": small(changed(TRM, leave_probability=0.0, explore=0.0, halt_weight=0.0)),
    "small_trm": small(TRM),
    "small_random": small(changed(TRM, {"init": "truncated"})),
    "small_eqr": small(EQR),
}
