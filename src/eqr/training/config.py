"""The options of a training run. A preset is a network and its training; both are saved with the run."""

import math
from dataclasses import dataclass, fields
from typing import Any, cast

from eqr.errors import InputError, registered
from eqr.model import ModelConfig
from eqr.model.reasoner import name_in
from eqr.training.loss import LOSSES, LossConfig
from eqr.training.optim import OPTIMIZERS, MakeOptimizers

INCIDENTAL = (
    *("rows", "compile", "evaluated", "eval_depth"),
    *("minutes", "steps", "save_minutes", "save_slots", "eval_minutes", "log_seconds"),
)
"""Options that may change when a run is resumed, since they do not enter the mathematics; ``rows`` does a little, where
a loss is a mean over the cells of a pass, but must change where memory does."""
USUAL = {"lr": ", such as 0.005"}
"""Values to suggest for options."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig(LossConfig):
    """All options of a training run, except its network, its data and its folder."""

    slots: int = 32
    """Puzzles trained on side by side."""
    max_segments: int = 16
    """A puzzle leaves its slot after this many segments at the latest."""
    leave_probability: float = 0.5
    """Probability that a puzzle leaves its slot after a segment in which the halting head calls its answer right."""
    explore: float = 0.0
    """Probability, in each segment, that a puzzle must stay for a random number of segments, 2 to ``max_segments``."""
    noise: float = 0.0
    """Standard deviation of the noise added by each call of the block stack (beta of EqR, section 4.1)."""
    optimizer: MakeOptimizers | str = "muon"
    """muon (matrices of the blocks; AdamW for the rest), or adam_atan2 as in TRM and EqR: a function or its name."""
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
    pool: int = 0
    """Number of generated puzzles to draw from; with 0, all draws are from the given data."""
    augment: bool = True
    """Apply a random symmetry of the task to each draw; turn this off for data that is already augmented."""
    hard_share: float = 0.0
    """Share of the draws taken from the pool's puzzles of at least ``hard_guesses``."""
    hard_guesses: int = 8
    """Lowest rating at which a generated puzzle counts as hard."""
    extra_share: float = 0.35
    """Share of the draws taken from the given data, if there is also a pool."""
    reveal_share: float = 0.5
    """Share of the draws that get extra clues: a curriculum that gets learning started."""
    reveal_most: float = 0.5
    """Largest share of a puzzle's blanks that become extra clues."""
    hint_every: int = 0
    """After 2n unsolved segments, reveals one uncertain cell; then one more every n segments. Withdraws all of them
    once the puzzle is solved. 0: never. This prepares a model for ``--suppose``."""
    guess_share: float = 0.0
    """Share of the hints that are the network's own guess in place of the answer's symbol. A wrong guess teaches the
    halting head alone, and is withdrawn, with all hints, when the next would be due."""
    rows: int = 0
    """Most slots in one forward and backward pass; the gradients of a step's passes add up. 0: 16 on a CPU (small
    passes stay in its cache), all slots of the process on another device."""
    bf16: bool = True
    """Compute matrix products of training in bfloat16 where the processor is fast at it; all else stays float32."""
    compile: bool = True
    """Run the block's kernel in C++, or torch.compile if it has none; else plain torch."""
    evaluated: int = 128
    """Held-out puzzles of each kind to evaluate on."""
    eval_depth: int = 0
    """Depth of evaluation in segments; 0: ``max_segments``."""
    grow_to: int = 0
    """Largest board side. Training starts on the network's board and moves on to the next larger board, with the same
    weights, each time ``grow_at`` is reached. 0: the board does not grow."""
    grow_at: float = 0.9
    """The board grows once this share of the puzzles that left their slots in the last 200 steps was solved."""
    minutes: float = 120.0
    """Budget in minutes, resumed time included; the learning-rate schedule follows the budget."""
    steps: int = 0
    """Budget in optimizer steps, instead of ``minutes``; 0: ``minutes`` counts."""
    save_minutes: float = 5.0
    """Time between checkpoints."""
    save_slots: bool = True
    """Whether a checkpoint holds the slots, so that a resumed run is the same to the bit. Without them it is small, and
    a resumed run goes on with the next puzzle of each slot."""
    eval_minutes: float = 10.0
    """Time between evaluations."""
    log_seconds: float = 30.0
    """Time between lines of the log."""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "optimizer", registered("optimizer", self.optimizer, OPTIMIZERS))
        for name in ("minutes", "save_minutes", "eval_minutes", "log_seconds"):
            if not vars(self)[name] > 0:
                raise InputError(f"{name} is {vars(self)[name]}: it must be more than 0")
        for name in ("slots", "max_segments", "lr", "evaluated"):
            if not 0 < vars(self)[name] < math.inf:
                raise InputError(
                    f"{name} is {vars(self)[name]}: it must be more than 0 and finite{USUAL.get(name, '')}"
                )
        for name in (
            *("noise", "halt_weight", "warmup_steps", "decay_share", "weight_decay", "hard_share", "gradient_updates"),
            *("extra_share", "clip", "pool", "steps", "rows", "eval_depth", "grow_to", "hint_every"),
        ):
            if not 0 <= vars(self)[name] < math.inf:
                raise InputError(f"{name} is {vars(self)[name]}: it must be 0 or more and finite")
        for name, share in (
            ("hard_share + extra_share", self.hard_share + self.extra_share),
            ("reveal_share", self.reveal_share),
            ("reveal_most", self.reveal_most),
            ("guess_share", self.guess_share),
            ("leave_probability", self.leave_probability),
            ("explore", self.explore),
            ("grow_at", self.grow_at),
            ("ema", self.ema),
        ):
            if not 0 <= share <= 1:
                raise InputError(f"{name} is {share:g}: a share lies between 0 and 1")

    @property
    def make_optimizers(self) -> MakeOptimizers:
        """``optimizer`` as a function."""
        return cast(MakeOptimizers, self.optimizer)

    def progress(self, step: int, seconds: float) -> float:
        """Share of the budget spent after ``step`` steps and ``seconds`` seconds of training."""
        return step / self.steps if self.steps else seconds / (60 * self.minutes)

    def named(self) -> dict[str, Any]:
        """The fields as JSON values, loss and optimizer by their names."""
        values = {field.name: vars(self)[field.name] for field in fields(self)}
        return values | {"loss": name_in(LOSSES, self.loss), "optimizer": name_in(OPTIMIZERS, self.optimizer)}


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A named training run: a network and how it is trained."""

    model: ModelConfig
    train: TrainConfig
