"""Files that are whole: a reader sees the old file or the new one, never half of one. Knows no content."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from eqr.errors import InputError


def write_atomically(path: Path, write: Callable[[Path], object], keep: Path | None = None) -> None:
    """Let ``write`` fill a temporary file beside ``path``, flush it to disk, rename it; a failure changes nothing.

    Renames the previous file to ``keep``, if that is given. Raises InputError if the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        if path.exists() and not path.is_file():  # a device or a pipe takes what is written and cannot be renamed to
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
    """Make renames in ``folder`` outlast a loss of power."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def write_text_atomically(path: Path, text: str) -> None:
    """``write_atomically`` for text."""
    write_atomically(path, lambda part: part.write_text(text, encoding="utf-8"))
