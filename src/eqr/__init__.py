"""Equilibrium Reasoners: neural networks that solve puzzles by settling to a fixed point (EqR, arXiv 2605.21488).

Names are imported when they are first used, so ``import eqr`` itself costs nothing.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

# OpenMP threads that wait must sleep, not spin, and OpenMP reads this once, when torch is imported. Beside one other
# busy process, a dozen puzzles took 123 s on two spinning threads and 2 s on two sleeping ones.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if TYPE_CHECKING:
    from eqr.engine import SolveConfig, solve, solve_stream, trajectory
    from eqr.engine.policy.halting import HALTING, HaltingRule
    from eqr.engine.policy.selection import SELECTION, SelectionRule
    from eqr.errors import InputError
    from eqr.measure.evaluate import evaluate
    from eqr.model import ModelConfig, Reasoner
    from eqr.model.blocks import BLOCKS, Block
    from eqr.solvers import SOLVERS, Solver
    from eqr.storage.checkpoint import load, save
    from eqr.tasks import TASKS, Task
    from eqr.training.config import TrainConfig
    from eqr.training.run import train
    from eqr.types import Layout

_HOME = {
    "BLOCKS": "model.blocks",
    "Block": "model.blocks",
    "HALTING": "engine.policy.halting",
    "HaltingRule": "engine.policy.halting",
    "InputError": "errors",
    "Layout": "types",
    "ModelConfig": "model",
    "Reasoner": "model",
    "SELECTION": "engine.policy.selection",
    "SOLVERS": "solvers",
    "SelectionRule": "engine.policy.selection",
    "SolveConfig": "engine",
    "Solver": "solvers",
    "TASKS": "tasks",
    "Task": "tasks",
    "TrainConfig": "training.config",
    "evaluate": "measure.evaluate",
    "load": "storage.checkpoint",
    "save": "storage.checkpoint",
    "solve": "engine",
    "solve_stream": "engine",
    "train": "training.run",
    "trajectory": "engine",
}
"""The module that each public name comes from."""

__all__ = [
    "BLOCKS",
    "HALTING",
    "SELECTION",
    "SOLVERS",
    "TASKS",
    "Block",
    "HaltingRule",
    "InputError",
    "Layout",
    "ModelConfig",
    "Reasoner",
    "SelectionRule",
    "SolveConfig",
    "Solver",
    "Task",
    "TrainConfig",
    "__version__",
    "evaluate",
    "load",
    "save",
    "solve",
    "solve_stream",
    "train",
    "trajectory",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version  # not at the top: the program starts without it

        return version("equilibrium-reasoners")
    if name not in _HOME:
        raise AttributeError(f"module 'eqr' has no attribute {name!r}")
    value = vars(import_module(f"eqr.{_HOME[name]}"))[name]
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
