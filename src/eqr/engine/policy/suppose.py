"""Suppositions of one row: its own guesses, which it treats as clues for a while. Knows no network and no rule.

A row that settles on an answer it is not sure of stays there, whatever its start. So the row supposes: it draws a cell
that it doubts, and holds the cell at its likeliest symbol, as if the puzzle had given that symbol. When the row becomes
sure, or a second supposition has not made it sure, it drops all suppositions and continues from its current state. An
answer counts only if the row is sure of it without suppositions, and stays sure. This is not a search: the task's rules
check nothing, and no state is saved to return to. A row is one trajectory, perturbed by its own beliefs.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

MOST = 2
"""Most suppositions held at a time."""
FIRST = 2
"""A row makes its first supposition after this many times ``hold`` segments."""
AFTER = 2
"""Segments between dropping all suppositions and making the next one."""
SURE = 2
"""Consecutive segments in which a row must be sure, without any supposition, to be done."""
NEVER_ZERO = 1e-12
"""Weight of every cell, so that one can be drawn even if the row doubts none or its state has overflowed."""


class Suppositions:
    """The suppositions of one row."""

    def __init__(self, hold: int) -> None:
        """Hold each supposition for ``hold`` segments."""
        self.hold, self.left = hold, FIRST * hold
        self.cells: dict[int, int] = {}
        """The supposed symbol of each cell with a supposition."""
        self.sure_for = 0
        """Consecutive segments in which the row was sure without any supposition."""

    @property
    def done(self) -> bool:
        """Whether the row may end."""
        return self.sure_for >= SURE

    def turn(self, sure: bool, logits: Float[Tensor, "L V"], to_find: Bool[Tensor, " L"], chance: float) -> bool:
        """Make a supposition or drop all of them after a segment; returns True if ``cells`` has changed.

        ``chance``, uniform in (0, 1), draws the cell.
        """
        self.left -= 1
        self.sure_for = self.sure_for + 1 if sure and not self.cells else 0
        # A sure row must prove its answer without help; a row that the last supposition did not help starts afresh.
        if self.cells and (sure or (self.left <= 0 and len(self.cells) == MOST)):
            self.cells, self.left = {}, AFTER
            return True
        if sure or self.left > 0:
            return False
        open_cells = to_find.clone()
        open_cells[list(self.cells)] = False
        if not open_cells.any():
            return False
        cell = doubted_cell(logits, open_cells, chance)
        self.cells = {**self.cells, cell: 1 + int(logits[cell].argmax())}
        self.left = self.hold
        return True


def doubted_cell(logits: Float[Tensor, "L V"], open_cells: Bool[Tensor, " L"], chance: float) -> int:
    """Draws one of the open cells with weight p (1 - p), where p is the probability of the cell's likeliest symbol.

    ``chance``, uniform in (0, 1), says which.
    """
    cells = open_cells.nonzero().flatten()
    confidence = logits[cells].softmax(-1).amax(-1).cpu().nan_to_num()
    doubt = confidence * (1 - confidence).clamp(min=0) + NEVER_ZERO
    ends = doubt.double().cumsum(0)
    return int(cells[torch.searchsorted(ends, chance * ends[-1], right=True)])


def doubted_cells(
    logits: Float[Tensor, "R L V"], open: Bool[Tensor, "R L"], chance: Float[Tensor, " R"]
) -> Int[Tensor, " R"]:
    """Draws an open cell of each row with weight p (1 - p), where p is the probability of the cell's likeliest symbol.

    ``chance``, uniform in (0, 1) and in double precision, says which. The cell of a row without open cells means
    nothing.
    """
    confidence = logits.softmax(-1).amax(-1).nan_to_num()
    doubt = confidence * (1 - confidence).clamp(min=0) + NEVER_ZERO
    # A closed cell adds exactly 0, so its end is that of the cell before it, and it is never drawn.
    ends = (doubt.double() * open).cumsum(1)
    drawn = (ends <= (chance * ends[:, -1]).unsqueeze(1)).sum(1)
    return drawn.clamp(max=open.shape[1] - 1)
