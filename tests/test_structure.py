"""The layout of the code: imports go one way, files and functions stay small."""

import ast
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src" / "eqr"
# The data path, left to right. A module imports from itself and from what stands before it.
ORDER = [
    *("errors", "statistics", "runtime", "types", "tasks", "folders", "data", "few_shot", "layers", "blocks"),
    *("recursion", "rules", "model"),
    *("solvers", "halting", "selection", "breadth", "engine", "questions", "answers"),
    *("report", "evaluate", "sweep", "calibrate", "console", "hub", "checkpoint", "reference"),
    *("training", "presets"),
    *("bench", "plots", "pictures", "analysis", "claims", "watch", "export", "web", "commands", "cli"),
]
FILES = sorted(SRC.rglob("*.py"))


def part_of(path: Path) -> str:
    return path.relative_to(SRC).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SRC)))
def test_imports_go_only_leftwards(path: Path) -> None:
    part = part_of(path)
    if part in ("__init__", "__main__"):
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert not any(alias.name.split(".")[0] == "eqr" for alias in node.names), "write `from eqr.x import y`"
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "eqr":
            imported = (node.module.split(".") + [alias.name for alias in node.names])[1]
            assert ORDER.index(imported) <= ORDER.index(part), f"{part} imports {imported}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SRC)))
def test_files_and_functions_are_small(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= 250
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 80, node.name


def test_devices_are_named_in_runtime_alone() -> None:
    for path in FILES:
        if part_of(path) not in ("runtime", "commands"):
            assert ".cuda()" not in path.read_text()
            assert '"cuda' not in path.read_text()
