"""One puzzle from its text: its ids, and the model on a board of its size. Knows no file, no network."""

from collections.abc import Callable
from typing import TypeVar

import numpy as np
from jaxtyping import UInt8

from eqr.data.files import parse_at
from eqr.errors import InputError
from eqr.tasks import Task

T = TypeVar("T")
Board = UInt8[np.ndarray, " L"]


def read_question(task: Task, place: str, text: str, on: Callable[[Task], T]) -> tuple[T, Board]:
    """What ``on`` gives for the board of ``task``'s family that ``text`` fills, and its ids.

    Raises InputError, with ``place``, if the text is no puzzle or the model is bound to another size.
    """
    sized = task.sized(task.cells_in(text))
    board = parse_at(sized, place, text)
    try:
        return on(sized), board
    except InputError as error:
        raise InputError(f"{place}: {error}") from None
