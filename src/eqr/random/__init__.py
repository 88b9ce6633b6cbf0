"""Random numbers as functions of a key, a purpose and a position."""

from eqr.random.streams import (
    GUESS,
    HINT,
    LEAVE,
    NOISE,
    PUZZLE,
    START,
    SUPPOSE,
    WEIGHTS,
    Streams,
    numbered_keys,
    numpy_stream,
    philox,
    row_key,
    torch_stream,
    uniform,
    view_generator,
)

__all__ = [
    "GUESS",
    "HINT",
    "LEAVE",
    "NOISE",
    "PUZZLE",
    "START",
    "SUPPOSE",
    "WEIGHTS",
    "Streams",
    "numbered_keys",
    "numpy_stream",
    "philox",
    "row_key",
    "torch_stream",
    "uniform",
    "view_generator",
]
