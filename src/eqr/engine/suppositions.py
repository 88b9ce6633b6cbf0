"""What one row supposes: cells of its own answer that it takes for clues for a while. Knows no network and no rule.

A row that rests on an answer it is not sure of stays there, from whatever start. So it supposes: a cell that it doubts
is drawn, and held at the symbol the row itself believes likeliest, as if the puzzle had given it. If the row becomes
sure, or if a second supposition has not made it so, it lets go of all of them and goes on from where it is: an answer
counts only if the row is sure of it without them. Nothing is checked by the task's rules, no state is kept to come back
to, and nothing is tried in order: a row is one trajectory, perturbed by what it believes.
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
NEVER_ZERO = 1e-12
"""A cell's chance if the row doubts none; also where a state has overflowed."""


class Suppositions:
    """Of one row."""

    def __init__(self, hold: int) -> None:
        self.hold, self.left = hold, FIRST * hold
        self.cells: dict[int, int] = {}
        """Symbol by cell."""

    def turn(
        self, sure: bool, logits: Float[Tensor, "L V"], to_find: Bool[Tensor, " L"], generator: torch.Generator
    ) -> bool:
        """Take one up or let go after a segment; whether ``cells`` has changed."""
        self.left -= 1
        if self.cells and (sure or (self.left <= 0 and len(self.cells) == MOST)):
            self.cells, self.left = {}, AFTER
            return True
        if sure or self.left > 0:
            return False
        open_cells = [cell for cell in to_find.nonzero().flatten().tolist() if cell not in self.cells]
        if not open_cells:
            return False
        chances = logits[open_cells].softmax(-1).cpu().nan_to_num()
        drawn = int(torch.multinomial(doubt(chances.amax(-1)), 1, generator=generator))
        self.cells = {**self.cells, open_cells[drawn]: 1 + int(chances[drawn].argmax())}
        self.left = self.hold
        return True


def doubt(confidence: Float[Tensor, "*cells"]) -> Float[Tensor, "*cells"]:
    """A cell's chance to be drawn, not normalised: most where its symbol is as likely as not."""
    return confidence * (1 - confidence).clamp(min=0) + NEVER_ZERO
