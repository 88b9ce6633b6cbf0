"""The options of a training run. A preset is one of these; they are saved with the run."""

from dataclasses import dataclass

from eqr.errors import InputError, unknown
from eqr.model import ModelConfig
from eqr.training.loss import LOSSES, LossConfig
from eqr.training.optim import OPTIMIZERS

CHOICES = {
    "loss": LOSSES,
    "loss_cells": ("blanks", "all"),
    "supervise": ("updates", "segment"),
    "optimizer": OPTIMIZERS,
}


@dataclass(frozen=True, kw_only=True)
class TrainConfig(LossConfig):
    """A training run, complete but for its budget and its folder."""

    model: ModelConfig
    """The network."""
    slots: int = 32
    """Puzzles trained on side by side."""
    max_segments: int = 16
    """A puzzle leaves its slot after this many segments at the latest."""
    leave_probability: float = 0.5
    """Chance that a slot leaves at a segment at which the halting head says so."""
    explore: float = 0.0
    """Chance, at each segment, that a slot may leave only after a random number of segments, 2 to ``max_segments``."""
    noise: float = 0.0
    """Standard deviation of the noise added by each call of the block stack (beta of EqR, section 4.1)."""
    optimizer: str = "muon"
    """muon (matrices of the blocks; AdamW for the rest), or adam_atan2 as in TRM and EqR."""
    lr: float = 5e-3
    """Peak learning rate."""
    warmup_steps: int = 200
    """Steps of linear warm-up."""
    decay_share: float = 0.33
    """Share of the budget, at its end, over which the learning rate falls to 0."""
    weight_decay: float = 0.1
    """Weight decay: of the block matrices with muon, of every weight with adam_atan2."""
    clip: float = 1.0
    """Largest norm of the gradient; 0 for no limit."""
    ema: float = 0.998
    """Decay of the weight average per step."""
    pool: int = 100_000
    """Generated puzzles to draw from; with 0 all draws are from ``--data``."""
    augment: bool = True
    """Give each draw a random symmetry of the task; off for data that is augmented already."""
    hard_share: float = 0.0
    """Share of the draws taken from the pool's puzzles of at least ``hard_guesses``."""
    hard_guesses: int = 8
    """Rating from which a generated puzzle counts as hard."""
    extra_share: float = 0.35
    """Share of the draws taken from ``--data``, when given."""
    reveal_share: float = 0.5
    """Share of the draws that get extra clues: the curriculum that gets learning started."""
    reveal_most: float = 0.5
    """Such a draw reveals a random share of its blanks, up to this one."""
    hint_every: int = 0
    """A puzzle that is not solved after twice so many segments is told a cell that it doubts, and another one each time
    so many more have passed, until it is solved; then all of these are taken back. 0: never. It is what a row meets
    that supposes (``--suppose``)."""
    rows: int = 0
    """Slots in one forward and backward pass at most, as many as divide the slots; the gradients of a step's passes add
    up. 0: 16 on a CPU (small passes stay in its cache), all slots of the process on another device."""
    bf16: bool = True
    """Matrix products of training in bfloat16, where the processor is fast at it; everything else stays float32."""
    compile: bool = True
    """Compile the training step (torch.compile)."""
    evaluated: int = 128
    """Held-out puzzles of each kind to evaluate on, to a depth of ``max_segments``."""
    eval_depth: int = 0
    """Depth of that evaluation in segments; 0: ``max_segments``."""
    grow_to: int = 0
    """Largest side of the board: training starts on the board of ``model.task`` and goes on to the next larger one,
    with the same weights, each time ``grow_at`` is reached; 0: it stays."""
    grow_at: float = 0.9
    """Share of the puzzles that leave their slots solved, over the last 200 steps, at which the board grows."""
    default_minutes: float = 120.0
    """Budget when neither --minutes nor --steps is given."""
    default_steps: int = 0
    """The same in optimizer steps; goes before minutes unless it is 0."""

    def __post_init__(self) -> None:
        for name, known in CHOICES.items():
            if vars(self)[name] not in known:
                raise unknown(name, vars(self)[name], known)
        for name in ("slots", "max_segments", "lr", "evaluated", "default_minutes"):
            if not vars(self)[name] > 0:
                raise InputError(f"{name} is {vars(self)[name]}: more than 0 is needed")
        for name in (
            *("noise", "halt_weight", "warmup_steps", "decay_share", "weight_decay", "hard_share"),
            *("extra_share", "clip", "pool", "default_steps", "rows", "eval_depth", "grow_to", "hint_every"),
        ):
            if not vars(self)[name] >= 0:
                raise InputError(f"{name} is {vars(self)[name]}: 0 or more is needed")
        if not 0 <= self.gradient_updates <= self.model.updates_per_segment:
            raise InputError(
                f"gradient_updates is {self.gradient_updates}: a segment has {self.model.updates_per_segment} updates, "
                "0 stands for all of them"
            )
        for name, share in (
            ("hard_share + extra_share", self.hard_share + self.extra_share),
            ("reveal_share", self.reveal_share),
            ("reveal_most", self.reveal_most),
            ("leave_probability", self.leave_probability),
            ("explore", self.explore),
            ("grow_at", self.grow_at),
            ("ema", self.ema),
        ):
            if not 0 <= share <= 1:
                raise InputError(f"{name} is {share:g}: a share lies between 0 and 1")


@dataclass(frozen=True, kw_only=True)
class Budget:
    """When to stop, and how often to report. Exactly one of ``minutes`` and ``steps`` is set."""

    minutes: float | None
    steps: int | None
    save_minutes: float = 5.0
    eval_minutes: float = 10.0
    log_seconds: float = 30.0

    def __post_init__(self) -> None:
        for name in ("minutes", "steps", "save_minutes", "eval_minutes", "log_seconds"):
            value = vars(self)[name]
            if value is not None and not value > 0:
                raise InputError(f"{name} is {value}: more than 0 is needed")
