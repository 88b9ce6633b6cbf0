"""An answer as plain values, for ``eqr solve --json`` and for the service. Knows no file, no network."""

import math
from typing import TypeVar

from eqr.evidence import Solution
from eqr.tasks import Task

T = TypeVar("T")
Record = dict[str, str | list[str | None] | bool | int | float | None]


def finite(value: T) -> T | None:
    """Returns ``value``, but None for NaN and infinity, which JSON cannot express."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_record(task: Task, solution: Solution) -> Record:
    """Returns the answer and how it was reached; ``valid`` is None for a task without rules."""
    return {
        "question": task.as_json(solution.evidence.puzzle),
        "answer": task.as_json(solution.answer),
        "valid": solution.valid if task.has_rules else None,
        "converged": solution.converged,
        "halted": solution.halted,
        "residual": finite(solution.residual),
        "depth": solution.depth,
        "restart": solution.restart,
        "restarts": solution.restarts,
        "seconds": round(solution.seconds, 4),
    }
