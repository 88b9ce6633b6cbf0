"""Training states on disk: state.pt in the folder of a run, and the state before it. Knows no trainer.

A state is read without torch's own reader, which trusts the sizes that a file declares.
"""

import os
import sys
from collections.abc import Callable
from errno import ENOSPC
from pathlib import Path
from typing import Any

import torch

from eqr.errors import InputError
from eqr.storage.archive import damage, opened
from eqr.storage.files import write_atomically

STATE, PREVIOUS = "state.pt", "state.previous.pt"
State = dict[str, Any]


def save_state(state: State, folder: Path) -> None:
    """Writes a training state, tensors and plain containers only; keeps the previous state beside it."""

    def write(part: Path) -> None:
        try:
            torch.save(state, part)
        except RuntimeError as error:  # torch's writer wraps the system's error
            raise OSError(ENOSPC, f"{os.strerror(ENOSPC)}? {str(error)[:80]}") from error

    # A damaged state must not replace the good state kept beside it.
    good = (folder / STATE).exists() and damage(folder / STATE) is None
    write_atomically(folder / STATE, write, keep=folder / PREVIOUS if good else None)


def has_state(folder: Path) -> bool:
    """Returns whether ``folder`` holds a run."""
    return (folder / STATE).exists() or (folder / PREVIOUS).exists()


def load_state(folder: Path, check: Callable[[State], None] = lambda state: None) -> State:
    """Reads the last training state; if it is missing or damaged, prints a notice and reads the state before it.

    ``check`` raises InputError for a state that cannot be used, which then counts as damaged. Raises InputError if
    neither state can be read.
    """
    try:
        return _read(folder / STATE, check)
    except InputError as error:
        try:
            state = _read(folder / PREVIOUS, check)
        except InputError:
            raise error from None
        print(f"notice: {error}; continuing from the state before it, step {state['step']}", file=sys.stderr)
        return state


def _read(path: Path, check: Callable[[State], None]) -> State:
    with opened(path, "it is no training state of this program") as file:
        state = file.whole()
    if not isinstance(state, dict) or not isinstance(state.get("identity"), dict) or type(state.get("step")) is not int:
        raise InputError(f"{path} is not a training state of this program")
    try:
        check(state)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return state
