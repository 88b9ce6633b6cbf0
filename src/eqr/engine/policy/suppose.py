"""Suppositions of one row: guesses of its own that it treats as clues for a while. Knows no network and no rule.

A row that rests on an answer it is not sure of stays there, from whatever start. So it supposes: a cell that it doubts
is drawn, and held at the row's own likeliest symbol, as if the puzzle had given it. Once the row becomes sure, or if a
second supposition has not made it sure, it lets go of all suppositions and goes on from where it is: an answer counts
only if the row is sure of it without them, and stays sure. The task's rules check nothing, no state is kept to come
back to, and nothing is tried in order: a row is one trajectory, perturbed by its own beliefs.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

MOST = 2
"""Suppositions held at a time."""
FIRST = 2
"""A row first settles for this many times the segments for which a supposition is held."""
AFTER = 2
"""Segments between letting go and supposing again."""
SURE = 2
"""Consecutive segments at which a row has to be sure, without any supposition, to be done."""
NEVER_ZERO = 1e-12
"""A cell's chance if the row doubts none; also where a state has overflowed."""


class Suppositions:
    """The suppositions of one row."""

    def __init__(self, hold: int) -> None:
        self.hold, self.left = hold, FIRST * hold
        self.cells: dict[int, int] = {}
        """The supposed symbol of each cell that has one."""
        self.sure_for = 0
        """Consecutive segments at which the row was sure without any."""

    @property
    def done(self) -> bool:
        """Whether the row may end."""
        return self.sure_for >= SURE

    def turn(
        self, sure: bool, logits: Float[Tensor, "L V"], to_find: Bool[Tensor, " L"], generator: torch.Generator
    ) -> bool:
        """Take a supposition up or let go of all after a segment; True if ``cells`` has changed."""
        self.left -= 1
        self.sure_for = self.sure_for + 1 if sure and not self.cells else 0
        if self.cells and (sure or (self.left <= 0 and len(self.cells) == MOST)):
            self.cells, self.left = {}, AFTER
            return True
        if sure or self.left > 0:
            return False
        open_cells = to_find.clone()
        open_cells[list(self.cells)] = False
        if not open_cells.any():
            return False
        cell = doubted_cell(logits, open_cells, generator)
        self.cells = {**self.cells, cell: 1 + int(logits[cell].argmax())}
        self.left = self.hold
        return True


def doubted_cell(logits: Float[Tensor, "L V"], open_cells: Bool[Tensor, " L"], generator: torch.Generator) -> int:
    """One of the open cells, drawn by doubt: most often one whose likeliest symbol is as likely as not."""
    cells = open_cells.nonzero().flatten()
    confidence = logits[cells].softmax(-1).amax(-1).cpu().nan_to_num()
    doubt = confidence * (1 - confidence).clamp(min=0) + NEVER_ZERO
    return int(cells[torch.multinomial(doubt, 1, generator=generator)])
