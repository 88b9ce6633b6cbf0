"""The slots of segmented online training. A slot holds a puzzle and its state until it leaves. Knows no optimizer."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from eqr.data.sampler import Sampler
from eqr.distributed import Ranks
from eqr.model import Reasoner
from eqr.random import HINT, LEAVE, NOISE, PUZZLE, Streams, numpy_stream
from eqr.runtime import rows_of_pass
from eqr.training.config import TrainConfig
from eqr.training.loss import SegmentLoss

PickCell = Callable[[Float[Tensor, "L V"], Bool[Tensor, " L"], float], int]
"""``pick(logits, open cells, chance)`` returns one of the open cells of a row; chance is uniform in (0, 1)."""
FIRST_HINT = 2
"""A puzzle gets its first hint after this many times ``hint_every`` segments."""
ON_DEVICE = ("inputs", "labels", "told", "z")
"""Tensors of the slots that lie on the model's device."""


class Slots:
    """The slots of this process, a share of the run's slots, and the puzzles in them."""

    def __init__(
        self,
        model: Reasoner,
        sampler: Sampler,
        config: TrainConfig,
        seed: int,
        ranks: Ranks,
        device: torch.device,
        pick_hint: PickCell,
        drawn: Tensor | None = None,
    ) -> None:
        """``pick_hint`` chooses the cell to reveal to a stuck puzzle. ``drawn`` counts the puzzles that each slot has
        already had, in a run that continues on other boards.
        """
        self.model, self.sampler, self.config, self.seed, self.ranks = model, sampler, config, seed, ranks
        self.device, self.pick_hint = device, pick_hint
        self.mine = ranks.share(config.slots)
        count = len(self.mine)
        self.streams = Streams.numbered(seed, self.mine, device)
        self.rows = rows_of_pass(device, count, config.rows)
        self.drawn = torch.zeros(count, dtype=torch.long) if drawn is None else drawn
        self.age = torch.zeros(count, dtype=torch.long)
        self.inputs = torch.zeros(count, model.task.layout.width, dtype=torch.long, device=device)
        self.labels = self.inputs.clone()
        self.told = self.inputs.clone()
        """The model's input: the puzzle and its hints."""
        self.z = torch.zeros(count, *model.state_shape, device=device)
        self._fill(range(count))

    def _fill(self, places: "range | list[int]") -> None:
        """Fill the slots at ``places`` (positions among this process's slots) with their next puzzle and a start."""
        if not places:
            return
        which = ((self.mine[place], int(self.drawn[place])) for place in places)
        puzzles = [self.sampler.draw(numpy_stream(self.seed, PUZZLE, *numbers)) for numbers in which]
        at = torch.tensor(places)
        inputs, labels = (torch.from_numpy(np.stack(boards)).long() for boards in zip(*puzzles, strict=True))
        on_device = at.to(self.device)
        self.inputs[on_device], self.labels[on_device] = inputs.to(self.device), labels.to(self.device)
        self.told[on_device] = self.inputs[on_device]
        self.z[on_device] = self.model.init(self.streams[on_device], self.drawn[at].to(self.device))
        self.age[at] = 0
        self.drawn[at] += 1

    def noise(self, step: int, rows: slice) -> Float[Tensor, "R U N C D"] | None:
        """The noise of this step's segment, one tensor for each call of the block stack (EqR section 4.1)."""
        if not self.config.noise:
            return None
        return self.config.noise * self.streams[rows].normal(NOISE, step, *self.model.noise_shape)

    @torch.no_grad()
    def advance(self, step: int, result: SegmentLoss) -> tuple[int, int]:
        """Take the new states and refill slots that puzzles leave; returns how many left, and how many of them solved.

        A puzzle leaves after ``max_segments``, or when the halting head calls its answer right: then only with
        ``leave_probability``, so that some puzzles stay and the model learns that a solution must hold; and with
        probability ``explore`` not before a random age.
        """
        self.z, self.age = result.z, self.age + 1
        config, rng = self.config, numpy_stream(self.seed, LEAVE, step)
        # Drawn for all slots of the run, and this process uses its share: the draws do not depend on the processes.
        chance, exploring = (torch.from_numpy(draw[self.mine]) for draw in rng.random((2, config.slots)))
        least = torch.from_numpy(rng.integers(2, max(3, config.max_segments + 1), config.slots)[self.mine])
        accepted = (result.halt_logit.cpu() > 0) & (chance < config.leave_probability)
        must_stay = (exploring < config.explore) & (self.age < least)
        leaves = (accepted & ~must_stay) | (self.age >= config.max_segments)
        if config.hint_every:
            self._hint(step, result.solved)
        self._fill(leaves.nonzero().flatten().tolist())
        return int(leaves.sum()), int(result.solved.cpu()[leaves].sum())

    def _hint(self, step: int, solved: Bool[Tensor, " R"]) -> None:
        """Reveal an uncertain cell to each stuck puzzle that is due; withdraw the hints of solved puzzles."""
        self.told[solved] = self.inputs[solved]
        every = self.config.hint_every
        due = (self.age >= FIRST_HINT * every) & (self.age % every == 0)
        open_cells = self.model.task.layout.to_find(self.told) & (self.labels > 0)
        stuck = (due.to(self.device) & ~solved & open_cells.any(1)).nonzero().flatten()
        chances = self.streams[stuck].uniform(HINT, step).tolist()
        for place, chance in zip(stuck.tolist(), chances, strict=True):
            cell = self.pick_hint(self.model.decode(self.z[place : place + 1])[0], open_cells[place], chance)
            self.told[place, cell] = self.labels[place, cell]

    def state(self) -> dict[str, Any]:
        """Gathers the slots of all processes: everything that a resumed run needs."""
        return {
            name: self.ranks.gather(vars(self)[name].to(self.device)).cpu() for name in (*ON_DEVICE, "age", "drawn")
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from ``state``, which may come from a run with another number of processes."""
        share = slice(self.mine.start, self.mine.stop)
        for name in ON_DEVICE:
            setattr(self, name, state[name][share].to(self.device))
        self.age, self.drawn = state["age"][share], state["drawn"][share]
