"""Suppositions of rows: their own guesses, which they treat as clues for a while. Knows no network and no rule.

A row that settles on an answer it is not sure of stays there, whatever its start. So the row supposes: it draws a cell
that it doubts, and holds the cell at its likeliest symbol, as if the puzzle had given that symbol. When the row becomes
sure, or the last of its suppositions has not made it sure, it drops all suppositions and continues from its current
state. An answer counts only if the row is sure of it without suppositions, and stays sure. This is not a search: the
task's rules check nothing, and no state is saved to return to. A row is one trajectory, perturbed by its own beliefs.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

FIRST = 2
"""A row makes its first supposition after this many times ``hold`` segments."""
AFTER = 2
"""Segments between dropping all suppositions and making the next one."""
SURE = 2
"""Consecutive segments in which a row must be sure, without any supposition, to be done."""
NEVER_ZERO = 1e-12
"""Weight of every cell, so that one can be drawn even if the row doubts none or its state has overflowed."""


class Suppositions(NamedTuple):
    """The suppositions of R rows, after a segment."""

    symbols: Int[Tensor, "R L"]
    """The supposed symbol of each cell; 0 where there is none."""
    hold: Int[Tensor, " R"]
    """Segments for which a row holds a supposition; 0 if it never supposes."""
    most: Int[Tensor, " R"]
    """Most suppositions that a row holds at a time."""
    left: Int[Tensor, " R"]
    """Segments until a row makes a supposition or drops all of them."""
    sure_for: Int[Tensor, " R"]
    """Consecutive segments in which a row was sure without any supposition."""

    @property
    def held(self) -> Int[Tensor, " R"]:
        """Suppositions that a row holds."""
        return self.symbols.count_nonzero(1)

    @property
    def done(self) -> Bool[Tensor, " R"]:
        """True for the rows that may end."""
        return self.sure_for >= SURE

    @property
    def due(self) -> Bool[Tensor, " R"]:
        """True for the rows that may make a supposition after the next segment."""
        return (self.hold > 0) & (self.left <= 1) & (self.held < self.most)

    def after(
        self, sure: Bool[Tensor, " R"], logits: Float[Tensor, "R L V"], to_find: Bool[Tensor, "R L"], due: "Due | None"
    ) -> "Suppositions":
        """Returns the suppositions after the next segment: a row makes one, drops all of them, or goes on.

        ``due`` are the rows that were ``due`` before the segment; None if there are none.
        """
        held, left = self.held, self.left - 1
        sure_for = (self.sure_for + 1) * (sure & (held == 0))
        holds_all_it_may = held >= torch.minimum(self.most, to_find.sum(1))
        # A sure row must prove its answer without help; a row that the last supposition did not help starts afresh.
        drops = (held > 0) & (sure | ((left <= 0) & holds_all_it_may))
        symbols = self.symbols * ~drops.unsqueeze(1)
        left = left.masked_fill(drops, AFTER)
        if due:
            rows, logits = due.rows, logits[due.rows]
            open_cells = to_find[rows] & (symbols[rows] == 0)
            makes = ~(sure | drops)[rows] & open_cells.any(1)
            cells = doubted_cells(logits, open_cells, due.chance)
            guesses = 1 + logits[torch.arange(len(cells), device=cells.device), cells].argmax(-1)
            symbols[rows, cells] = torch.where(makes, guesses, symbols[rows, cells])
            left[rows] = torch.where(makes, self.hold[rows], left[rows])
        return Suppositions(symbols, self.hold, self.most, left, sure_for)


class Due(NamedTuple):
    """The rows that may make a supposition after a segment."""

    rows: Int[Tensor, " D"]
    chance: Float[Tensor, " D"]
    """Uniform in (0, 1), in double precision: draws the cell."""


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
