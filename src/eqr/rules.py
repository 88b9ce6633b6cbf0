"""What is learned of each rule, for tasks whose puzzles name the rule to follow. Knows no task.

It is narrow, so that it holds the rule and not the answers to its examples: a table as wide as the state fits three
examples of a rule by heart, and answers a fourth one worse.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from eqr.blocks import BlockConfig
from eqr.layers import weight
from eqr.types import Layout


class RuleEmbedding(nn.Module):
    """What a rule asks for in each position of the board, and what each symbol means to it in all of them."""

    def __init__(self, layout: Layout, config: BlockConfig, generator: torch.Generator) -> None:
        super().__init__()
        shapes = (layout.positions, config.rule_channels), (layout.symbols, config.meaning_channels)
        self.rule, self.meaning = (
            nn.Parameter(0.4 * torch.randn(layout.rules, *shape, generator=generator)) for shape in shapes
        )
        self.rule_in = weight(config.channels, config.rule_channels, generator)
        self.meaning_in = weight(config.channels, config.meaning_channels, generator)

    def forward(
        self, rule: Int[Tensor, " R"], position: Int[Tensor, " R"], meant: Int[Tensor, "R V"]
    ) -> Float[Tensor, "R V C"]:
        """What is told of each symbol; ``meant`` is the symbol it stands for in the rule's own words."""
        asked = F.linear(self.rule[rule, position], self.rule_in)
        return asked.unsqueeze(1) + F.linear(self.meaning[rule.unsqueeze(1), meant], self.meaning_in)
