"""The slots of segmented online training. A slot holds a puzzle and its state until it leaves. Knows no optimizer."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from eqr.data.sampler import Sampler
from eqr.distributed import Ranks
from eqr.model import Reasoner
from eqr.random import GUESS, HINT, LEAVE, NOISE, PUZZLE, Streams, numbered_keys, numpy_stream, uniform
from eqr.runtime import rows_of_pass, sent
from eqr.training.config import TrainConfig
from eqr.training.loss import SegmentLoss
from eqr.types import Logits

PickCells = Callable[[Logits, Bool[Tensor, "R L"], Float[Tensor, " R"]], Int[Tensor, " R"]]
"""``pick(logits, open cells, chance)`` returns one of the open cells of each row; chance is uniform in (0, 1)."""
FIRST_HINT = 2
"""A puzzle gets its first hint after this many times ``hint_every`` segments."""
ON_DEVICE = ("inputs", "labels", "told", "z", "age")


class Left(NamedTuple):
    """The slots that puzzles have left in a step."""

    left: Bool[Tensor, " R"]
    solved: Bool[Tensor, " R"]
    """Those whose puzzle was solved."""


class Slots:
    """The slots of this process, a share of the run's slots, and the puzzles in them.

    All tensors lie on the model's device, with the next puzzle of each slot and its start beside the present one: so a
    step refills slots without waiting for the device to say which (``advance``). The host learns that later, and
    brings the puzzles after these (``prepare``).
    """

    def __init__(
        self,
        model: Reasoner,
        sampler: Sampler,
        config: TrainConfig,
        seed: int,
        ranks: Ranks,
        device: torch.device,
        pick_hints: PickCells,
        drawn: Sequence[int] = (),
    ) -> None:
        """``pick_hints`` chooses the cells to reveal to stuck puzzles. ``drawn`` counts the puzzles that each slot has
        already had, in a run that continues on other boards.
        """
        self.model, self.sampler, self.config, self.seed, self.ranks = model, sampler, config, seed, ranks
        self.device, self.pick_hints = device, pick_hints
        self.mine = ranks.share(config.slots)
        count = len(self.mine)
        self.keys = numbered_keys(seed, self.mine)
        self.streams = Streams.of(self.keys, device)
        self.rows = rows_of_pass(device, count, config.rows)
        self.drawn = list(drawn) or [0] * count
        """Puzzles that each slot has had."""
        self.age = torch.zeros(count, dtype=torch.long, device=device)
        self.inputs = torch.zeros(count, model.task.layout.width, dtype=torch.long, device=device)
        self.labels = self.inputs.clone()
        self.told = self.inputs.clone()
        """The model's input: the puzzle and its hints."""
        self.z = torch.zeros(count, *model.state_shape, device=device)
        self._next = {"inputs": self.inputs.clone(), "labels": self.labels.clone(), "z": self.z.clone()}
        self._draw(range(count))
        self._move_on()

    def prepare(self, left: Sequence[int]) -> None:
        """Count the puzzles that the slots at the places ``left`` have moved on to, and bring the next ones."""
        for place in left:
            self.drawn[place] += 1
        self._draw(left)

    def _move_on(self) -> None:
        """Let all slots move on to their next puzzles."""
        self._refill(torch.ones_like(self.age, dtype=torch.bool))
        self.prepare(range(len(self.mine)))

    def _draw(self, places: Sequence[int]) -> None:
        """Draw the next puzzles of the slots at ``places``, and their starts."""
        if not places:
            return
        which = ((self.mine[place], self.drawn[place]) for place in places)
        puzzles = [self.sampler.draw(numpy_stream(self.seed, PUZZLE, *numbers)) for numbers in which]
        inputs, labels = (torch.from_numpy(np.stack(boards)).long() for boards in zip(*puzzles, strict=True))
        at, numbers = (sent(torch.tensor(of), self.device) for of in (places, [self.drawn[place] for place in places]))
        inputs, labels = (sent(boards, self.device) for boards in (inputs, labels))
        self._next["inputs"][at], self._next["labels"][at] = inputs, labels
        self._next["z"][at] = self.model.init(self.streams[at], numbers, inputs)

    def _refill(self, slots: Bool[Tensor, " R"]) -> None:
        """Let ``slots`` move on to their next puzzles."""
        for name, following in self._next.items():
            now = vars(self)[name]
            setattr(self, name, torch.where(slots.view(-1, *[1] * (now.ndim - 1)), following, now))
        self.told = torch.where(slots.unsqueeze(1), self.inputs, self.told)
        self.age = torch.where(slots, 0, self.age)

    def noise(self, step: int, rows: slice) -> Float[Tensor, "R U N C D"] | None:
        """The noise of this step's segment, one tensor for each call of the block stack (EqR section 4.1)."""
        if not self.config.noise:
            return None
        return self.config.noise * self.streams[rows].normal(NOISE, step, *self.model.noise_shape)

    @torch.no_grad()
    def advance(self, step: int, result: SegmentLoss) -> Left:
        """Take the new states and refill slots that puzzles leave; ``prepare`` must follow before the next time.

        A puzzle leaves after ``max_segments``, or when the halting head calls its answer right: then only with
        ``leave_probability``, so that some puzzles stay and the model learns that a solution must hold; and with
        probability ``explore`` not before a random age.
        """
        self.z, self.age = result.z, self.age + 1
        config, rng = self.config, numpy_stream(self.seed, LEAVE, step)
        # Drawn for all slots of the run, and this process uses its share: the draws do not depend on the processes.
        chance, exploring = (torch.from_numpy(draw[self.mine]) for draw in rng.random((2, config.slots)))
        least = torch.from_numpy(rng.integers(2, max(3, config.max_segments + 1), config.slots)[self.mine])
        may_leave, explores = chance < config.leave_probability, exploring < config.explore
        least = sent(torch.where(explores, least, 0), self.device)
        accepted = (result.halt_logit > 0) & ~result.misled & sent(may_leave, self.device)
        leaves = (accepted & (self.age >= least)) | (self.age >= config.max_segments)
        if config.hint_every:
            self._hint(step, result)
        self._refill(leaves)
        return Left(leaves, leaves & result.solved)

    def _hint(self, step: int, result: SegmentLoss) -> None:
        """Reveal an uncertain cell to each stuck row that is due; withdraw the hints of solved and misled rows."""
        every, share = self.config.hint_every, self.config.guess_share
        due = (self.age >= FIRST_HINT * every) & (self.age % every == 0) & ~result.solved
        stuck, withdrawn = due & ~result.misled, result.solved | (due & result.misled)
        self.told = torch.where(withdrawn.unsqueeze(1), self.inputs, self.told)
        open_cells = self.model.task.layout.to_find(self.told) & (self.labels > 0)
        cells = self.pick_hints(result.logits, open_cells, self._chances(HINT, step)).unsqueeze(1)
        hints = self.labels.gather(1, cells)
        if share:
            guesses = 1 + result.logits.argmax(-1).gather(1, cells)
            hints = torch.where((self._chances(GUESS, step) < share).unsqueeze(1), guesses, hints)
        told = (stuck & open_cells.any(1)).unsqueeze(1)
        self.told = self.told.scatter(1, cells, torch.where(told, hints, self.told.gather(1, cells)))

    def _chances(self, purpose: int, step: int) -> Float[Tensor, " R"]:
        """Draws one value in (0, 1) for each slot."""
        # On the host, as it needs no number of the device: there these draws would be three hundred operators.
        return sent(torch.from_numpy(uniform(self.keys, purpose, [step] * len(self.keys))), self.device)

    def state(self) -> dict[str, Any]:
        """Gathers the slots of all processes: everything that a resumed run needs."""
        kept = {name: vars(self)[name] for name in ON_DEVICE} if self.config.save_slots else {}
        kept["drawn"] = torch.tensor(self.drawn).to(self.device)
        return {name: self.ranks.gather(tensor).cpu() for name, tensor in kept.items()}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from ``state``, which may come from a run with another number of processes.

        Without the slots themselves it holds how many puzzles they have had, and they start with their next ones.
        """
        share = slice(self.mine.start, self.mine.stop)
        self.drawn = state["drawn"][share].tolist()
        self._draw(range(len(self.mine)))
        if "z" not in state:
            self._move_on()
            return
        for name in ON_DEVICE:
            setattr(self, name, state[name][share].to(self.device))
