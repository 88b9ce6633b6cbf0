"""Puzzles x restarts -> rows -> answers. Knows no file and no label.

A fixed number of rows iterates. A row that halts leaves its evidence and the next one takes its place at once, so
compute goes where a puzzle still needs it, and memory depends on the number of rows alone.
"""

from collections.abc import Iterable, Iterator

from jaxtyping import Int
from torch import Tensor

from eqr.engine.config import SolveConfig
from eqr.engine.policy.selection import choose
from eqr.engine.queue import PuzzleQueue, Snapshot
from eqr.engine.rows import Slots
from eqr.engine.server import Closed, Full, SolveServer
from eqr.engine.turn import carry
from eqr.engine.views import Views
from eqr.evidence import Evidence, Solution
from eqr.model import Reasoner
from eqr.runtime import row_workers

__all__ = ["Closed", "Full", "Snapshot", "SolveConfig", "SolveServer", "gather", "select", "solve"]


def gather(
    model: Reasoner,
    puzzles: Iterable[Int[Tensor, " L"]],
    config: SolveConfig,
    compile: bool = False,
    record: bool = False,
) -> Iterator[Evidence]:
    """The evidence of every puzzle (ids, 0 = blank), in input order, as soon as it and those before it are decided.

    ``compile`` runs torch.compile on the segment where it can: slow to start, then faster. ``record``
    keeps each row's history. Raises InputError if the task cannot check what the verifier is to select.
    """
    config.check(model.task)
    views = Views(model.task, config.views, config.seed)
    yield from views.merged(_run(model, PuzzleQueue(views.of(puzzles), model, config), config, compile, record))


def _run(model: Reasoner, jobs: PuzzleQueue, config: SolveConfig, compile: bool, record: bool) -> Iterator[Evidence]:
    """The evidence of every job's puzzle, in order."""
    with row_workers(model.answer_head.device) as workers:
        slots = Slots(model, config, workers, compile, record)
        while carry(slots, jobs):
            yield from jobs.answered()


def select(found: Evidence, rule: str) -> Solution:
    """The answer of the restart that ``rule`` (a key of SELECTION) chooses, rows that halted first."""
    k = choose(found, rule)
    return Solution(
        answer=found.answers[k],
        valid=bool(found.valid[k]),
        converged=bool(found.converged[k]),
        halted=bool(found.halted[k]),
        residual=float(found.residual[k]),
        depth=int(found.depth[k]),
        restart=k,
        restarts=len(found.depth),
        seconds=found.seconds,
        history=found.histories[k] if found.histories else None,
    )


def solve(model: Reasoner, inputs: Int[Tensor, "B L"], config: SolveConfig | None = None) -> list[Solution]:
    """Answer each puzzle of ``inputs`` (B, L), 0 = blank. An answer that breaks a rule is marked ``valid=False``."""
    config = config or SolveConfig()
    return [select(found, config.select) for found in gather(model, inputs, config)]
