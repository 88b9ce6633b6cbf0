"""A small form of the state of a run, to carry to another machine: half of its numbers are rounded to bfloat16.

These are the moments of the optimizers, and the distances of the averaged weights from the weights. The weights stay as
they are. A state without slots has this form, since it does not continue a run to the bit anyway.
"""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from eqr.errors import InputError
from eqr.storage.states import State
from eqr.training.kept import MOMENTS

MODULE = "module."
"""Prefix of the averaged weights' names."""


def small(state: State) -> State:
    """Returns the small form of a state."""
    weights = state["model"]
    average = {
        name: (value - weights[name.removeprefix(MODULE)]).bfloat16() if name.startswith(MODULE) else value
        for name, value in state["average"].items()
    }
    return state | {"small": True, "average": average, "optimizers": _moments(state, Tensor.bfloat16)}


def whole(state: State) -> State:
    """Returns a state of which the small form may be given; raises InputError if that is damaged."""
    if not state.get("small"):
        return state
    try:
        weights: Mapping[str, Tensor] = state["model"]
        average = {
            name: weights[name.removeprefix(MODULE)] + value.float() if name.startswith(MODULE) else value
            for name, value in state["average"].items()
        }
        return state | {"average": average, "optimizers": _moments(state, Tensor.float)}
    except (LookupError, TypeError, AttributeError, RuntimeError):  # parts are missing, or of other kinds or sizes
        raise InputError("its small form does not fit this run") from None


def _moments(state: State, form: Callable[[Tensor], Tensor]) -> list[dict[str, Any]]:
    return [
        optimizer
        | {
            "state": {
                place: {name: form(value) if name in MOMENTS else value for name, value in values.items()}
                for place, values in optimizer["state"].items()
            }
        }
        for optimizer in state["optimizers"]
    ]
