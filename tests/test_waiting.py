"""What takes longer than two seconds shows on a terminal that it goes on, and writes nothing of it elsewhere."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from eqr.cli import main
from eqr.commands import push as pushing
from eqr.data.text import COLUMNS
from eqr.distributed import Ranks
from eqr.runtime import native_library
from eqr.storage.records import RecordFile
from eqr.terminal.console import progress_bar, waiting

TASKS = {"a": {"train": [{"input": [[1]], "output": [[2]]}], "test": [{"input": [[3]], "output": [[4]]}]}}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(monkeypatch: pytest.MonkeyPatch, arguments: list[str], stream: type[io.StringIO]) -> str:
    """Runs a command; returns what it writes to standard error."""
    monkeypatch.setenv("TERM", "xterm")
    with monkeypatch.context() as patch:
        patch.setattr("sys.stderr", error := stream())
        main(arguments)
    return error.getvalue()


@pytest.fixture(autouse=True)
def _threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    threads = torch.get_num_threads()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("eqr.training.run.SEARCHED", 1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def puzzles(tmp_path: Path) -> Path:
    path = tmp_path / "puzzles.csv"
    main(["generate", "sudoku4", "--count", "6", "--out", str(path)])
    assert path.read_text().startswith(",".join(COLUMNS))
    return path


TRAIN = "train sudoku4_tiny --out RUN --steps STEPS --threads 1 --set slots=2 pool=8 evaluated=2 extra_share=0.5"
COMMANDS = {
    "generate": ("generate sudoku4 --count 3 --out x.csv", ["generating"]),
    "train": (
        TRAIN.replace("STEPS", "1") + " --data puzzles.csv --eval-data puzzles.csv",
        ["generating training puzzles", "generating puzzles for evaluation", "reading training", "sudoku4_tiny"],
    ),
    "solve": (
        "solve --file puzzles.csv --model MODEL --depth 1 --out o.jsonl",
        ["reading o.jsonl", "counting o.jsonl"],
    ),
    "eval": ("eval --data puzzles.csv --model MODEL --depth 1 --no-compile", ["reading puzzles.csv", "evaluating"]),
    "sweep": (
        "sweep --data puzzles.csv --model MODEL --out s --depths 1 --breadths 1 --no-compile",
        ["reading puzzles.csv", "sweeping", "drawing"],
    ),
    "calibrate": (
        "calibrate MODEL --data puzzles.csv --depth 3 --breadth 1 --no-compile",
        ["reading puzzles.csv", "calibrating"],
    ),
    "analyse": (
        "analyse --data puzzles.csv --model MODEL --depth 4 --breadth 2 --starts 2 --limit 2 --out a",
        ["reading puzzles", "trajectories", "spectra", "basins 1", "drawing"],
    ),
    "claims": (
        "claims --model MODEL --only 3 --limit 2 --out c --threads 1",
        ["generating puzzles", "measuring", "drawing"],
    ),
    "export": ("export --model MODEL --out x.onnx --threads 1", ["writing x.onnx"]),
    "data": ("data arc-agi --from tasks.json --out d", ["reading tasks", "augmenting", "writing train"]),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_every_long_command_shows_that_it_lives_on_a_terminal_only(
    name: str, tmp_path: Path, tiny_run: Path, puzzles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line, titles = COMMANDS[name]
    (tmp_path / "tasks.json").write_text(json.dumps(TASKS))
    # Takes longest, and says nothing.
    monkeypatch.setattr("eqr.commands.export.export", lambda model, path: path.write_bytes(b""))
    monkeypatch.setattr("eqr.commands.export.difference", lambda model, path: 0.0)
    monkeypatch.setattr("eqr.analysis.writing.Written.put", lambda self, name, *_: self.folder / name)
    monkeypatch.setattr("eqr.commands.analyse.save_animation", lambda *_: None)
    for figure in ("error_map", "residual_map", "frontier"):
        monkeypatch.setattr(f"eqr.measure.plots.{figure}", lambda *_: None)
    words = line.replace("MODEL", str(tiny_run)).replace("RUN", "run").split()
    said = shown(monkeypatch, words, Terminal)
    for title in titles:
        assert title in said, said
    for made in ("run", "o.jsonl", "d", "x.csv", "x.onnx"):
        if (tmp_path / made).exists():
            (tmp_path / made).rename(tmp_path / f"first {made}")
    said = shown(monkeypatch, words, io.StringIO)
    assert not any(title in said for title in titles), said
    assert "\x1b" not in said


def test_a_resumed_run_shows_that_its_log_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = TRAIN.replace("RUN", "run")
    main(line.replace("STEPS", "1").split())
    assert "reading the log" in shown(monkeypatch, [*line.replace("STEPS", "2").split(), "--resume"], Terminal)


def test_sending_a_model_shows_that_it_goes_on(tiny_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pushing, "push", lambda *_: "there")
    words = ["push", "--model", str(tiny_run), "--to", "hf:user/name"]
    assert "sending hf:user/name" in shown(monkeypatch, words, Terminal)
    assert shown(monkeypatch, words, io.StringIO) == ""


def test_a_fetched_model_has_the_bars_of_the_hub_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from huggingface_hub.utils import are_progress_bars_disabled

    from eqr.storage.hub import fetched

    disabled = []

    def fetch(*_: object, dry_run: bool = False, **__: object) -> Any:
        disabled.append(are_progress_bars_disabled())
        return [] if dry_run else str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    for stream in (Terminal, io.StringIO):
        monkeypatch.setattr("sys.stderr", stream())
        fetched("hf:user/name", {})
    assert disabled == [True, False, True, True]


@pytest.mark.parametrize(("stream", "lines"), [(Terminal, 1), (io.StringIO, 0)])
def test_a_kernel_that_is_compiled_is_told_on_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream: type[io.StringIO], lines: int
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("eqr.runtime._build", lambda source, library, options: library.parent.mkdir())
    monkeypatch.setattr("eqr.runtime.can_compile", lambda device: True)
    monkeypatch.setattr("sys.stderr", error := stream())
    (tmp_path / "kernel.cpp").write_text(stream.__name__)
    native_library(tmp_path / "kernel.cpp")
    assert error.getvalue().count("compiling kernel.cpp, once on this machine") == lines


def test_parts_of_other_processes_are_joined_in_sight(tmp_path: Path) -> None:
    titles = []

    def seen(title: str) -> Any:
        titles.append(title)
        return waiting(title)

    (tmp_path / "o.jsonl.part1").write_text('0\t{"a": 1}\n')
    with RecordFile(tmp_path / "o.jsonl", Ranks(), "continue", seen):
        pass
    assert titles == ["reading o.jsonl", "joining the parts of all processes"]


def test_titles_are_shown_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", error := Terminal())
    with waiting("reading [red]x[/red].csv"):
        pass
    with progress_bar("a", 2) as advance:
        advance(1, "[b]")
    assert "reading [red]x[/red].csv" in error.getvalue()
    assert "[b]" in error.getvalue()
