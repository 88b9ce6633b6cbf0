"""The solvers by name: each is a way to step towards the fixed point. To add one, write a file here and a line in this
dict, or a plugin that adds the line."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass

from eqr.errors import InputError, unknown
from eqr.solvers.anderson import Anderson
from eqr.solvers.base import Map, Memory, Rows, Solver, relative_residual
from eqr.solvers.picard import Picard

SOLVERS: dict[str, Callable[..., Solver]] = {"picard": Picard, "anderson": Anderson}


def solver_of(solver: Solver | str) -> Solver:
    """Returns the solver itself, or the one that a text names: a key of SOLVERS, perhaps with options, such as
    ``anderson:history=8``.

    Raises InputError for an unknown name or option.
    """
    if not isinstance(solver, str):
        return solver
    name, _, written = solver.partition(":")
    if name not in SOLVERS:
        raise unknown("solver", name, SOLVERS, plugins=True)
    make = SOLVERS[name]
    kinds: dict[str, type] = {field.name: type(field.default) for field in fields(make)} if is_dataclass(make) else {}
    options = {}
    for part in filter(None, written.split(",")):
        option, _, value = part.partition("=")
        if option not in kinds:
            raise unknown(f"option of the solver {name}", option, kinds or ["none"])
        try:
            options[option] = kinds[option](value)
        except ValueError:
            raise InputError(f"{name}:{part}: a value of type {kinds[option].__name__} is needed") from None
    return make(**options)


def written(solver: Solver) -> str:
    """Writes a solver as text that ``solver_of`` reads; leaves out options at their defaults."""
    name = next((name for name, known in SOLVERS.items() if known is type(solver)), type(solver).__name__)
    if not is_dataclass(solver):
        return name
    changed = [f for f in fields(solver) if vars(solver)[f.name] != f.default]
    return name + (":" if changed else "") + ",".join(f"{f.name}={vars(solver)[f.name]}" for f in changed)


__all__ = [
    "SOLVERS",
    "Anderson",
    "Map",
    "Memory",
    "Picard",
    "Rows",
    "Solver",
    "relative_residual",
    "solver_of",
    "written",
]
