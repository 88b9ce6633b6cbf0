"""How one update of the state calls the block stacks: flat, hierarchical, or with two modules. Knows no block.

A call of stack F is ``h <- h + (1 - damping) * (F(h + injection) - h) + noise`` (EqR arXiv 2605.21488, Eq. 1); the
model supplies the call. To add a recursion, write a function and a line in the dict.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch

from eqr.types import Embedded, State

Call = Callable[[int, Embedded, Embedded], Embedded]
"""``call(stack, h, injection)``: one call of a block stack on one stream."""


class Recursion(NamedTuple):
    """One way to update the state."""

    streams: int
    """S, the number of streams."""
    stacks: int
    """Number of block stacks, each with its own weights."""
    update: Callable[[Call, State, Embedded, int], State]
    """``update(call, z, x, cycles)`` returns the next state."""

    def calls(self, cycles: int) -> int:
        """Returns the number of calls of a stack in one update."""
        return 1 if self.streams == 1 else cycles + 1


def answering(z: State) -> Embedded:
    """Returns the stream (R, C, D) of the state from which answers are decoded."""
    # Of a single stream ``z[:, 0]`` is the same, but its gradient is a copy of the state among zeros.
    return z.squeeze(1) if z.shape[1] == 1 else z[:, 0]


def flat(call: Call, z: State, x: Embedded, cycles: int) -> State:
    """One stream: z <- F(z + x)."""
    return call(0, answering(z), x).unsqueeze(1)


def hierarchical(call: Call, z: State, x: Embedded, cycles: int) -> State:
    """An answer and a scratch stream, one stack: ``cycles`` times low <- F(low + high + x), then high <- F(high + low).

    The recursion of TRM (arXiv 2510.04871) and EqR (section D.4); one update is one of their H cycles.
    """
    high, low = z.unbind(1)
    injection = high + x
    for _ in range(cycles):
        low = call(0, low, injection)
    return torch.stack([call(0, high, low), low], 1)


def two_modules(call: Call, z: State, x: Embedded, cycles: int) -> State:
    """``hierarchical`` with a stack per stream; gradients see only each stack's last call (HRM, arXiv 2506.21734)."""
    high, low = z.unbind(1)
    injection = high + x
    with torch.no_grad():
        for _ in range(cycles - 1):
            low = call(0, low, injection)
    low = call(0, low, injection)
    return torch.stack([call(1, high, low), low], 1)


RECURSIONS: dict[str, Recursion] = {
    "flat": Recursion(1, 1, flat),
    "hierarchical": Recursion(2, 1, hierarchical),
    "two_modules": Recursion(2, 2, two_modules),
}
