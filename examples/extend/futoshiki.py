"""A task of one's own: Futoshiki, N x N digits with signs between them that say which neighbour is smaller.

A board is written as it is drawn, (2N-1) x (2N-1) characters, row by row:

    .<.<.       a digit, or "." where one is to be found;
    ^____       "<", ">" between neighbours of a row, "^", "v" between those of a column: the tip is at the smaller one;
    ._2_.       "_" where there is no sign, and between four digits
    _____
    ._._.

Importing this module registers the task: `eqr --import futoshiki COMMAND ...`.
"""

from collections.abc import Iterator
from functools import cache, lru_cache
from itertools import permutations

import numpy as np
import torch

import eqr
from eqr.tasks import Puzzle, Symmetries

SIGNS = "<>^v_"
MIRRORED = str.maketrans("<>", "><")
FLIPPED = str.maketrans("^v", "v^")
TRANSPOSED = str.maketrans("<>^v", "^v<>")

Row = tuple[int, ...]


class Futoshiki(eqr.Task):
    """Each digit once in each row and column; every sign holds."""

    has_rules = True

    def __init__(self, size: int = 4) -> None:
        if not 3 <= size <= 5:
            raise eqr.InputError(f"futoshiki of {size} is not made: 3 to 5 are")
        self.size, self.side = size, 2 * size - 1
        self.name = f"futoshiki{size}"  # the family and its size: eqr.TASKS["futoshiki"](size) makes the task again
        self.digits = "12345"[:size]
        self.written = "." + self.digits + SIGNS  # place in this string = id, 0 is blank
        self.layout = eqr.Layout(
            rows=self.side,
            cols=self.side,
            symbols=len(self.written) - 1,
            near=(0, 1),  # neighbours matter: both axes of the board have them
            symbol_kinds=tuple(range(len(self.written) - 1)),  # no symbol may take another's place
        )

    # What a task must have: text to ids and back.

    def parse(self, text: str) -> np.ndarray:
        chars = "".join(text.split()).replace("0", ".")
        if len(chars) != self.side**2:
            raise eqr.InputError(f"the board has {len(chars)} cells: {self.side} rows of {self.side} are needed")
        for cell, char in enumerate(chars):
            row, col = divmod(cell, self.side)
            # A sign lies between two digits: in a row "<" or ">", in a column "^" or "v", between four digits none.
            allowed = (("." + self.digits, "<>_"), ("^v_", "_"))[row % 2][col % 2]
            if char not in allowed:
                raise eqr.InputError(f"row {row + 1}, column {col + 1} holds {char!r}: one of {allowed} is needed")
        return np.array([self.written.index(char) for char in chars], np.uint8)

    def format(self, board: torch.Tensor) -> str:
        return "".join(self.written[symbol] for symbol in board.tolist())

    # What a task may have. A checker: answers are then marked valid or not, without labels.

    def is_solved(self, inputs: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
        board = answers.view(-1, self.side, self.side)
        digits = board[:, ::2, ::2]
        once = torch.arange(1, self.size + 1)
        good = (digits.sort(1).values == once.view(1, -1, 1)).all((1, 2)) & (digits.sort(2).values == once).all((1, 2))
        less, greater, up, down = (self.written.index(sign) for sign in "<>^v")
        for signs, first, second, smaller, larger in (
            (board[:, ::2, 1::2], digits[:, :, :-1], digits[:, :, 1:], less, greater),
            (board[:, 1::2, ::2], digits[:, :-1], digits[:, 1:], up, down),
        ):
            good &= ((signs != smaller) | (first < second)).all((1, 2))
            good &= ((signs != larger) | (first > second)).all((1, 2))
        return good & ((inputs == 0) | (inputs == answers)).all(1)

    # Symmetries: 16 puzzles out of each. Mirrored boards need other signs, and so do digits counted from the top.

    def symmetries(self, count: int, rng: np.random.Generator) -> Symmetries:
        cells, symbols = [], []
        for transposed, mirrored, flipped, countdown in rng.integers(2, size=(count, 4)):
            board, names = np.arange(self.layout.cells).reshape(self.side, -1), self.written
            if transposed:
                board, names = board.T, names.translate(TRANSPOSED)
            if mirrored:
                board, names = board[:, ::-1], names.translate(MIRRORED)
            if flipped:
                board, names = board[::-1], names.translate(FLIPPED)
            if countdown:
                names = names.translate(MIRRORED | FLIPPED | str.maketrans(self.digits, self.digits[::-1]))
            cells.append(board.ravel())
            symbols.append([self.written.index(name) for name in names])
        return Symmetries(np.array(cells), np.array(symbols, np.uint8))

    # A generator, for `eqr generate futoshiki4` and for `pool` of TrainConfig. It must be a function of the seed alone.

    def generate(self, seed: int, least: int = 0, most: int | None = None, workers: int = 1) -> Iterator[Puzzle]:
        """Puzzles with one solution and nothing to spare, rated by the rows that a search tries."""
        rng, apart = np.random.default_rng(seed), rows_apart(self.size)
        while True:
            digits: list[Row] = []
            while len(digits) < self.size:
                left = sorted(set(apart).intersection(*(apart[row] for row in digits)))
                digits = [*digits, left[rng.integers(len(left))]] if left else []  # a dead end: start again
            answer = self._drawn(digits)
            question, places = answer.copy(), np.flatnonzero(answer != self.written.index("_"))
            # Take away at random what is not needed; digits mostly before signs, which are what makes it Futoshiki.
            for cell in places[np.argsort(rng.random(len(places)) + 0.5 * (answer[places] > self.size))]:
                kept, question[cell] = question[cell], 0 if question[cell] <= self.size else self.written.index("_")
                if self._search(question)[0] > 1:
                    question[cell] = kept
            # Signs are given, also in the answer: those that were taken away are nobody's to find.
            answer = np.where(answer <= self.size, answer, question)
            rating = self._search(question)[1]
            if rating >= least and (most is None or rating <= most):
                yield Puzzle(question, answer, rating)

    def _drawn(self, digits: list[Row]) -> np.ndarray:
        """The board of these rows of digits, with every sign."""
        board, grid = np.full((self.side, self.side), self.written.index("_"), np.uint8), np.array(digits)
        less, greater, up, down = (self.written.index(sign) for sign in "<>^v")
        board[::2, ::2] = grid
        board[::2, 1::2] = np.where(grid[:, :-1] < grid[:, 1:], less, greater)
        board[1::2, ::2] = np.where(grid[:-1] < grid[1:], up, down)
        return board.ravel()

    def _search(self, question: np.ndarray) -> tuple[int, int]:
        """Solutions, counted up to 2, and the rows that were tried to find them: row by row, depth first."""
        lines = ["".join(self.written[symbol] for symbol in line) for line in question.reshape(self.side, -1)]
        fitting, apart = [rows_of(line) for line in lines[::2]], rows_apart(self.size)
        tried = 0

        def count(above: list[Row]) -> int:
            nonlocal tried
            if len(above) == self.size:
                return 1
            found = 0
            for row in fitting[len(above)].intersection(*(apart[other] for other in above)):
                tried += 1
                if not above or all(map(holds, lines[2 * len(above) - 1][::2], above[-1], row)):
                    found += count([*above, row])
                if found > 1:
                    break
            return found

        return count([]), tried


@cache
def rows_apart(size: int) -> dict[Row, set[Row]]:
    """For each row of digits, the rows that have another digit in every column."""
    rows = list(permutations(range(1, size + 1)))
    return {row: {other for other in rows if all(map(int.__ne__, row, other))} for row in rows}


@lru_cache(100_000)
def rows_of(line: str) -> set[Row]:
    """The rows of digits that keep the clues and the signs of a line such as ``.<.>._2``."""

    def keeps(row: Row) -> bool:
        return all(char in (".", str(digit)) for char, digit in zip(line[::2], row, strict=True)) and all(
            map(holds, line[1::2], row, row[1:])
        )

    return set(filter(keeps, rows_apart(len(line) // 2 + 1)))


def holds(sign: str, first: int, second: int) -> bool:
    """Whether the sign between two digits, read from left to right or downwards, holds."""
    return sign == "_" or (first < second) == (sign in "<^")


eqr.TASKS["futoshiki"] = Futoshiki
