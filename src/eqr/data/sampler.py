"""Draws training puzzles: which puzzle, under which symmetry, with which clues revealed."""

from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from eqr.data.files import Puzzles
from eqr.errors import InputError
from eqr.tasks import Task


@runtime_checkable
class Sampler(Protocol):
    """A source of training puzzles."""

    def draw(self, rng: np.random.Generator) -> tuple[NDArray[np.integer[Any]], NDArray[np.integer[Any]]]:
        """Returns question and answer, (L,) ids each, of one puzzle.

        The puzzle must depend on ``rng`` alone; otherwise a resumed run differs from an uninterrupted one.
        """


class StreamSampler:
    """Draws the puzzles of an iterable, in order. A run that is resumed or shared by processes draws other puzzles.

    A run draws one puzzle for each slot ahead of its need.
    """

    def __init__(self, task: Task, puzzles: Iterable[tuple[str | ArrayLike, str | ArrayLike]]) -> None:
        self.task, self.puzzles = task, iter(puzzles)

    def draw(self, rng: np.random.Generator) -> tuple[NDArray[np.integer[Any]], NDArray[np.integer[Any]]]:
        """Returns the next question and answer; raises InputError if there are no more."""
        pair = next(self.puzzles, None)
        if pair is None:
            raise InputError("the sampler has no more puzzles: give one that does not end")
        question, answer = (self.task.parse(b) if isinstance(b, str) else np.asarray(b, np.int64) for b in pair)
        return question, answer


class CheckedSampler:
    """Draws the puzzles of a sampler that nobody has checked."""

    def __init__(self, task: Task, sampler: Sampler) -> None:
        self.task, self.sampler = task, sampler

    def draw(self, rng: np.random.Generator) -> tuple[NDArray[np.integer[Any]], NDArray[np.integer[Any]]]:
        """Returns the next question and answer; raises InputError if one of them is no board of the task."""
        question, answer = self.sampler.draw(rng)
        for name, board in (("a question", question), ("an answer", answer)):
            try:
                self.task.check_ids(torch.from_numpy(np.array(board)))
            except (InputError, TypeError) as error:
                raise InputError(f"the sampler drew {name} that is no board of {self.task.name}: {error}") from None
        return question, answer


class PuzzleSampler:
    """Draws a source, one of its puzzles, a random symmetry of the puzzle, and sometimes clues to reveal."""

    def __init__(
        self,
        task: Task,
        sources: list[tuple[Puzzles, float]],
        augment: bool,
        reveal_share: float,
        reveal_most: float,
    ) -> None:
        self.task, self.augment, self.reveal_share, self.reveal_most = task, augment, reveal_share, reveal_most
        drawn = [(puzzles, share) for puzzles, share in sources if share > 0 and len(puzzles)]
        if not drawn:
            raise InputError("no puzzle to train on: give --data, or a share to a source that is not empty")
        self.sources = [puzzles for puzzles, _ in drawn]
        edges = np.cumsum([share for _, share in drawn])
        self.edges = edges / edges[-1]
        """Upper ends of the sources' parts of the interval from 0 to 1."""

    def draw(self, rng: np.random.Generator) -> tuple[NDArray[np.integer[Any]], NDArray[np.integer[Any]]]:
        """Returns the inputs and labels (L,) of one puzzle, a function of ``rng`` alone."""
        # As ``rng.choice`` does it, which looks at the shares anew each time.
        source = self.sources[self.edges.searchsorted(rng.random(), side="right")]
        at = rng.integers(len(source))
        inputs, labels = source.questions[at : at + 1], source.answers[at : at + 1]
        if self.augment:
            symmetry = self.task.symmetries(1, rng)
            inputs, labels = symmetry.apply(inputs), symmetry.apply(labels)
        if self.task.layout.clues_fixed and rng.random() < self.reveal_share:
            revealed = rng.random(inputs.shape) < rng.random() * self.reveal_most
            inputs = np.where(revealed, labels, inputs)
        return inputs[0], labels[0]
