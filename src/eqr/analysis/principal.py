"""Principal components of many large vectors, exactly. Knows nothing of models."""

import torch
from jaxtyping import Float
from torch import Tensor

COLUMNS = 8192
"""Columns converted to double precision at a time, so that long vectors need little more memory than their own."""


def principal_components(
    vectors: Float[Tensor, "R N"], count: int = 2
) -> tuple[Float[Tensor, "R Q"], Float[Tensor, " Q"]]:
    """Coordinates of each vector along the first ``count`` components, and each component's share of the variance.

    Computed from the R x R Gram matrix of the centred vectors, in double precision: exact, and without random numbers.
    The sign of a component makes its largest coordinate positive.
    """
    gram = torch.zeros(len(vectors), len(vectors), dtype=torch.double)
    for columns in torch.split(vectors, COLUMNS, 1):
        centred = columns.double() - columns.double().mean(0)
        gram += centred @ centred.T
    values, axes = torch.linalg.eigh(gram)
    largest = values.clamp(min=0).flip(0)[:count]
    coordinates = axes.flip(1)[:, :count] * largest.sqrt()
    furthest = coordinates.gather(0, coordinates.abs().argmax(0, keepdim=True))
    shares = largest / gram.trace().clamp(min=1e-300)
    return (coordinates * furthest.sign()).float(), shares.float()
