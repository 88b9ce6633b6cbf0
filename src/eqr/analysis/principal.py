"""Principal components of many large vectors, exactly. Knows nothing of models."""

import torch
from jaxtyping import Float
from torch import Tensor

COLUMNS = 8192
"""Columns taken at a time: few vectors of many numbers need little more memory than they take themselves."""


def principal_components(
    vectors: Float[Tensor, "R N"], count: int = 2
) -> tuple[Float[Tensor, "R Q"], Float[Tensor, " Q"]]:
    """Coordinates of each vector along the first ``count`` components, and each one's share of the variance.

    By the R x R matrix of products of the centred vectors, in double precision: exact, and nothing is drawn. Of the two
    directions of a component the one is taken along which the largest coordinate is positive.
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
