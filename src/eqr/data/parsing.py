"""Parses a puzzle from text: its board's size and its ids. Knows no file and no network."""

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
    """A puzzle as text, and the place of the text, for error messages."""

    place: str
    text: str


class Refused(NamedTuple):
    """A piece of the input that is no puzzle, in place of one: its place, and the reason."""

    place: str
    reason: str

    def error(self) -> InputError:
        """The error to raise if the rest of the input is not to be read."""
        return InputError(f"{self.place}: {self.reason}")


def parse_at(task: Task, place: str, text: str) -> NDArray[np.uint8]:
    """Calls ``task.parse``; adds the place of the text to the error."""
    try:
        return task.parse(text)
    except InputError as error:
        raise InputError(f"{place}: {error}") from None


def read_puzzle(task: Task, written: Text, for_task: Callable[[Task], T]) -> tuple[T, Int[Tensor, " L"]] | Refused:
    """Parses a puzzle of the task's family; returns ``for_task`` of the task resized to its board, and the ids.

    Returns Refused if the text is not a puzzle, or if ``for_task`` raises InputError for a board of its size.
    """
    sized = task.sized(task.cells_in(written.text))
    try:
        board = sized.parse(written.text)
        return for_task(sized), torch.from_numpy(board).long()
    except InputError as error:
        return Refused(written.place, str(error))


def boards_of(task: Task, lines: Iterator[Text]) -> Iterator[Text]:
    """Yields boards from lines that hold a board or a row each; raises InputError naming a row that does not fit."""
    for start, first in lines:
        board, cols, needed = [first], task.cells_in(first), task.lines_of(first)
        for place, text in islice(lines, needed - 1):
            if task.cells_in(text) != cols:
                raise InputError(
                    f"{place}: {text[:24]!r} has {task.cells_in(text)} cells, a row has {cols}: "
                    f"correct it or the first row of its board ({start})"
                )
            board.append(text)
        # A single line may be a whole board with another fault, which ``parse`` will report.
        whole = len(board) == 1 and task.sized(cols).layout.cells == cols
        if len(board) < needed and not whole:
            raise InputError(
                f"{start}: the board has {len(board)} rows, {needed} are needed for rows of {cols} cells: add rows"
            )
        yield Text(start, "\n".join(board))
