"""Opens a text file as lines, whatever its encoding, line ends and compression. Knows nothing of puzzles.

One line is held at a time, and at most ``MOST`` characters of a line, so memory does not grow with the file.
"""

import bz2
import gzip
import io
import lzma
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from eqr.errors import InputError, printable

MOST = 1 << 20
"""Characters of a line that are read; no board has a hundredth as many."""
HEAD = 4096
"""Bytes by which the kind of a file is recognised."""
COMPRESSED: dict[bytes, Callable[[io.BufferedReader], gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
}
"""First bytes of a compressed file, and how to open it."""
NO_TEXT = {
    b"PK\x03\x04": "a zip archive or a spreadsheet: unpack it, or save it as CSV",
    b"\x28\xb5\x2f\xfd": "compressed by zstd: decompress it, or use gzip",
    b"\x93NUMPY": "a numpy array: save an npz with the arrays 'puzzles' and 'solutions'",
    b"PAR1": "a Parquet file: save it as CSV",
}
"""First bytes of files that are no text, and the cure."""
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
DAMAGED = (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError)


class Line(NamedTuple):
    """A line without its end."""

    number: int
    text: str
    cut: bool = False
    """True if the line is longer than ``MOST``, and ``text`` is its beginning."""


def name_of(source: str) -> str:
    """Returns the name of a source for messages."""
    return "standard input" if source == "-" else printable(source)


@contextmanager
def opened(source: str, on_read: Callable[[float], None] | None = None) -> Iterator[Iterator[Line]]:
    """Opens a path, or ``-`` for standard input, as lines; bytes that are no UTF-8 become unpaired surrogates.

    ``on_read`` is called with the shares of a file that are read, not for standard input.
    Raises InputError, also while lines are read, for a file that is missing, damaged, or not text.
    """
    name = name_of(source)
    try:
        if source == "-":
            # A stream of text that stands in for standard input has no bytes to look at.
            binary = getattr(sys.stdin, "buffer", None)
            if binary is None:
                yield (Line(number, line.rstrip("\r\n")) for number, line in enumerate(sys.stdin, 1))
                return
            # A second buffer over the first would wait until it is full, and so delay the answers to earlier lines.
            text = _decoded(binary if isinstance(binary, io.BufferedReader) else io.BufferedReader(binary), name)
            try:
                yield _bounded(text)
            finally:
                text.detach()  # keeps standard input open
        else:
            with open(source, "rb") as file, _decoded(file, name) as text:
                yield _followed(_bounded(text), file, on_read) if on_read else _bounded(text)
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is not {error.encoding.upper()} text ({error.reason}): save it as UTF-8") from None
    except DAMAGED as error:
        raise InputError(f"{name} is a damaged compressed file ({error}): copy or compress it again") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"cannot read {name} ({reason}): give a CSV or text file of puzzles") from None


def _followed(lines: Iterator[Line], file: io.BufferedReader, on_read: Callable[[float], None]) -> Iterator[Line]:
    """Yields the lines; tells ``on_read`` how far the file, compressed or not, is read, a thousandth at a time."""
    size, told = max(1, os.fstat(file.fileno()).st_size), 0.0
    for line in lines:
        yield line
        share = min(1.0, file.tell() / size)
        if share - told >= 0.001:
            on_read(share - told)
            told = share


def _decoded(stream: io.BufferedReader, name: str) -> io.TextIOWrapper:
    for start, opener in COMPRESSED.items():
        if stream.peek(HEAD).startswith(start):
            stream = io.BufferedReader(opener(stream))
            break
    head = stream.peek(HEAD)[:HEAD]
    for start, kind in NO_TEXT.items():
        if head.startswith(start):
            raise InputError(f"{name} is {kind}")
    if head.startswith(UTF_16):
        return io.TextIOWrapper(stream, encoding="utf-16")
    if b"\0" in head:
        raise InputError(f"{name} is not text: give a CSV, JSON lines or one puzzle per line, saved as UTF-8")
    return io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape")


def _bounded(text: io.TextIOWrapper) -> Iterator[Line]:
    number = 0
    while line := text.readline(MOST + 1):
        number += 1
        cut = len(line) > MOST and not line.endswith("\n")
        yield Line(number, line[:MOST].removesuffix("\n"), cut)
        while cut and line and not line.endswith("\n"):
            line = text.readline(MOST)
