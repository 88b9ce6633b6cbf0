"""A file of torch.save: a zip of a pickle and of the bytes of each storage.

Only the bytes that are asked for are read, and never more bytes than the file has: a large declared size costs no
memory. Nothing of the file is run. Knows no names of weights.
"""

import math
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

import torch
from torch import Tensor

from eqr.data import reading
from eqr.errors import InputError, shown
from eqr.storage.pickles import Described, Storage, unpickled
from eqr.storage.weights import finite

FLOATS = {
    "torch.FloatStorage": torch.float32,
    "torch.DoubleStorage": torch.float64,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
}
DTYPES = FLOATS | {
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
}
MOST_PICKLED, MOST_DIRECTORY = 2**26, 2**23
"""Largest pickle and largest directory of a zip accepted, in bytes. Weights are outside of both; the states of a
trainer take kilobytes."""
MOST_VALUES, MOST_DEPTH = 1_000_000, 50
"""Most values that ``whole`` gives, and how deep they may be nested: a short pickle can stand for endless ones."""
DAMAGE = (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError, OverflowError, zlib.error)
"""Errors of a damaged zip file."""


@contextmanager
def opened(path: Path, cure: str) -> Iterator["TorchFile"]:
    """Opens a file; raises InputError, also from the body, if the file is something else or is damaged."""
    try:
        with reading.opened(path, cure) as file:
            zipped = _Zipped(file)
            with zipfile.ZipFile(zipped) as archive:
                zipped.most = -1
                yield TorchFile(path, archive, cure)
    except InputError:
        raise
    except DAMAGE as error:
        raise InputError(
            f"{path} is damaged, truncated or not a file of torch.save as of torch 1.6 ({shown(str(error))}): {cure}"
        ) from None


class _Zipped(BufferedReader):
    """A file whose directory is refused if it is large: zipfile reads the whole of it at once."""

    most = MOST_DIRECTORY

    def __init__(self, file: BufferedReader) -> None:
        super().__init__(file.raw)

    def read(self, size: int | None = -1, /) -> bytes:
        """Returns ``size`` bytes; raises BadZipFile if these are more than ``most``, -1 for no limit."""
        if size is not None and size > self.most > 0:
            raise zipfile.BadZipFile(f"its directory has {size:,} bytes, at most {self.most:,} are read")
        return super().read(size)


class TorchFile:
    """An open file of torch.save."""

    def __init__(self, path: Path, archive: zipfile.ZipFile, cure: str) -> None:
        self.path, self.archive, self.cure, self.size = path, archive, cure, path.stat().st_size
        names = [name for name in archive.namelist() if re.fullmatch(r"[^/]+/data\.pkl", name)]
        if len(names) != 1:
            raise InputError(f"{path} is a zip file, but not one of torch.save: {cure}")
        self.root = names[0].removesuffix("data.pkl")

    def content(self) -> object:
        """Returns the saved object: plain data, and descriptions of tensors."""
        return unpickled(self._stored(f"{self.root}data.pkl", MOST_PICKLED), str(self.path))

    def whole(self) -> object:
        """Returns the saved object with its tensors: plain data only, anything else raises InputError."""
        return _Whole(self).made(self.content(), 0)

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
            if view.storage.kind not in FLOATS:
                raise InputError(
                    f"{self.path}: tensor '{shown(name)}' ({shown(view.storage.kind)}) holds no floating-point "
                    f"numbers: save the weights in float32"
                )
            if view.storage not in numbers:
                numbers[view.storage] = self.numbers(name, view.storage)
            if not math.prod(view.shape):
                raise self._misfit(name)
            cure = "take an earlier checkpoint of the run"
            tensors[name] = finite(self.tensor(name, view, numbers[view.storage]), name, self.path, cure)
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

    def numbers(self, name: str, storage: Storage) -> Tensor:
        """Returns the numbers of a storage; raises InputError unless they are of a known type and all there."""
        if storage.kind not in DTYPES:
            raise InputError(f"{self.path}: tensor '{shown(name)}' ({shown(storage.kind)}) holds no known numbers")
        data, dtype = bytearray(self._stored(f"{self.root}data/{storage.key}", self.size)), DTYPES[storage.kind]
        if len(data) != storage.length * dtype.itemsize:
            raise self._misfit(name)
        if not data:
            return torch.empty(0, dtype=dtype)
        # A byte of a bool that is neither 0 nor 1 has no defined meaning.
        if dtype == torch.bool:
            return torch.frombuffer(data, dtype=torch.uint8).bool()
        return torch.frombuffer(data, dtype=dtype)

    def tensor(self, name: str, view: Described, numbers: Tensor) -> Tensor:
        """Returns a tensor from the numbers of its storage; raises InputError unless it lies within them."""
        count = math.prod(view.shape)
        last = view.offset + sum((size - 1) * step for size, step in zip(view.shape, view.stride, strict=True))
        # A view may be transposed, but it may not be larger than its storage: a stride of 0 would let it swell.
        if count > len(numbers) or (count and last >= len(numbers)):
            raise self._misfit(name)
        if not count:
            return torch.empty(view.shape, dtype=numbers.dtype)
        return torch.as_strided(numbers, view.shape, view.stride, view.offset).clone(
            memory_format=torch.contiguous_format
        )

    def _misfit(self, name: str) -> InputError:
        return InputError(f"{self.path}: tensor '{shown(name)}' does not fit its stored bytes: get the file again")


class _Whole:
    """Replaces the descriptions in a saved object by their tensors, which take no more memory than the file."""

    def __init__(self, file: TorchFile) -> None:
        self.file, self.numbers = file, dict[Storage, Tensor]()
        self.values = self.read = self.made_bytes = 0

    def made(self, value: object, depth: int, name: str = "") -> object:
        """Returns a copy of ``value`` with tensors."""
        self.values += 1
        if self.values > MOST_VALUES or depth > MOST_DEPTH:
            raise InputError(
                f"{self.file.path} holds more than {MOST_VALUES:,} values or nests them more than {MOST_DEPTH} deep: "
                f"{self.file.cure}"
            )
        match value:
            case Described():
                return self._tensor(value, name)
            case dict():
                return {key: self.made(item, depth + 1, str(key)) for key, item in value.items()}
            case list():
                return [self.made(item, depth + 1, name) for item in value]
            case tuple() if type(value) is tuple:
                return tuple([self.made(item, depth + 1, name) for item in value])
            case None | bool() | int() | float() | str():
                return value
        raise InputError(
            f"{self.file.path} holds an object at '{shown(name)}', only plain data is read: {self.file.cure}"
        )

    def _tensor(self, view: Described, name: str) -> Tensor:
        storage = view.storage
        if storage not in self.numbers:
            self.read += storage.length
            self._refuse_more(self.read)
            self.numbers[storage] = self.file.numbers(name, storage)
        numbers = self.numbers[storage]
        self.made_bytes += math.prod(view.shape) * numbers.itemsize
        self._refuse_more(self.made_bytes)
        return self.file.tensor(name, view, numbers)

    def _refuse_more(self, count: int) -> None:
        if count > self.file.size:
            raise InputError(f"{self.file.path} declares more numbers than it has bytes: {self.file.cure}")


def damage(path: Path) -> str | None:
    """Checks a file of torch.save by the checksum of each part; returns what is wrong, None if nothing is."""
    try:
        with opened(path, "") as file:
            entries = file.archive.infolist()
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                return "a part is compressed, which torch.save does not do"
            if sum(entry.file_size for entry in entries) > file.size:
                return "its parts are larger than the file"
            part = file.archive.testzip()
    except InputError as error:
        return str(error)
    return f"the checksum of {shown(part)} is wrong" if part else None
