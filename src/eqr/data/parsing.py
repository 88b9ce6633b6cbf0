"""One puzzle from its text: the board of its size, and its ids. Knows no file and no network."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from eqr.errors import InputError
from eqr.tasks import Task

T = TypeVar("T")


class Text(NamedTuple):
    """A puzzle as text, and where it stands, for messages."""

    place: str
    text: str


def parse_at(task: Task, place: str, text: str) -> NDArray[np.uint8]:
    """``task.parse`` with the place of the text in the error."""
    try:
        return task.parse(text)
    except InputError as error:
        raise InputError(f"{place}: {error}") from None


def read_puzzle(task: Task, written: Text, for_task: Callable[[Task], T]) -> tuple[T, Int[Tensor, " L"]]:
    """Parses a puzzle of the task's family; returns what ``for_task`` makes of the task on its board, and the ids.

    Raises InputError, with the place, if the text is no puzzle or ``for_task`` takes no board of its size.
    """
    sized = task.sized(task.cells_in(written.text))
    board = parse_at(sized, written.place, written.text)
    try:
        return for_task(sized), torch.from_numpy(board).long()
    except InputError as error:
        raise InputError(f"{written.place}: {error}") from None


def boards_of(task: Task, lines: Iterator[Text]) -> Iterator[Text]:
    """Boards from lines that are whole boards or hold a row each; raises InputError naming a row that does not fit."""
    for start, first in lines:
        board, cols, needed = [first], task.cells_in(first), task.lines_of(first)
        for place, text in islice(lines, needed - 1):
            if task.cells_in(text) != cols:
                raise InputError(
                    f"{place}: {text[:24]!r} has {task.cells_in(text)} cells, a row has {cols}: "
                    f"correct it or the first row of its board ({start})"
                )
            board.append(text)
        # A line that stands alone can be a whole board whose fault is another one; then that is told.
        whole = len(board) == 1 and task.sized(cols).layout.cells == cols
        if len(board) < needed and not whole:
            raise InputError(
                f"{start}: the board has {len(board)} rows, {needed} are needed for rows of {cols} cells: add them"
            )
        yield Text(start, "\n".join(board))
