"""The slots of segmented online training: each holds a puzzle and its state until it leaves. Knows no optimizer."""

from typing import Any

import torch
from torch import Tensor

from eqr.data import Draws
from eqr.model import Reasoner
from eqr.training.config import TrainConfig
from eqr.training.loss import SegmentLoss


class Slots:
    """A fixed number of puzzles under way."""

    def __init__(self, model: Reasoner, draws: Draws, config: TrainConfig, seed: int, device: torch.device) -> None:
        self.model, self.draws, self.config, self.device = model, draws, config, device
        # Not the stream of the weights, which has the seed itself.
        self.generator = torch.Generator().manual_seed(seed + (1 << 32))
        batch = draws.draw(config.slots)
        self.inputs, self.labels = batch.inputs.to(device), batch.labels.to(device)
        self.z = model.init(config.slots, self.generator).to(device)
        self.age = torch.zeros(config.slots, dtype=torch.long)
        self.noise = self._noise_levels(config.slots)

    def _noise_levels(self, count: int) -> Tensor:
        return torch.rand(count, 1, 1, 1, generator=self.generator) * self.config.noise

    def noised(self) -> Tensor:
        """The states a segment starts from: each with its puzzle's level of noise (EqR section 4.1)."""
        if not self.config.noise:
            return self.z
        noise = torch.randn(self.z.shape, generator=self.generator) * self.noise
        return self.z + noise.to(self.device)

    @torch.no_grad()
    def advance(self, result: SegmentLoss) -> Tensor:
        """Take the new state, let slots leave and refill them; returns which of the leaving ones were solved.

        A slot leaves when the halting head says so (with ``leave_probability``, so that some stay on to learn that a
        solution must hold) or after ``max_segments``.
        """
        self.z, self.age = result.z, self.age + 1
        says_so = result.halt_logit.cpu() > 0
        chance = torch.rand(len(says_so), generator=self.generator) < self.config.leave_probability
        leaves = (says_so & chance) | (self.age >= self.config.max_segments)
        count = int(leaves.sum())
        if count:
            batch = self.draws.draw(count)
            at = leaves.to(self.device)
            self.inputs[at], self.labels[at] = batch.inputs.to(self.device), batch.labels.to(self.device)
            self.z[at] = self.model.init(count, self.generator).to(self.device)
            self.age[leaves] = 0
            self.noise[leaves] = self._noise_levels(count)
        return result.solved.cpu()[leaves]

    def state(self) -> dict[str, Any]:
        """Everything needed to go on."""
        tensors = {"inputs": self.inputs, "labels": self.labels, "z": self.z, "age": self.age, "noise": self.noise}
        return {**tensors, "generator": self.generator.get_state(), "draws": self.draws.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from ``state``."""
        for name in ("inputs", "labels", "z"):
            setattr(self, name, state[name].to(self.device))
        self.age, self.noise = state["age"], state["noise"]
        self.generator.set_state(state["generator"])
        self.draws.restore(state["draws"])
