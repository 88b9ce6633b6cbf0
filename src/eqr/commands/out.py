"""Folders and files that commands write."""

from pathlib import Path

from eqr.errors import InputError


def new_file(flag: str, path: str) -> Path:
    """Returns the path of a file to be written; raises InputError naming ``flag`` if there is a file, or a folder."""
    if Path(path).is_dir():
        raise InputError(f"{flag} {path} is a folder: give the name of a file")
    if Path(path).is_file():
        raise InputError(f"{flag} {path} already exists: remove it or choose another name")
    return Path(path)


def output_folder(flag: str, path: str) -> Path:
    """Returns the folder at ``path``, made if needed; raises InputError naming ``flag`` if that fails."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{flag} {path} cannot be used as a folder ({error.strerror}): choose another") from None
    return Path(path)
