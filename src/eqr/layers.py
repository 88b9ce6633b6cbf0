"""Small building parts shared by blocks: normalisation, gated products, initialisation. Knows no task."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


def rms_norm(h: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
    """RMS norm over the last axis without gain (arXiv 1910.07467), as in TRM and EqR."""
    return F.rms_norm(h, (h.shape[-1],), eps=1e-5)


def gated(gate_up: Float[Tensor, "..."], axis: int) -> Float[Tensor, "..."]:
    """SwiGLU's product ``silu(gate) * up`` (arXiv 2002.05202) of the two halves of ``axis``."""
    gate, up = gate_up.chunk(2, axis)
    return F.silu(gate) * up


def weight(out_features: int, in_features: int, generator: torch.Generator) -> nn.Parameter:
    """(out, in) matrix, truncated normal with std ``in_features ** -0.5``."""
    values = torch.empty(out_features, in_features)
    return nn.Parameter(nn.init.trunc_normal_(values, std=in_features**-0.5, generator=generator))
