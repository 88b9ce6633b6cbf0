"""Small building parts shared by blocks: normalisation, gated products, initialisation. Knows no task."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from eqr.types import Layout

EPSILON = 1e-5
CUT_AT_TWO = 0.8796256610342398
"""Standard deviation of a standard normal variable cut off at two of them."""


def rms_norm(h: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
    """RMS norm over the last axis without gain (arXiv 1910.07467), as in TRM and EqR."""
    return F.rms_norm(h, (h.shape[-1],), eps=EPSILON)


def rms_norm_cells(h: Float[Tensor, "R C D"]) -> Float[Tensor, "R C D"]:
    """The same over the cells of each channel: what follows the token mixing of TRM and EqR."""
    return h * torch.rsqrt(h.square().mean(1, keepdim=True) + EPSILON)


def gated(gate_up: Float[Tensor, "..."], axis: int) -> Float[Tensor, "..."]:
    """SwiGLU's product ``silu(gate) * up`` (arXiv 2002.05202) of the two halves of ``axis``."""
    gate, up = gate_up.chunk(2, axis)
    return F.silu(gate) * up


def swiglu(h: Float[Tensor, "... D"], inward: Tensor, outward: Tensor) -> Float[Tensor, "... D"]:
    """SwiGLU over the last axis: ``inward`` (2H, D), ``outward`` (D, H)."""
    return gated(h @ inward.T, -1) @ outward.T


def truncated_normal(shape: tuple[int, ...], std: float, generator: torch.Generator) -> Tensor:
    """Normal values cut off at two standard deviations and widened so that they have ``std``, as in TRM and EqR."""
    values = torch.empty(shape, device=generator.device)
    if std == 0:
        return values.zero_()
    wide = std / CUT_AT_TWO
    return nn.init.trunc_normal_(values, std=wide, a=-2 * wide, b=2 * wide, generator=generator)


def weight(out_features: int, in_features: int, generator: torch.Generator) -> nn.Parameter:
    """(out, in) matrix, truncated normal with std ``in_features ** -0.5``."""
    return nn.Parameter(truncated_normal((out_features, in_features), in_features**-0.5, generator))


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
