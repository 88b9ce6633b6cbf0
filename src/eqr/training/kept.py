"""Whether the state of a run that was kept on disk fits the run that would go on from it. Changes nothing.

A state may be of another version, damaged in a way that no checksum notices, or made by a stranger. Checked before any
of it is used, so that a run can still go on from the state before it.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from eqr.errors import InputError, shown
from eqr.model import Reasoner
from eqr.storage.states import State
from eqr.tasks import Task

PARTS: dict[str, type | tuple[type, ...]] = {
    **{"seconds": (int, float), "bf16": bool, "task": str, "model": dict, "average": dict},
    **{"optimizers": list, "slots": dict, "losses": list, "left": list},
}
READ = {
    "AdamW": ("step", "exp_avg", "exp_avg_sq"),
    "Muon": ("momentum_buffer",),
    "AdamAtan2": ("steps", "exp_avg", "exp_avg_sq"),
}
"""Entries that a step of an optimizer reads for each parameter, once it has made its first step."""
MOMENTS = ("exp_avg", "exp_avg_sq", "momentum_buffer")
"""Entries that have the shape of their parameter."""


def refuse_unfit(
    state: State,
    model: Reasoner,
    average: torch.nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    slots: int,
    grow_to: int,
) -> None:
    """Raises InputError naming the first part of ``state`` that a run with these parts cannot go on from."""
    for name, kind in PARTS.items():
        if not isinstance(state.get(name), kind):
            raise _unfit(name)
    if state["step"] < 0 or not 0 <= state["seconds"] < math.inf:
        raise _unfit("step or seconds")
    for name, module in (("model", model), ("average", average)):
        _refuse_tensors(name, state[name], module.state_dict())
    if len(state["optimizers"]) != len(optimizers):
        raise _unfit("optimizers")
    for number, (kept, optimizer) in enumerate(zip(state["optimizers"], optimizers, strict=True)):
        _refuse_optimizer(f"optimizers[{number}]", kept, optimizer)
    _refuse_slots(state["slots"], model, board_of(state, model.task, grow_to), slots)
    if not all(type(loss) is float and math.isfinite(loss) for loss in state["losses"]):
        raise _unfit("losses")
    if not all(isinstance(pair, tuple) and [type(count) for count in pair] == [int, int] for pair in state["left"]):
        raise _unfit("left")


def board_of(state: State, task: Task, grow_to: int) -> Task:
    """Returns the task that the run had grown to; raises InputError if ``task`` does not grow to it."""
    while task.name != state["task"]:
        if task.layout.rows >= grow_to:
            raise InputError(f"its board {shown(state['task'])!r} is not one of this run")
        task = task.larger()
    return task


def _unfit(part: str) -> InputError:
    return InputError(f"its part {shown(part)!r} does not fit this run")


def _refuse_tensors(part: str, kept: Mapping[Any, Any], wanted: Mapping[str, Tensor]) -> None:
    if kept.keys() != wanted.keys():
        raise _unfit(part)
    for name, value in wanted.items():
        _refuse_tensor(f"{part}.{name}", kept[name], value.shape, value.dtype)


def _refuse_tensor(name: str, tensor: Any, shape: Sequence[int], dtype: torch.dtype | None = None) -> None:
    if not isinstance(tensor, Tensor) or tuple(tensor.shape) != tuple(shape) or dtype not in (None, tensor.dtype):
        raise _unfit(name)
    if not torch.isfinite(tensor).all():
        raise InputError(f"its part {shown(name)!r} holds a number that is not finite")


def _refuse_optimizer(part: str, kept: Any, optimizer: torch.optim.Optimizer) -> None:
    groups, states = (kept.get(key) if isinstance(kept, dict) else None for key in ("param_groups", "state"))
    ours = optimizer.state_dict()["param_groups"]
    if not isinstance(groups, list) or not isinstance(states, dict) or len(groups) != len(ours):
        raise _unfit(part)
    for group, own in zip(groups, ours, strict=True):
        alike = isinstance(group, dict) and group.keys() == own.keys() and group["params"] == own["params"]
        if not alike or any(_kind(group[key]) is not _kind(own[key]) for key in own):
            raise _unfit(f"{part}.param_groups")
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    read = READ.get(type(optimizer).__name__, ())
    for place, values in states.items():
        if type(place) is not int or place >= len(parameters) or not isinstance(values, dict):
            raise _unfit(f"{part}.state")
        if not set(read) <= values.keys():
            raise _unfit(f"{part}.state[{place}]")
        for name, value in values.items():
            if isinstance(value, Tensor) or name in MOMENTS:
                shape = parameters[place].shape if name in MOMENTS else getattr(value, "shape", ())
                _refuse_tensor(f"{part}.state[{place}].{name}", value, shape)


def _kind(value: object) -> type:
    return float if type(value) is int else type(value)


def _refuse_slots(kept: Mapping[Any, Any], model: Reasoner, task: Task, slots: int) -> None:
    streams, cells, width = model.state_shape
    layout = task.layout
    board = (slots, layout.width)
    state = (slots, streams, cells - model.task.layout.cells + layout.cells, width)
    shapes = {"inputs": board, "labels": board, "told": board, "z": state, "age": (slots,), "drawn": (slots,)}
    for name, shape in shapes.items() if kept.keys() != {"drawn"} else [("drawn", (slots,))]:
        _refuse_tensor(f"slots.{name}", kept.get(name), shape, torch.float32 if name == "z" else torch.int64)
        if name != "z" and not (kept[name] >= 0).all():
            raise _unfit(f"slots.{name}")
        # Beside symbols, a row of a problem holds a header of any numbers, and V + 1 where it has no variable.
        header, most = (layout.rule_cells, layout.symbols + 1) if layout.frame else (0, layout.symbols)
        if shape == board and not (kept[name][:, header:] <= most).all():
            raise _unfit(f"slots.{name}")
