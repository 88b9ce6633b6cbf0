"""What is learned of each rule, for tasks whose puzzles name the rule to follow. Knows no task and no block."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from eqr.types import Layout


class RuleEmbedding(nn.Module):
    """What a rule asks for in each position of the board, and what each symbol means to it there."""

    def __init__(self, layout: Layout, channels: int, generator: torch.Generator) -> None:
        super().__init__()
        shape = (layout.rules, layout.positions)
        self.rule = nn.Parameter(0.5 * torch.randn(*shape, channels, generator=generator))
        self.meaning = nn.Parameter(torch.zeros(*shape, layout.symbols, channels))

    def forward(
        self, rule: Int[Tensor, " R"], position: Int[Tensor, " R"], meant: Int[Tensor, "R V"]
    ) -> Float[Tensor, "R V C"]:
        """What is told of each symbol; ``meant`` is the symbol it stands for in the rule's own words."""
        meaning = self.meaning[rule.unsqueeze(1), position.unsqueeze(1), meant]
        return self.rule[rule, position].unsqueeze(1) + meaning
