"""Folders that commands write into."""

from pathlib import Path

from eqr.errors import InputError


def output_folder(flag: str, path: str) -> Path:
    """Returns the folder at ``path``, made if needed; raises InputError naming ``flag`` if that fails."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{flag} {path} cannot be used as a folder ({error.strerror}): choose another") from None
    return Path(path)
