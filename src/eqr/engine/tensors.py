"""The numbers of all rows, in a fixed number of slots on the model's device. Knows no job and no rule."""

import torch
from jaxtyping import Int
from torch import Tensor

from eqr.engine.policy.suppose import Suppositions
from eqr.model import Reasoner
from eqr.random import Streams
from eqr.runtime import sent
from eqr.solvers import Solver
from eqr.types import Layout

Parked = tuple[Tensor, ...]
"""The numbers of one row without a slot."""


class RowTensors:
    """Axis 0 of each tensor counts slots. Tensors that share a type and move together are views of one tensor."""

    def __init__(self, model: Reasoner, solver: Solver, slots: int, window: int) -> None:
        self.device = model.answer_head.device
        self.keys = Streams.of([0] * slots, self.device).keys
        ids = torch.zeros(slots, 2, model.task.layout.width, dtype=torch.long, device=self.device)
        self.puzzle, self.supposed = ids.unbind(1)
        """Symbol ids, (S, L): the puzzle's, 0 = blank, and those that the row supposes, 0 = none."""
        self.counts = torch.zeros(slots, 6, dtype=torch.long, device=self.device)
        self.age, self.rule, self.hold, self.most, self.left, self.sure_for = self.counts.unbind(1)
        """Segments so far, number of the halting rule, and the counters of ``Suppositions``."""
        self.recent = torch.full((slots, 2, window), torch.inf, device=self.device)
        self.residuals, self.changes = self.recent.unbind(1)
        """Figures of the last W segments, (S, W)."""
        self.z, self.x = model.init(Streams(self.keys), ids=self.puzzle), model.embed(self.puzzle)
        self.memory = solver.init(self.z)
        self.logits, self.halt_logit = model.decode(self.z), model.halt_logit(self.z)
        self.all = (
            self.keys,
            ids,
            self.counts,
            self.recent,
            self.z,
            self.x,
            self.logits,
            self.halt_logit,
            *self.memory,
        )

    def suppositions(self, rows: slice) -> Suppositions:
        """The suppositions of some rows."""
        counts = (self.hold[rows], self.most[rows], self.left[rows], self.sure_for[rows])
        return Suppositions(self.supposed[rows], *counts)

    def answers(self, layout: Layout, rows: slice | Tensor) -> Int[Tensor, "R L"]:
        """Decoded symbol ids of some rows' boards, clues included where they are fixed. Headers stay with the host."""
        puzzle, decoded = self.puzzle[rows], self.logits[rows].argmax(-1) + 1
        return torch.where(layout.to_find(puzzle), decoded, puzzle)[:, layout.rule_cells :]

    def index(self, slots: list[int]) -> Tensor:
        """The slots as an index on the device."""
        return sent(torch.tensor(slots), self.device)

    def move(self, slots: list[int], to: list[int]) -> None:
        """Copy the rows in ``slots`` to other slots."""
        source, target = self.index(slots), self.index(to)
        for tensor in self.all:
            tensor[target] = tensor[source]

    def taken(self, slots: list[int]) -> list[Parked]:
        """Copies of the rows in ``slots``, each row with memory of its own."""
        at = self.index(slots)
        columns = [torch.unbind_copy(tensor[at]) for tensor in self.all]  # type: ignore[func-returns-value]
        return list(zip(*columns, strict=True))

    def put(self, rows: list[Parked], first: int) -> None:
        """Copy rows to the slots from ``first`` on."""
        for tensor, values in zip(self.all, zip(*rows, strict=True), strict=True):
            tensor[first : first + len(rows)] = torch.stack(values)
