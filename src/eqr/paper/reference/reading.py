"""Reads a torch file of the reference trainer: a zip of a pickle and of the bytes of each tensor.

Only the weights' bytes are read, and never more bytes than the file has: a large declared size costs no memory.
"""

import math
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from eqr.errors import InputError
from eqr.paper.reference.pickles import Described, Storage, unpickled

DTYPES = {
    "torch.FloatStorage": torch.float32,
    "torch.DoubleStorage": torch.float64,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
}


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """The parts of a checkpoint that make the model."""

    tensors: dict[str, Tensor]
    """Weights and buffers, by their names in the inner network."""
    config: dict[object, object]
    """The configuration of the run; its ``arch`` describes the network."""
    averaged: bool = False
    """True if the weights are the moving average (EMA), which the reference evaluates; else those of the last step."""


def read_checkpoint(path: Path) -> Checkpoint:
    """Reads the configuration and the weights, averaged ones if there are any.

    Raises InputError if the file is something else, is damaged, or would call anything when unpickled.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(path, archive)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}): give the .pth file of a run") from None
    except InputError:
        raise
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise InputError(
            f"{path} is truncated or not a file of torch.save as of torch 1.6 ({str(error)[:80]!r}): get it again"
        ) from None


def _read(path: Path, archive: zipfile.ZipFile) -> Checkpoint:
    roots = [name.removesuffix("data.pkl") for name in archive.namelist() if re.fullmatch(r"[^/]+/data\.pkl", name)]
    if len(roots) != 1:
        raise InputError(f"{path} is a zip file, but not one of torch.save: give the .pth file of a run")
    content = unpickled(_stored(path, archive, roots[0] + "data.pkl"), str(path))
    if not isinstance(content, dict) or not isinstance(content.get("config"), dict):
        raise InputError(f"{path} holds no configuration of a run: give a checkpoint as the reference trainer saves it")
    average = content.get("ema")
    averaged = _named(path, average.get("shadow", average) if isinstance(average, dict) else None)
    # Only parameters are averaged: buffers (the fixed start of TRM) come from the last weights.
    named = {**_named(path, content.get("model")), **averaged}
    if not named:
        raise InputError(f"{path} holds no weights: give a checkpoint as the reference trainer saves it")
    # Weights may be views of one storage, which counts once; together they are no larger than the file.
    storages = {tensor.storage for tensor in named.values()}
    counts = (math.prod(size for size in tensor.shape if isinstance(size, int)) for tensor in named.values())
    if max(sum(abs(storage.length) for storage in storages), sum(map(abs, counts))) > path.stat().st_size:
        raise InputError(f"{path} declares more numbers than it has bytes: get the file again")
    numbers: dict[Storage, Tensor] = {}
    tensors = {}
    for name, tensor in named.items():
        if tensor.storage not in numbers:
            numbers[tensor.storage] = _numbers(path, archive, roots[0], name, tensor.storage)
        tensors[name] = _tensor(path, name, tensor, numbers[tensor.storage])
    return Checkpoint(tensors=tensors, config=content["config"], averaged=bool(averaged))


def _named(path: Path, state: object) -> dict[str, Described]:
    """The tensors of a state dict by their names in the inner network."""
    tensors: dict[str, Described] = {}
    for name, tensor in state.items() if isinstance(state, dict) else ():
        if isinstance(name, str) and isinstance(tensor, Described):
            # Compilation and the loss head wrap the network, in any order.
            inner = re.sub(r"^((_orig_mod|model|inner)\.)+", "", name)
            if inner in tensors:
                raise InputError(f"{path} holds the tensor {inner!r} twice: it is not a checkpoint of one network")
            tensors[inner] = tensor
    return tensors


def _stored(path: Path, archive: zipfile.ZipFile, name: str) -> bytes:
    """The bytes of an uncompressed entry; compressed ones are refused, so that a small file cannot fill the memory."""
    try:
        entry = archive.getinfo(name)
    except KeyError:
        raise InputError(f"{path} lacks its part {name!r}: get the file again") from None
    if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > path.stat().st_size:
        raise InputError(f"{path}: the part {name!r} is compressed, which torch.save does not do: get the file again")
    return archive.read(entry)


def _tensor(path: Path, name: str, described: Described, numbers: Tensor) -> Tensor:
    """A tensor from the numbers of its storage; raises InputError unless it lies within them."""
    _, offset, shape, stride = described
    sizes = [size for size in shape if isinstance(size, int) and size > 0]
    steps = [step for step in stride if isinstance(step, int) and 0 <= step <= len(numbers)]
    if not len(sizes) == len(shape) == len(steps) == len(stride) <= 8:
        raise InputError(f"{path}: tensor {name!r} is not an array of floating-point numbers")
    last = offset + sum((size - 1) * step for size, step in zip(sizes, steps, strict=True))
    # A view may be transposed, but it may not be larger than its storage: a stride of 0 would let it swell.
    if not 0 <= offset <= last < len(numbers) or math.prod(sizes) > len(numbers):
        raise InputError(f"{path}: tensor {name!r} does not fit its stored bytes: get the file again")
    return torch.as_strided(numbers, sizes, steps, offset).clone(memory_format=torch.contiguous_format)


def _numbers(path: Path, archive: zipfile.ZipFile, root: str, name: str, storage: Storage) -> Tensor:
    """The numbers of a storage; raises InputError unless they are floating-point and all there."""
    if storage.kind not in DTYPES:
        raise InputError(f"{path}: tensor {name!r} ({storage.kind}) is not an array of floating-point numbers")
    data, dtype = bytearray(_stored(path, archive, f"{root}data/{storage.key}")), DTYPES[storage.kind]
    if not data or len(data) != storage.length * dtype.itemsize:
        raise InputError(f"{path}: tensor {name!r} does not fit its stored bytes: get the file again")
    return torch.frombuffer(data, dtype=dtype)
