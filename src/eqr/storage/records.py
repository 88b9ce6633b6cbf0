"""A file of JSON lines, one record for each item of an input, that one process or several write as records come.

Every line is whole or it is cut, so a run that was killed goes on behind the last whole line. Several processes write
parts beside the file, whose lines begin with the number of their item; when all items are there, the parts are
merged in the order of the items. Knows no puzzle.
"""

import heapq
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from errno import ENOSPC
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeAlias, TypeVar

from filelock import FileLock, Timeout

from eqr.distributed import Ranks
from eqr.errors import InputError

T = TypeVar("T")
MOST_LINE = 2**24
"""Bytes of the longest record."""
MOST_DIGITS = 8
"""Digits of the largest number of an item in a part, each of which takes a byte of memory."""
OTHER = "choose another name with --out"

Existing: TypeAlias = Literal["refuse", "continue", "replace"]


class RecordFile:
    """The records of an input's items, in order; open inside its ``with`` block, whose regular end merges parts."""

    def __init__(
        self,
        path: Path,
        ranks: Ranks,
        existing: Existing,
        waiting: Callable[[str], AbstractContextManager[None]] = lambda title: nullcontext(),
    ) -> None:
        """``existing`` says what happens to a file of this name, and to its parts; ``ranks`` share the items.

        Long files are read and joined, and other processes waited for, inside ``waiting(title)``.
        """
        self.path, self.ranks, self.existing = path, ranks, existing
        self._waiting = waiting if ranks.first else lambda title: nullcontext()
        self.last: dict[str, Any] | None = None
        """The last record of the file that a resumed run found."""
        self.found = 0
        """Items, the first ones, whose records a resumed run found in the file."""
        self._elsewhere = bytearray()
        """1 for each item whose record is in a part."""
        self._stack = ExitStack()
        self._file: FileIO | None = None

    def __enter__(self) -> "RecordFile":
        """Raises InputError if the file exists and is to be refused, is in use, or cannot be written."""
        if self.path.exists() and not self.path.is_file():
            raise InputError(f"{self.path} is not a regular file: give another name")
        if self.ranks.first:
            self._lock()
            if self.existing == "replace":
                for old in (self.path, *self._parts().values()):
                    old.unlink(missing_ok=True)
        self.ranks.wait()
        if self.existing == "refuse" and (self.path.exists() or self._parts()):
            raise InputError(f"{self.path} exists: give --resume to go on, or another name with --out")
        parts = self._parts()
        with self._waiting(f"reading {self.path.name}"):
            self.found = self._whole_lines()
            for part in parts.values():
                for number, _ in _numbered(part):
                    self._elsewhere.extend(bytes(max(0, number + 1 - len(self._elsewhere))))
                    self._elsewhere[number] = 1
        self.ranks.wait()  # until every process has seen the parts of earlier runs, and none of this one
        self._direct = self.ranks.size == 1 and not parts
        number = 1 + max(parts, default=0) + self.ranks.rank
        own = self.path if self._direct else self.path.with_name(f"{self.path.name}.part{number}")
        try:
            self._file = self._stack.enter_context(own.open("ab", buffering=0))
        except OSError as error:
            raise self._unwritable(error) from None
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._stack:
            if self._file:
                self._file.close()
            if kind is None and not self._direct:
                with self._waiting("joining the parts of all processes"):
                    self.ranks.wait()
                    if self.ranks.first:
                        self._merge()

    def to_do(self, items: Iterable[T]) -> Iterator[tuple[int, T]]:
        """Yields the number, from 0, and the item for each item that has no record yet and is this process's own."""
        left = 0
        for number, item in enumerate(items):
            if number < self.found or (number < len(self._elsewhere) and self._elsewhere[number]):
                continue
            left += 1
            if left % self.ranks.size == self.ranks.rank:
                yield number, item

    def write(self, number: int, record: Mapping[str, Any]) -> None:
        """Adds the record of an item; items of one process come in order. Raises InputError if the disk is full."""
        assert self._file
        line = f"{json.dumps(record)}\n"
        line = line if self._direct else f"{number}\t{line}"
        try:
            if self._file.write(line.encode()) < len(line):  # a part of the line fitted on the disk
                raise OSError(ENOSPC, os.strerror(ENOSPC))
        except OSError as error:
            raise self._unwritable(error) from None

    def records(self) -> Iterator[dict[str, Any]]:
        """Yields the records of the file, in order; raises InputError for a line that is none."""
        for number, line in enumerate(_lines(self.path), 1):
            record = _record_in(line)
            if record is None:
                raise self._foreign(number)
            yield record

    def _lock(self) -> None:
        try:
            self._stack.enter_context(FileLock(self.path.with_name(f".{self.path.name}.lock"), blocking=False))
        except Timeout:
            raise InputError(f"{self.path} is being written by another process: wait for its end") from None
        except OSError as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: OSError) -> InputError:
        further = "" if self.existing == "replace" else ", then go on with --resume"
        return InputError(f"cannot write {self.path} ({error.strerror}): free space or choose another place{further}")

    def _parts(self) -> dict[int, Path]:
        """The parts that lie beside the file, by number."""
        start = f"{self.path.name}.part"
        names = [path.name for path in self.path.parent.iterdir() if path.name.startswith(start)]
        numbers = sorted(int(name.removeprefix(start)) for name in names if name.removeprefix(start).isdecimal())
        return {number: self.path.with_name(f"{start}{number}") for number in numbers}

    def _whole_lines(self) -> int:
        """Counts the records of the file; cuts off half a line at its end.

        Raises InputError, and changes nothing, if the file holds something else than records.
        """
        if not self.path.exists():
            return 0
        count = end = 0
        last = half = b""
        try:
            for line in _lines(self.path):
                if not line.endswith(b"\n"):
                    half = line
                elif not _looks_whole(line):
                    raise self._foreign(count + 1)
                else:
                    count, end, last = count + 1, end + len(line), line
            unended = _record_in(half)  # only its line end is missing
            self.last = _record_in(last) if unended is None else unended
            if self.last is None and (last or not _may_be_cut(half)):
                raise self._foreign(count or 1)
            if half and self.ranks.first:
                if unended is None:
                    os.truncate(self.path, end)
                else:  # only added to, since other processes count its records at this time
                    with self.path.open("ab") as file:
                        file.write(b"\n")
        except OSError as error:
            raise self._unwritable(error) from None
        return count + (unended is not None)

    def _foreign(self, line: int) -> InputError:
        return InputError(f"{self.path} holds no records of a run, or they are damaged (line {line}): {OTHER}")

    def _merge(self) -> None:
        """Appends the records of all parts to the file, as far as none is missing; then removes the parts."""
        parts = list(self._parts().values())
        with self.path.open("ab") as file:
            written = self.found
            for number, record in heapq.merge(*map(_numbered, parts)):
                if number > written:
                    raise InputError(f"{self.path} lacks the record of item {written + 1}: go on with --resume")
                if number == written:
                    file.write(record)
                    written += 1
            file.flush()
            os.fsync(file.fileno())
        for part in parts:
            part.unlink()


def _numbered(part: Path) -> Iterator[tuple[int, bytes]]:
    """Yields number and record of each whole line of a part; leaves out damaged lines, whose items are done again."""
    for line in _lines(part):
        number, _, record = line.partition(b"\t")
        if number.isdigit() and len(number) <= MOST_DIGITS and _looks_whole(record):
            yield int(number), record


def _lines(path: Path) -> Iterator[bytes]:
    """Yields the lines of a file; raises InputError for a line that is longer than any record."""
    with path.open("rb") as file:
        while line := file.readline(MOST_LINE + 1):
            if len(line) > MOST_LINE:
                raise InputError(f"{path} has a line of more than {MOST_LINE:,} bytes, so it holds no records: {OTHER}")
            yield line


def _looks_whole(line: bytes) -> bool:
    """Returns whether a line may be a record; a disk that lost power may hold zeros in its place."""
    return line.startswith(b"{") and line.endswith(b"}\n") and b"\0" not in line


def _may_be_cut(half: bytes) -> bool:
    """Returns whether this may be the beginning of a record, or what a disk holds in its place after it lost power."""
    return half.startswith((b"{", b"\0")) or not half


def _record_in(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None
