"""A training run of one's own, by name: `eqr --import preset train futoshiki`.

Imports, and so registers, the task and the block that it needs.
"""

import block
import futoshiki

from eqr import ModelConfig, TrainConfig
from eqr.presets import PRESETS
from eqr.training.config import Preset

MODEL = ModelConfig(task=futoshiki.Futoshiki(4), block=block.LinesBlock, channels=64, layers=2)
TRAIN = TrainConfig(
    pool=4000,  # puzzles to generate; each is drawn under 16 symmetries
    steps=600,  # or minutes=1; about 0.1 s a step on one core
    lr=4e-3,
    warmup_steps=50,
    ema=0.99,  # averages over the last hundred steps: a short run cannot wait for longer averages
    compile=False,  # compiling takes as long as half of this run
    log_seconds=10,
)
PRESETS["futoshiki"] = Preset(model=MODEL, train=TRAIN)
