"""Test-time augmentation: solves each puzzle also under random symmetries of its task, and maps the answers back.

The restarts of all views count as restarts of the puzzle, so every selection rule applies; with ``vote`` this is the
augmentation voting of HRM and TRM. The first view is the puzzle itself.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from eqr.evidence import Evidence, History
from eqr.random import view_generator
from eqr.tasks import Task
from eqr.tasks.base import Symmetries


class Views:
    """The views of the puzzles under way, in order."""

    def __init__(self, task: Task, count: int, seed: int) -> None:
        self.task, self.count, self.seed = task, count, seed
        self.waiting: deque[Symmetries | None] = deque()

    def of(self, puzzles: Iterable[Int[Tensor, " L"]]) -> Iterator[Int[Tensor, " L"]]:
        """Yields each puzzle ``count`` times: itself, then under symmetries set by seed, puzzle and view number."""
        for puzzle in puzzles:
            self.waiting.append(None)
            yield puzzle
            for number in range(1, self.count):
                symmetry = self.task.symmetries(1, view_generator(self.seed, self.task.identity(puzzle), number))
                self.waiting.append(symmetry)
                yield torch.from_numpy(symmetry.apply(puzzle.cpu().numpy()[None])[0]).long()

    def merged(self, evidence: Iterator[Evidence]) -> Iterator[Evidence]:
        """Joins the evidence of each puzzle's views, with the symmetries undone."""
        while views := list(islice(evidence, self.count)):
            yield Evidence.joined([_undone(view, self.waiting.popleft()) for view in views])


def _undone(view: Evidence, symmetry: Symmetries | None) -> Evidence:
    if symmetry is None:
        return view
    histories = tuple(_seen(history, symmetry) for history in view.histories)
    return replace(view, answers=_boards(view.answers, symmetry), histories=histories)


def _boards(answers: Int[Tensor, "N L"], symmetry: Symmetries) -> Int[Tensor, "N L"]:
    return torch.from_numpy(symmetry.undo(answers.numpy())).long()


def _seen(history: History, symmetry: Symmetries) -> History:
    inverse = torch.from_numpy(np.argsort(symmetry.cells[0]))  # of the permutation of cells
    return replace(history, answers=_boards(history.answers, symmetry), confidence=history.confidence[:, inverse])
