"""A file of torch.save: a zip of a pickle and of the bytes of each storage.

Only the bytes that are asked for are read, and never more bytes than the file has: a large declared size costs no
memory. Nothing of the file is run. Knows no names of weights.
"""

import math
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from eqr.errors import InputError
from eqr.paper.reference.pickles import Described, Storage, shown, unpickled

DTYPES = {
    "torch.FloatStorage": torch.float32,
    "torch.DoubleStorage": torch.float64,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
}
MOST_PICKLED = 2**26
"""Largest pickle accepted, in bytes. Weights are outside of it; the states of a trainer take kilobytes."""


@contextmanager
def opened(path: Path) -> Iterator["TorchFile"]:
    """Opens a file; raises InputError, also from the body, if the file is something else or is damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield TorchFile(path, archive)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}): give the weights of a run") from None
    except InputError:
        raise
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise InputError(
            f"{path} is truncated or not a file of torch.save as of torch 1.6 ({shown(str(error))}): get it again"
        ) from None


class TorchFile:
    """An open file of torch.save."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self.path, self.archive, self.size = path, archive, path.stat().st_size
        names = [name for name in archive.namelist() if re.fullmatch(r"[^/]+/data\.pkl", name)]
        if len(names) != 1:
            raise InputError(f"{path} is a zip file, but not one of torch.save: give the weights of a run")
        self.root = names[0].removesuffix("data.pkl")

    def content(self) -> object:
        """Returns the saved object: plain data, and descriptions of tensors."""
        return unpickled(self._stored(f"{self.root}data.pkl", MOST_PICKLED), str(self.path))

    def tensors(self, views: dict[str, Described]) -> dict[str, Tensor]:
        """Returns the described tensors in float32.

        Raises InputError naming a tensor that holds anything but finite floating-point numbers, or more than are kept.
        """
        # Weights may be views of one storage, which counts once; together they are no larger than the file.
        declared = sum(storage.length for storage in {view.storage for view in views.values()})
        if max(declared, sum(math.prod(view.shape) for view in views.values())) > self.size:
            raise InputError(f"{self.path} declares more numbers than it has bytes: get the file again")
        numbers: dict[Storage, Tensor] = {}
        tensors = {}
        for name, view in views.items():
            if view.storage not in numbers:
                numbers[view.storage] = self._numbers(name, view.storage)
            tensors[name] = self._tensor(name, view, numbers[view.storage])
        return tensors

    def _stored(self, name: str, most: int) -> bytes:
        """The bytes of an uncompressed entry; compressed ones are refused, so a small file cannot fill the memory."""
        try:
            entry = self.archive.getinfo(name)
        except KeyError:
            raise InputError(f"{self.path} lacks its part '{shown(name)}': get the file again") from None
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > self.size:
            raise InputError(
                f"{self.path}: the part '{shown(name)}' is compressed, which torch.save does not do: get the file again"
            )
        if entry.file_size > most:
            raise InputError(f"{self.path}: the part '{shown(name)}' has more than {most} bytes: save weights alone")
        return self.archive.read(entry)

    def _numbers(self, name: str, storage: Storage) -> Tensor:
        """The numbers of a storage; raises InputError unless they are floating-point and all there."""
        if storage.kind not in DTYPES:
            raise InputError(
                f"{self.path}: tensor '{shown(name)}' ({shown(storage.kind)}) holds no floating-point numbers: "
                f"save the weights in float32"
            )
        data, dtype = bytearray(self._stored(f"{self.root}data/{storage.key}", self.size)), DTYPES[storage.kind]
        if not data or len(data) != storage.length * dtype.itemsize:
            raise self._misfit(name)
        return torch.frombuffer(data, dtype=dtype)

    def _tensor(self, name: str, view: Described, numbers: Tensor) -> Tensor:
        """A tensor from the numbers of its storage; raises InputError unless it lies within them and is finite."""
        last = view.offset + sum((size - 1) * step for size, step in zip(view.shape, view.stride, strict=True))
        # A view may be transposed, but it may not be larger than its storage: a stride of 0 would let it swell.
        if not 0 < math.prod(view.shape) <= len(numbers) or last >= len(numbers):
            raise self._misfit(name)
        tensor = torch.as_strided(numbers, view.shape, view.stride, view.offset)
        tensor = tensor.to(torch.float32, memory_format=torch.contiguous_format, copy=True)
        if not (finite := torch.isfinite(tensor)).all():
            place = torch.nonzero(~finite)[0].tolist()
            raise InputError(
                f"{self.path}: tensor '{shown(name)}' is {tensor[tuple(place)].item()} at {place}, and weights must be "
                f"finite: take an earlier checkpoint of the run"
            )
        return tensor

    def _misfit(self, name: str) -> InputError:
        return InputError(f"{self.path}: tensor '{shown(name)}' does not fit its stored bytes: get the file again")
