"""Pictures as PNG and GIF files. Knows arrays, letters and files, no tasks; the only module that knows Pillow."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eqr.storage.files import write_atomically

EASY_TO_SEE = 360
"""Size in pixels up to which small pictures are enlarged, by whole factors."""


def enlarged(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns the picture (H, W, 3), enlarged by a whole factor if it is small."""
    times = max(1, EASY_TO_SEE // max(picture.shape))
    return picture.repeat(times, 0).repeat(times, 1)


def save_picture(picture: NDArray[np.uint8], path: Path) -> None:
    """Writes a picture (H, W, 3) as PNG, enlarged if it is small; raises InputError if the file cannot be written."""
    from PIL import Image  # takes a tenth of a second to import, and few commands need it

    write_atomically(path, lambda part: Image.fromarray(enlarged(picture)).save(part, format="png"))


def save_animation(pictures: Sequence[NDArray[np.uint8]], seconds: Sequence[float], path: Path) -> None:
    """Writes pictures of one size as a GIF that repeats; ``seconds`` holds how long each picture is shown."""
    from PIL import Image

    first, *others = (Image.fromarray(picture) for picture in pictures)
    milliseconds = [round(1000 * second) for second in seconds]
    options = {"save_all": True, "append_images": others, "duration": milliseconds, "loop": 0}
    write_atomically(path, lambda part: first.save(part, format="gif", **options))


def lettered(letters: Sequence[str], paper: NDArray[np.uint8], ink: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Draws a letter into each cell of ``side`` pixels, coloured ``ink`` on ``paper``, both (rows, cols, 3)."""
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.fromarray(paper.repeat(side, 0).repeat(side, 1))
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(size=0.7 * side)
    for (row, col), letter in zip(np.ndindex(paper.shape[:2]), letters, strict=True):
        at = ((col + 0.5) * side, (row + 0.5) * side)
        pen.text(at, letter, fill=tuple(ink[row, col].tolist()), font=font, anchor="mm")
    return np.asarray(picture)


def captioned(picture: NDArray[np.uint8], text: str) -> NDArray[np.uint8]:
    """Returns the picture with a line of text below it."""
    from PIL import Image, ImageDraw, ImageFont

    line = Image.new("RGB", (picture.shape[1], 24), "white")
    ImageDraw.Draw(line).text((4, 12), text, fill="black", font=ImageFont.load_default(size=14), anchor="lm")
    return np.concatenate([picture, np.asarray(line)])
