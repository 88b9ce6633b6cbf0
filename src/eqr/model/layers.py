"""Small parts that blocks share: normalisation, gated products, initialisation. Knows no task."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from eqr.types import NUMBER, Frame, Layout

EPSILON = 1e-5
CUT_AT_TWO = 0.8796256610342398
"""Standard deviation of a standard normal variable that is cut off at -2 and 2."""


def rms_norm(h: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
    """Applies the RMS norm over the last axis, without gain (arXiv 1910.07467), as in TRM and EqR."""
    return F.rms_norm(h, (h.shape[-1],), eps=EPSILON)


def rms_norm_cells(h: Float[Tensor, "R C D"]) -> Float[Tensor, "R C D"]:
    """Applies the RMS norm over the cells of each channel, as TRM and EqR do after token mixing."""
    return h * torch.rsqrt(h.square().mean(1, keepdim=True) + EPSILON)


def gated(gate_up: Float[Tensor, "..."], axis: int) -> Float[Tensor, "..."]:
    """Returns SwiGLU's product ``silu(gate) * up`` (arXiv 2002.05202) of the two halves of ``axis``."""
    gate, up = gate_up.chunk(2, axis)
    return F.silu(gate) * up


def swiglu(h: Float[Tensor, "... D"], inward: Tensor, outward: Tensor) -> Float[Tensor, "... D"]:
    """Applies SwiGLU over the last axis, with weights ``inward`` (2H, D) and ``outward`` (D, H)."""
    return gated(h @ inward.T, -1) @ outward.T


def near_by(
    planes: Float[Tensor, "R C H W"], kernel: Float[Tensor, "D C 3 3"], apart: tuple[int, int] = (1, 1)
) -> Float[Tensor, "R D H W"]:
    """Applies a 3x3 convolution, with zeros beyond the edge, to neighbours that are ``apart`` from each other."""
    # On a CPU a single row takes another algorithm, which rounds otherwise, and a row's bits must not depend on others.
    alone = not torch.compiler.is_compiling() and len(planes) == 1
    near = F.conv2d(torch.cat([planes, planes]) if alone else planes, kernel, padding=apart, dilation=apart)
    return near[:1] if alone else near


def truncated_normal(shape: tuple[int, ...], std: float, generator: torch.Generator) -> Tensor:
    """Draws normal values, cut off at two standard deviations and widened so that ``std`` remains (TRM, EqR)."""
    values = torch.empty(shape, device=generator.device)
    if std == 0:
        return values.zero_()
    wide = std / CUT_AT_TWO
    return nn.init.trunc_normal_(values, std=wide, a=-2 * wide, b=2 * wide, generator=generator)


def weight(out_features: int, in_features: int, generator: torch.Generator) -> nn.Parameter:
    """Draws an (out, in) matrix of truncated normal values with std ``in_features ** -0.5``."""
    return nn.Parameter(truncated_normal((out_features, in_features), in_features**-0.5, generator))


class RuleEmbedding(nn.Module):
    """Learned vectors of each rule in each position of the board, and of each symbol under that rule and position."""

    def __init__(self, layout: Layout, channels: int, generator: torch.Generator) -> None:
        super().__init__()
        shape = (layout.rules, layout.positions)
        self.rule = nn.Parameter(0.5 * torch.randn(*shape, channels, generator=generator))
        self.meaning = nn.Parameter(torch.zeros(*shape, layout.symbols, channels))

    def forward(
        self, rule: Int[Tensor, " R"], position: Int[Tensor, " R"], meant: Int[Tensor, "R V"]
    ) -> Float[Tensor, "R V C"]:
        """Returns the vector of each symbol; ``meant`` is the original symbol that it stands for in the rule."""
        meaning = self.meaning[rule.unsqueeze(1), position.unsqueeze(1), meant]
        return self.rule[rule, position].unsqueeze(1) + meaning


class AttributeEmbedding(nn.Module):
    """A learned vector of each text of an attribute; for numbers, a vector and its multiples."""

    def __init__(self, frame: Frame, channels: int, generator: torch.Generator) -> None:
        super().__init__()
        self.frame, self.channels = frame, channels
        self.tables = nn.ParameterList(
            0.5 * torch.randn(texts or 2, channels, generator=generator) for texts in frame.attributes
        )

    def forward(self, entries: Int[Tensor, "R N"]) -> Float[Tensor, "R L C"]:
        """Returns the sum of the vectors of each variable's entries; N = L for each attribute (``Frame.parts``)."""
        sums = torch.zeros(entries.shape[0], self.frame.variables, self.channels, device=entries.device)
        columns = entries.view(entries.shape[0], -1, self.frame.variables).unbind(1)
        for entry, table, texts in zip(columns, self.tables, self.frame.attributes, strict=True):
            written = (entry > 1).unsqueeze(-1)
            if texts:
                vectors = table[(entry - 2).clamp(min=0)]
            else:  # numbers of any size: their logarithm, but for those near 0
                vectors = table[0] + torch.asinh((entry - NUMBER).float()).unsqueeze(-1) * table[1]
            sums = sums + vectors * written
        return sums
