"""The user's code in a command: plugins that register names, and checkers of answers.

A plugin is a module that adds lines to ``eqr.TASKS``, ``BLOCKS``, ``SOLVERS``, ``HALTING`` or ``SELECTION`` when it is
imported. The command line (``--import``) or an installed package (entry point group ``eqr.plugins``) names it, but
never a model's folder: loading a model runs no code.
"""

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from types import ModuleType

from eqr.errors import InputError

GROUP = "eqr.plugins"


def load_plugins(modules: Sequence[str]) -> None:
    """Imports the plugins of installed packages, then ``modules``; raises InputError if an import fails."""
    for entry in entry_points(group=GROUP):
        try:
            entry.load()
        except Exception as error:  # of code that is not ours, and that no command asked for
            raise InputError(
                f"the installed plugin {entry.name} ({entry.value}) cannot be loaded, {type(error).__name__}: {error} "
                "(repair or uninstall it)"
            ) from error
    for name in modules:
        imported(name, "--import")


def imported(name: str, flag: str) -> ModuleType:
    """Imports a module, from the current directory if it is there; raises InputError with ``flag`` if it is missing."""
    if not all(part.isidentifier() for part in name.split(".")):
        raise InputError(f"{flag} {name}: write the name of a module, such as my_package.tasks")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise InputError(
            f"{flag} {name}: there is no module {error.name!r}, neither installed nor below {os.getcwd()}"
        ) from None


def checker_named(name: str) -> Callable[..., bool]:
    """Returns the function ``module:function``; imports the module, from the current directory if it is there."""
    module_name, _, function = name.partition(":")
    if not function.isidentifier() or not all(part.isidentifier() for part in module_name.split(".")):
        raise InputError(f"--checker {name}: write module:function, such as examples.latin.check:is_latin")
    checker: Callable[..., bool] | None = vars(imported(module_name, "--checker")).get(function)
    if not callable(checker):
        raise InputError(f"--checker {name}: {module_name} has no function {function!r}, correct the name")
    return checker
