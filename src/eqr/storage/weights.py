"""Reads weights files of others. The header, which is small, is compared with the network before any number is read.

Knows shapes and names, no network.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.overrides import TorchFunctionMode

from eqr.data.reading import opened
from eqr.errors import InputError, shown

Shapes = Mapping[str, tuple[int, ...]]
"""The shape of each tensor, by its name."""
FLOATS = ("F16", "BF16", "F32", "F64")
"""Types of the numbers that weights may be stored as, in the words of safetensors."""
MOST_HEADER, MOST_TENSORS = 2**22, 10_000
"""Largest header in bytes, and the most tensors. A network has some dozens, at about a hundred bytes of header each."""
CURE = "copy or train the model again"


def read_weights(path: Path, wanted: Shapes | None, beside: str) -> dict[str, Tensor]:
    """Returns the tensors of a safetensors file in float32.

    Raises InputError, before numbers are read, if the names or shapes are not those that are ``wanted``, as the file
    ``beside`` asks for them; also if numbers are no floating-point numbers, or not finite.
    """
    _refuse_large_header(path)
    try:
        with safe_open(path, "pt") as file:
            names = list(file.keys())
            if len(names) > MOST_TENSORS:
                raise InputError(f"{path} has {len(names):,} tensors, at most {MOST_TENSORS:,} are read: {CURE}")
            slices = {name: file.get_slice(name) for name in names}
            shapes = {name: tuple(part.get_shape()) for name, part in slices.items()}
            if wanted is not None:
                refuse_misfit(path, wanted, shapes, beside)
            for name, part in slices.items():
                if part.get_dtype() not in FLOATS:
                    raise InputError(
                        f"{path}: tensor '{shown(name)}' is of type {shown(part.get_dtype())}, and weights must be "
                        f"floating-point numbers ({', '.join(FLOATS)}): save them in float32"
                    )
            return {name: finite(file.get_tensor(name), name, path, CURE) for name in names}
    except SafetensorError as error:
        raise InputError(f"{path} is truncated or not a safetensors file ({shown(str(error))}): {CURE}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}): {CURE}") from None


def _refuse_large_header(path: Path) -> None:
    """Raises InputError for a file that cannot be read, or has a longer header than any network needs."""
    with opened(path, CURE) as file:
        size = int.from_bytes(file.read(8), "little")
    # The first eight bytes of another kind of file may say anything; the reader knows it by its missing header.
    if MOST_HEADER < size <= path.stat().st_size:
        raise InputError(f"{path} has a header of {size:,} bytes, at most {MOST_HEADER:,} are read: {CURE}")


def refuse_misfit(path: Path, wanted: Shapes, shapes: Shapes, beside: str) -> None:
    """Raises InputError naming the first tensor that is missing, left over, or of another shape than ``wanted``."""
    name = misfit(wanted, shapes)
    if name is not None:
        raise InputError(
            f"{path} does not fit its {beside} (first difference: {shown(name)} is {_described(shapes.get(name))} in "
            f"the file, and {_described(wanted.get(name))} by {beside}): they are of different models"
        )


def misfit(ours: Shapes, theirs: Shapes) -> str | None:
    """Returns the first name under which the two differ in presence or shape, if any."""
    return min((name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)), default=None)


def _described(shape: tuple[int, ...] | None) -> str:
    if shape is None:
        return "absent"
    return " x ".join(map(str, shape[:8])) or "one number"


def finite(tensor: Tensor, name: str, path: Path, cure: str) -> Tensor:
    """Returns the tensor in float32; raises InputError naming the first place that holds no finite number there."""
    tensor = tensor.to(torch.float32)
    if not (right := torch.isfinite(tensor)).all():
        place = torch.nonzero(~right)[0].tolist()
        raise InputError(
            f"{path}: tensor '{shown(name)}' is {tensor[tuple(place)].item()} at {place}, and weights must be finite: "
            f"{cure}"
        )
    return tensor


@contextmanager
def without_numbers() -> Iterator[None]:
    """Makes tensors of the body have shapes and no numbers, so that a network of any size takes no memory."""
    with torch.device("meta"), _Undrawn():
        yield


DRAWN = (torch.randn, torch.rand)
ELEMENTWISE = {
    f"__{before}{name}__" for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow") for before in ("", "r")
} | {"clone", "add", "sub", "mul", "div", "pow", "neg", "sqrt", "rsqrt", "exp", "cos", "sin", "__neg__"}
"""Functions that a network in the making may call, and whose result has the shape of its arguments, broadcast."""


class _Undrawn(TorchFunctionMode):
    """Draws no random numbers and does no arithmetic, which meta tensors do not need.

    For both torch would import its compiler, which takes seconds.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = {name: value for name, value in (kwargs or {}).items() if name != "generator"}
        name = getattr(func, "__name__", "")
        if name in ("normal_", "uniform_") or getattr(func, "__module__", None) == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        if name in ELEMENTWISE:
            return torch.empty(np.broadcast_shapes(*(arg.shape for arg in args if isinstance(arg, Tensor))))
        if kwargs.get("device") is not None:
            kwargs["device"] = "meta"
        return (torch.empty if func in DRAWN else func)(*args, **kwargs)
