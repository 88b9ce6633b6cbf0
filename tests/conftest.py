"""With EQR_SHAPES=1 beartype checks the shapes of public functions (numba compiles its module itself).

Only then: it makes small steps many times slower. With EQR_REST=1 the tests that passed in that run are left out.
"""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes says how busy the machine is.
settings.register_profile("eqr", deadline=None)
settings.load_profile("eqr")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in eqr/__init__.py, before a test imports torch

CHECKED = """types evidence
tasks.base tasks.sudoku tasks.maze tasks.maze_carving tasks.grid tasks.grid_inference tasks.arc
data model solvers
engine measure.evaluate training paper.reference analysis"""
SHAPES, REST = (os.environ.get(name) == "1" for name in ("EQR_SHAPES", "EQR_REST"))
if SHAPES:
    from jaxtyping import install_import_hook

    install_import_hook([f"eqr.{module}" for module in CHECKED.split()], "beartype.beartype")

ROOT = Path(__file__).parents[1]
TINY_RUN = ROOT / "tests" / "golden" / "tiny_run"


KEPT = "eqr/shaped"
"""Key, in pytest's cache, of the tests that passed with shapes checked."""
passed: list[str] = []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What takes long goes first, so that two processes end together."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
    done = set(config.cache.get(KEPT, []) if REST and config.cache else [])
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid in done])
    items[:] = [item for item in items if item.nodeid not in done]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if SHAPES and report.when == "call" and report.passed:
        passed.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if SHAPES and session.config.cache and not hasattr(session.config, "workerinput"):
        session.config.cache.set(KEPT, sorted(passed))


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the folder of a finished `eqr train sudoku4_tiny`, but for its state and its pool.

    When the format changes, this makes it again: `eqr train sudoku4_tiny --out runs/golden --steps 1000 --threads 1 &&
    cp runs/golden/{config.json,log.jsonl,model.safetensors} tests/golden/tiny_run/`
    """
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    shutil.copytree(TINY_RUN, folder)
    return folder


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built of the source tree without network."""
    folder = tmp_path_factory.mktemp("wheel")
    offline = ("--no-index", "--no-deps", "--no-build-isolation")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", *offline, "--wheel-dir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.whl")
    print(f"{path.name}: {path.stat().st_size:,} bytes")
    return path


@pytest.fixture(scope="session")
def unpacked(wheel: Path) -> Path:
    """A folder that holds the wheel's content alone: what PYTHONPATH needs in place of an installation."""
    folder = wheel.parent / "unpacked"
    zipfile.ZipFile(wheel).extractall(folder)
    return folder
