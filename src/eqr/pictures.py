"""Pictures as PNG files. Knows arrays and files, no tasks; the only module that knows Pillow."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eqr.checkpoint import write_atomically
from eqr.errors import InputError

EASY_TO_SEE = 360
"""Pixels up to which small pictures are enlarged by whole factors."""


def picture_folder(flag: str, path: str) -> Path:
    """The folder at ``path``, made if need be; raises InputError naming ``flag`` if it cannot be one."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{flag} {path} cannot be used as a folder ({error.strerror}): choose another") from None
    return Path(path)


def save_picture(picture: NDArray[np.uint8], path: Path) -> None:
    """Write a picture (H, W, 3), enlarged if it is small, as PNG; raises InputError if it cannot be written."""
    from PIL import Image  # a tenth of a second, and needed by few commands

    times = max(1, EASY_TO_SEE // max(picture.shape))
    picture = picture.repeat(times, 0).repeat(times, 1)
    write_atomically(path, lambda part: Image.fromarray(picture).save(part, format="png"))
