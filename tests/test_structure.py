"""The layout of the code: imports go one way and in no circle, files and functions stay small."""

import ast
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src" / "eqr"
# The data path, left to right. A module imports from its own folder and from what stands before it.
ORDER = [
    *("errors", "runtime", "distributed", "random", "types", "evidence"),
    *("tasks", "data", "model", "solvers", "engine", "storage", "terminal", "measure", "training"),
    *("analysis", "paper", "presets", "web", "commands", "cli"),
]
FILES = sorted(SRC.rglob("*.py"))
NAMES = {".".join(("eqr", *path.relative_to(SRC).with_suffix("").parts)).removesuffix(".__init__") for path in FILES}
MOST_LINES, MOST_FUNCTION, USUAL_FUNCTION = 400, 80, 25


def name_of(path: Path) -> str:
    return ".".join(("eqr", *path.relative_to(SRC).with_suffix("").parts)).removesuffix(".__init__")


def part_of(path: Path) -> str:
    return path.relative_to(SRC).parts[0].removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    """The modules of the package that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert not any(alias.name.split(".")[0] == "eqr" for alias in node.names), "write `from eqr.x import y`"
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "eqr":
            inner = {f"{node.module}.{alias.name}" for alias in node.names} & NAMES
            found |= inner or {node.module}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SRC)))
def test_imports_go_only_leftwards(path: Path) -> None:
    part = part_of(path)
    if part in ("__init__", "__main__"):
        return
    for imported in imports_of(path):
        other = (imported + ".").split(".")[1]
        assert ORDER.index(other) <= ORDER.index(part), f"{part} imports {imported}"


def test_no_module_imports_itself_through_others() -> None:
    graph = {name_of(path): imports_of(path) for path in FILES}
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " -> ".join((*way[way.index(name) :], name))
        if name not in done:
            for other in sorted(graph[name]):
                visit(other, (*way, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_the_top_level_is_small() -> None:
    modules = {path.stem for path in SRC.glob("*.py")} - {"__main__"}
    assert len(modules) <= 9, modules
    assert {path.name for path in SRC.iterdir() if path.is_dir()} <= {*ORDER, "weights", "__pycache__"}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SRC)))
def test_files_are_small(path: Path) -> None:
    assert path.read_text().count("\n") <= MOST_LINES


def test_functions_are_small() -> None:
    lengths = {}
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lengths[f"{path.relative_to(SRC)}:{node.name}"] = (node.end_lineno or 0) - node.lineno + 1
    assert {name: length for name, length in lengths.items() if length > MOST_FUNCTION} == {}
    assert sorted(lengths.values())[int(0.9 * len(lengths))] <= USUAL_FUNCTION


def test_devices_are_named_in_runtime_alone() -> None:
    for path in FILES:
        if part_of(path) not in ("runtime", "commands"):
            assert ".cuda()" not in path.read_text()
            assert '"cuda' not in path.read_text()
