"""Shapes of public functions are checked by beartype here, and only here (numba compiles its module itself)."""

import os
from pathlib import Path

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

# How long an example takes says how busy the machine is.
settings.register_profile("eqr", deadline=None)
settings.load_profile("eqr")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in eqr/__init__.py, before a test imports torch

CHECKED = """types evidence
tasks.base tasks.sudoku tasks.maze tasks.maze_carving tasks.grid tasks.grid_inference tasks.arc
data model solvers
engine measure.evaluate training paper.reference analysis"""
install_import_hook([f"eqr.{module}" for module in CHECKED.split()], "beartype.beartype")


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished `eqr train sudoku4_tiny`, from the command line."""
    from eqr.cli import main

    folder = tmp_path_factory.mktemp("runs") / "tiny"
    main(["train", "sudoku4_tiny", "--out", str(folder), "--steps", "1000", "--threads", "1"])
    return folder
