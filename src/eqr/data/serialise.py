"""One answer as plain values: a line of ``eqr solve --json``, an answer of the service. Knows no file, no network."""

import math
from typing import TypeVar

from eqr.evidence import Solution
from eqr.tasks import Task

T = TypeVar("T")
Record = dict[str, str | bool | int | float | None]


def finite(value: T) -> T | None:
    """``value``; None for NaN and infinity, which JSON has no word for."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_record(task: Task, solution: Solution) -> Record:
    """The answer and how it was reached; ``valid`` is None for a task that has no rules."""
    return {
        "question": task.format(solution.evidence.puzzle),
        "answer": solution.text,
        "valid": solution.valid if task.has_rules else None,
        "converged": solution.converged,
        "halted": solution.halted,
        "residual": finite(solution.residual),
        "depth": solution.depth,
        "restart": solution.restart,
        "restarts": solution.restarts,
        "seconds": round(solution.seconds, 4),
    }
