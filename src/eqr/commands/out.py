"""Folders that commands write into."""

from pathlib import Path

from eqr.errors import InputError


def output_folder(flag: str, path: str) -> Path:
    """The folder at ``path``, made if need be; raises InputError naming ``flag`` if it cannot be one."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{flag} {path} cannot be used as a folder ({error.strerror}): choose another") from None
    return Path(path)
