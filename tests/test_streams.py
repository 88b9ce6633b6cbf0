"""The program at its edges: Ctrl-C while it starts, streams that are full or closed. Real processes, since that is the
point.
"""

import shlex
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from alike import ROOT, eqr


def program(*arguments: str, redirected: str = "") -> subprocess.CompletedProcess[str]:
    command = f"exec {shlex.join([sys.executable, '-m', 'eqr', *arguments])} {redirected}"
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, cwd=ROOT, check=False)


@pytest.mark.parametrize(
    "module", ["eqr.cli", "eqr.errors", "tyro", "torch", "torch.nn", "numpy", "eqr.commands.solve"]
)
def test_ctrl_c_while_modules_are_imported_shows_no_traceback(module: str) -> None:
    code = f"""
import os, runpy, signal, sys

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
sys.argv = ["eqr", "solve", "--help"]
runpy.run_module("eqr", run_name="__main__", alter_sys=True)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_the_installed_command_starts_where_the_module_does() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module, _, function = scripts["eqr"].partition(":")
    assert module == "eqr.__main__"
    assert callable(vars(import_module(module))[function])


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["generate", "sudoku4", "--count", "2"]])
def test_a_full_device_is_told_in_one_sentence(arguments: list[str]) -> None:
    done = program(*arguments, redirected="> /dev/full")
    assert done.returncode == 2
    said = "standard output cannot be written (No space left on device): make room, or send it to another place"
    assert done.stderr == f"eqr: {said}\n"


def test_a_closed_input_is_an_empty_one() -> None:
    done = program("solve", redirected="<&-")
    assert done.returncode == 2
    assert done.stderr.startswith("eqr: standard input is empty")


@pytest.mark.parametrize(
    ("redirected", "code", "said"),
    [
        (">&-", 2, "eqr: standard output is closed: open it, or send it to /dev/null\n"),
        ("2>&-", 0, ""),
        ("2> /dev/full", 0, ""),
        (">&- 2>&-", 2, ""),
    ],
)
def test_streams_that_are_closed_end_in_no_traceback(redirected: str, code: int, said: str) -> None:
    done = program("--version", redirected=redirected)
    assert (done.returncode, done.stderr) == (code, said)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--threads", "10000000000"], "--threads 10000000000: 1024 at most are supported, and this machine runs"),
        (["--threads", "0"], "--threads 0: at least 1 is needed"),
        (["--device", "meta"], "--device 'meta' is not a device of this machine: use auto, cpu or cuda"),
        (["--device", "\x1b[2J"], r"--device '\x1b[2J' is not a device of this machine"),
        (["--device", "cpu:99999999999999999999"], "is not a device of this machine"),
        (["--breadth", "9" * 5000], "breadth is 999"),
    ],
)
def test_an_impossible_machine_gets_one_sentence(tmp_path: Path, options: list[str], said: str) -> None:
    done = eqr("solve", "." * 81, *options, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr) < 300
