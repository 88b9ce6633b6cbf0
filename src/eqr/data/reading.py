"""Reads small files of others, which may be damaged or made to do harm: in bounded memory, and with one sentence for
each fault. Knows no content.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from io import BufferedReader
from pathlib import Path
from tokenize import TokenError
from typing import Any, NoReturn

from eqr.errors import InputError, parsed

MOST_TEXT = 2**20
"""Largest configuration, card or other small text that is read, in bytes."""
NUMPY = (ValueError, OverflowError, MemoryError, RecursionError, SyntaxError, TokenError)
"""Errors of numpy for an array with a damaged header, or one that is larger than the memory."""
MOST_DIGITS = 30
"""Digits of the longest number in a JSON file; Python refuses thousands of them with an error of its own."""
MOST_ROW_DIGITS = 4300
"""Digits of the longest number in a row of puzzles, as many as Python reads: beside the puzzle may lie hashes and keys.
"""


@contextmanager
def opened(path: Path, cure: str) -> Iterator[BufferedReader]:
    """Opens a file to read its bytes; raises InputError, ending with ``cure``, if there is none or it cannot be read.

    A folder, a device and a pipe are no files: a device has no end, and a pipe may never begin.
    """
    with _reasons(path, cure):
        if path.exists() and not path.is_file():
            raise InputError(f"{path} is {'a folder' if path.is_dir() else 'a device or a pipe'}, not a file: {cure}")
        with path.open("rb") as file:
            yield file


def is_folder(path: Path, cure: str) -> bool:
    """Returns whether ``path`` is a folder; raises InputError if that cannot be found out."""
    with _reasons(path, cure):
        return path.is_dir()


def entries(folder: Path, cure: str) -> list[Path]:
    """Returns the visible files and folders in ``folder``, in order; raises InputError if it cannot be read."""
    with _reasons(folder, cure):
        return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))


@contextmanager
def _reasons(path: Path, cure: str) -> Iterator[None]:
    """Turns errors of the system into an InputError; a file that may not be read is not called missing."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{path} is missing: {cure}") from None
    except PermissionError:
        raise InputError(f"{path} may not be read (permission denied): allow it with chmod, or {cure}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}): {cure}") from None


def read_limited(path: Path, cure: str, most: int = MOST_TEXT) -> bytes:
    """Returns the bytes of a small file; raises InputError if it has more than ``most``, or as ``opened`` does."""
    with opened(path, cure) as file:
        size = os.fstat(file.fileno()).st_size
        # Python sets aside as much memory as it is asked to read. A file that the system makes up states no size.
        data = file.read(min(most, max(size, MOST_TEXT)) + 1) if size <= most else b""
    if max(size, len(data)) > most:
        raise InputError(f"{path} has more than {most:,} bytes, too many for a file of its kind: {cure}")
    return data


def read_text(path: Path, cure: str, most: int = MOST_TEXT) -> str:
    """Returns the text of a small file; raises InputError unless it is UTF-8, or as ``read_limited`` does."""
    try:
        return read_limited(path, cure, most).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text (byte {error.start}): {cure}") from None


def read_json(path: Path, cure: str, most: int = MOST_TEXT) -> Any:
    """Returns the content of a small JSON file; raises InputError for anything else, or as ``read_text`` does."""
    data = read_limited(path, cure, most)
    try:
        # As RFC 7159 has it: UTF-8, UTF-16 or UTF-32, with or without a mark.
        text = data.decode(json.detect_encoding(data))
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not {error.encoding.upper()} text (byte {error.start}): {cure}") from None
    try:
        return from_text(text)
    except ValueError as error:
        raise InputError(f"{path} is not JSON ({error}): {cure}") from None


def from_text(text: str) -> Any:
    """Returns the content of a JSON text; raises ValueError for anything else, also for numbers that are none."""
    return parsed(text, parse_int=partial(_whole, MOST_DIGITS), parse_constant=_no_number)


def from_row(text: str) -> Any:
    """Returns the content of a JSON text as ``from_text`` does, but accepts NaN and longer numbers.

    Rows of others hold more than puzzles, and nothing is computed with the rest.
    """
    return parsed(text, parse_int=partial(_whole, MOST_ROW_DIGITS))


def _whole(most: int, digits: str) -> int:
    if len(digits) > most:
        raise ValueError(f"a number has {len(digits):,} digits, {most:,} are the most")
    return int(digits)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")
