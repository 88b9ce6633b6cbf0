"""The options of a training run. A preset is one of these; they are saved with the run."""

from dataclasses import dataclass

from eqr.errors import InputError
from eqr.model import ModelConfig


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A training run, complete but for its budget and its folder."""

    model: ModelConfig
    """The network."""
    slots: int = 32
    """Puzzles trained on side by side."""
    max_segments: int = 16
    """A puzzle leaves its slot after this many segments at the latest."""
    leave_probability: float = 0.5
    """Chance that a slot leaves at a segment at which the halting head says so."""
    noise: float = 0.0
    """Noise added to the states before each segment; each puzzle draws its standard deviation from 0 to this."""
    halt_weight: float = 0.5
    """Weight of the halting loss."""
    lr: float = 5e-3
    """Peak learning rate."""
    warmup_steps: int = 200
    """Steps of linear warm-up."""
    decay_share: float = 0.33
    """Share of the budget, at its end, over which the learning rate falls to 0."""
    weight_decay: float = 0.1
    """Decay of the block matrices."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    ema: float = 0.998
    """Decay of the weight average per step."""
    pool: int = 100_000
    """Generated puzzles to draw from (augmented anew at each draw)."""
    hard_share: float = 0.0
    """Share of the draws taken from the pool's puzzles of at least ``hard_guesses``."""
    hard_guesses: int = 8
    """Rating from which a generated puzzle counts as hard."""
    extra_share: float = 0.35
    """Share of the draws taken from ``--train-data``, when given."""
    reveal_share: float = 0.5
    """Share of the draws that get extra clues: the curriculum that gets learning started."""
    reveal_most: float = 0.5
    """Such a draw reveals a random share of its blanks, up to this one."""
    rows: int = 16
    """Slots in one forward and backward pass; gradients of the passes of a step add up. Small ones stay in cache."""
    bf16: bool = True
    """Matrix products of training in bfloat16, where the processor is fast at it; everything else stays float32."""
    compile: bool = True
    """Compile the training step (torch.compile)."""
    default_minutes: float = 120.0
    """Budget when neither --minutes nor --steps is given."""

    def __post_init__(self) -> None:
        for name in ("slots", "max_segments", "rows", "pool", "lr", "clip", "default_minutes"):
            if not vars(self)[name] > 0:
                raise InputError(f"{name} is {vars(self)[name]}: more than 0 is needed")
        for name in (
            "noise",
            "halt_weight",
            "warmup_steps",
            "decay_share",
            "weight_decay",
            "ema",
            "hard_share",
            "extra_share",
        ):
            if not vars(self)[name] >= 0:
                raise InputError(f"{name} is {vars(self)[name]}: 0 or more is needed")
        if self.slots % self.rows:
            raise InputError(f"slots={self.slots} is not a multiple of rows={self.rows}: choose one that is")
        for name, share in (
            ("hard_share + extra_share", self.hard_share + self.extra_share),
            ("reveal_share", self.reveal_share),
            ("reveal_most", self.reveal_most),
            ("leave_probability", self.leave_probability),
        ):
            if not 0 <= share <= 1:
                raise InputError(f"{name} is {share:g}: a share lies between 0 and 1")
