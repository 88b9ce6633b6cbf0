"""The slots of segmented online training: each holds a puzzle and its state until it leaves. Knows no optimizer."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from eqr.data import Draws
from eqr.model import Reasoner
from eqr.runtime import CPU, Ranks, rows_of_pass
from eqr.training.config import TrainConfig
from eqr.training.loss import SegmentLoss
from eqr.training.streams import LEAVE, NOISE, PUZZLE, START, numpy_stream, torch_stream


class Slots:
    """The puzzles under way in this process: its share of the run's slots."""

    def __init__(
        self,
        model: Reasoner,
        draws: Draws,
        config: TrainConfig,
        seed: int,
        ranks: Ranks,
        device: torch.device,
        drawn: Tensor | None = None,
    ) -> None:
        """``drawn`` counts the puzzles each slot has had before, in a run that goes on with other boards."""
        self.model, self.draws, self.config, self.seed, self.ranks = model, draws, config, seed, ranks
        self.device = device
        self.mine = ranks.share(config.slots)
        count = len(self.mine)
        self.rows = rows_of_pass(device, count, config.rows)
        self.drawn = torch.zeros(count, dtype=torch.long) if drawn is None else drawn
        self.age = torch.zeros(count, dtype=torch.long)
        self.inputs = torch.zeros(count, model.task.layout.width, dtype=torch.long, device=device)
        self.labels = self.inputs.clone()
        self.z = torch.zeros(count, *model.state_shape, device=device)
        self._fill(range(count))

    def _fill(self, places: "range | list[int]") -> None:
        """Give each place its slot's next puzzle and a start."""
        if not places:
            return
        puzzles, starts = [], []
        for place in places:
            which = self.mine[place], int(self.drawn[place])
            puzzles.append(self.draws.draw(numpy_stream(self.seed, PUZZLE, *which)))
            starts.append(self.model.init(1, torch_stream(CPU, self.seed, START, *which)))
        at = torch.tensor(places)
        inputs, labels = (torch.from_numpy(np.stack(boards)).long() for boards in zip(*puzzles, strict=True))
        on_device = at.to(self.device)
        self.inputs[on_device], self.labels[on_device] = inputs.to(self.device), labels.to(self.device)
        self.z[on_device] = torch.cat(starts).to(self.device)
        self.age[at] = 0
        self.drawn[at] += 1

    def noise(self, step: int, rows: slice) -> Float[Tensor, "R U N C D"] | None:
        """What the calls of the block stack add in this step's segment (EqR section 4.1, noise injection)."""
        if not self.config.noise:
            return None
        noise = torch.empty(rows.stop - rows.start, *self.model.noise_shape, device=self.device)
        for place, slot in enumerate(self.mine[rows]):
            generator = torch_stream(self.device, self.seed, NOISE, step, slot)
            torch.randn(self.model.noise_shape, generator=generator, out=noise[place])
        return noise.mul_(self.config.noise)

    @torch.no_grad()
    def advance(self, step: int, result: SegmentLoss) -> tuple[int, int]:
        """Take the new state, let slots leave and refill them; returns how many left, and how many of these solved.

        A slot leaves when the halting head says so (with ``leave_probability``, so that some stay on to learn that a
        solution must hold; with chance ``explore`` not before a random age) or after ``max_segments``.
        """
        self.z, self.age = result.z, self.age + 1
        config, rng = self.config, numpy_stream(self.seed, LEAVE, step)
        # Drawn for all slots of the run: this process uses its share.
        chance, exploring = (torch.from_numpy(draw[self.mine]) for draw in rng.random((2, config.slots)))
        least = torch.from_numpy(rng.integers(2, max(3, config.max_segments + 1), config.slots)[self.mine])
        says_so = (result.halt_logit.cpu() > 0) & (chance < config.leave_probability)
        bound = (exploring < config.explore) & (self.age < least)
        leaves = (says_so & ~bound) | (self.age >= config.max_segments)
        self._fill(leaves.nonzero().flatten().tolist())
        return int(leaves.sum()), int(result.solved.cpu()[leaves].sum())

    def state(self) -> dict[str, Any]:
        """Everything needed to go on, of all processes."""
        tensors = {"inputs": self.inputs, "labels": self.labels, "z": self.z, "age": self.age, "drawn": self.drawn}
        return {name: self.ranks.gather(tensor.to(self.device)).cpu() for name, tensor in tensors.items()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from ``state``, by whatever number of processes it was written."""
        share = slice(self.mine.start, self.mine.stop)
        for name in ("inputs", "labels", "z"):
            setattr(self, name, state[name][share].to(self.device))
        self.age, self.drawn = state["age"][share], state["drawn"][share]
