"""Counts the work that a device would wait for, or be made to wait by, without a device."""

import sys
from collections import Counter
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

import eqr

PACKAGE = f"{Path(eqr.__file__).parent}/"
VIEWS = """view _unsafe_view unsqueeze squeeze transpose t permute expand select slice split split_with_sizes unbind
unfold diagonal as_strided alias detach lift_fresh empty empty_like empty_strided new_empty device"""
"""Operators that start no kernel."""
SYNCS = ("item", "tolist", "cpu", "nonzero", "numpy", "__bool__", "__int__", "__float__", "__index__", "__array__")
"""Methods of a tensor that wait for its value."""


class Operators(TorchDispatchMode):
    """Counts dispatched operators of its thread that are no views, by name: each would start a kernel on a device."""

    def __init__(self) -> None:
        super().__init__()
        self.names: Counter[str] = Counter()

    @property
    def total(self) -> int:
        """Operators so far."""
        return self.names.total()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd"):
            with self:  # in inference mode such operators arrive whole
                return func.decompose(*args, **(kwargs or {}))
        name = func._schema.name.split("::")[1]
        if name not in VIEWS.split():
            self.names[name] += 1
        return func(*args, **(kwargs or {}))


class Syncs:
    """Counts calls that wait for the value of a tensor, by the line of eqr that makes them.

    Calls from the modules ``apart`` (parts of their paths) do not count: they see only tensors of the CPU. One call
    counts once, however it is made of others, and calls on the result of ``cpu()`` do not wait.
    """

    def __init__(self, *apart: str) -> None:
        self.apart = apart
        self.lines: Counter[str] = Counter()
        self._inside = False

    @property
    def total(self) -> int:
        """Calls so far."""
        return self.lines.total()

    def __enter__(self) -> "Syncs":
        self._methods = {name: getattr(Tensor, name) for name in SYNCS}
        for name, method in self._methods.items():
            setattr(Tensor, name, self._counted(name, method))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for name, method in self._methods.items():
            setattr(Tensor, name, method)

    def _counted(self, name: str, method: Any) -> Any:
        def counted(tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
            line = None if self._inside or hasattr(tensor, "on_host") else _line()
            if line and not any(part in line for part in self.apart):
                self.lines[f"{line} {name}"] += 1
            outer, self._inside = self._inside, True
            try:
                result = method(tensor, *args, **kwargs)
                if name == "cpu":  # also on a CPU this is another tensor, which is on the host
                    result = result.detach()
                    result.on_host = True
                return result
            finally:
                self._inside = outer

        return counted


def _line() -> str | None:
    """The innermost line of eqr that is being run, as path:line below the package."""
    frame: FrameType | None = sys._getframe(2)
    while frame and not frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    return f"{frame.f_code.co_filename.removeprefix(PACKAGE)}:{frame.f_lineno}" if frame else None


def without_numbers(model: torch.nn.Module, mode: FakeTensorMode) -> None:
    """Moves a model to the device meta, where each operator checks the devices of its arguments."""
    for module in model.modules():
        for name, weight in module._parameters.items():
            if weight is not None:
                module._parameters[name] = torch.nn.Parameter(mode.from_tensor(weight.detach()).to("meta"))
        for name, each in module._buffers.items():
            if each is not None:
                module._buffers[name] = mode.from_tensor(each).to("meta")
