"""What the pages show runs: each console in order, saying what the page says, numbers apart; and their Python."""

import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from eqr.cli import main

ROOT = Path(__file__).parents[1]


def consoles(page: str) -> list[tuple[str, list[str]]]:
    """(command, the lines it printed) of every console block."""
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / "docs" / page).read_text(), re.S)
    told = [line for block in blocks for line in block.splitlines()]
    starts = [at for at, line in enumerate(told) if line.startswith("$ ")]
    return [
        (told[start].removeprefix("$ "), told[start + 1 : end])
        for start, end in zip(starts, [*starts[1:], len(told)], strict=True)
    ]


def numberless(line: str) -> str:
    return re.sub(r"\d[\d.,e+-]*", "#", line)


@pytest.mark.slow
@pytest.mark.parametrize("page", ["train.md", "export.md"])
def test_the_consoles_of_the_page_run(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    commands = consoles(page)
    assert len(commands) >= 2
    for command, told in commands:
        program, *arguments = shlex.split(command)
        if program == "python":
            done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True, timeout=60)
            assert done.stdout.splitlines()[:-1] == told[:-1]
            assert numberless(done.stdout.splitlines()[-1]) == numberless(told[-1])
        elif told[0].startswith("eqr: "):
            with pytest.raises(SystemExit, match="2"):
                main(arguments)
            assert capsys.readouterr().err.splitlines() == told
        else:
            main(arguments)
            said = capsys.readouterr().out.splitlines()
            assert numberless(said[-1]) == numberless(told[-1]), command
            assert {numberless(line) for line in told} <= {
                numberless(line) for line in said
            } or "--log-seconds" in command


@pytest.mark.parametrize(
    "page", ["commands.md", "compute.md", "attractors.md", pytest.param("train.md", marks=pytest.mark.slow)]
)
def test_the_python_of_the_page_runs(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / page).read_text(), re.S)
    exec(compile(code, page, "exec"), {"__name__": "page"})
    assert capsys.readouterr().out


@pytest.mark.slow
def test_the_moving_picture_of_the_readme_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "docs" / "images").mkdir(parents=True)
    runpy.run_path(str(ROOT / "docs" / "figures" / "settling.py"), run_name="__main__")
    assert (tmp_path / "docs" / "images" / "settling.gif").stat().st_size > 100_000
