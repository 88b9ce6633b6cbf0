"""Writes files as a whole: a reader sees the old file or the new one, never half of one. Knows no content."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from eqr.errors import InputError


def write_atomically(path: Path, write: Callable[[Path], object], keep: Path | None = None) -> None:
    """Lets ``write`` fill a temporary file beside ``path``, flushes it to disk, renames it; a failure changes nothing.

    Renames the previous file to ``keep``, if given. Raises InputError if the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        if path.exists() and not path.is_file():  # a device or a pipe can be written to, but not replaced by renaming
            write(path)
            return
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        if keep and path.exists():
            path.replace(keep)
        temporary.replace(path)
        _flush_folder(path.parent)
    except OSError as error:
        raise InputError(f"cannot write {path} ({error.strerror}): the earlier file, if any, is intact") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _flush_folder(folder: Path) -> None:
    """Makes renames in ``folder`` survive a loss of power."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def write_text_atomically(path: Path, text: str) -> None:
    """Writes ``text`` as ``write_atomically`` does."""
    write_atomically(path, lambda part: part.write_text(text, encoding="utf-8"))
