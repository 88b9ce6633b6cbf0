"""What tests of several folders ask: what does this command say, has it come to that, is this the same evidence?"""

import io
import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

import torch

from eqr.cli import main
from eqr.engine.rows import Job
from eqr.evidence import BY_RESTART, Evidence, Solution
from eqr.model import Reasoner
from eqr.random import Streams
from eqr.training.growth import grown

ROOT = Path(__file__).parents[1]


def told_by(code: str, folder: Path, most_kilobytes: int) -> dict[str, object]:
    """Runs ``code`` in a process of its own, with ``folder`` as its argument; it prints names and what is said of each.

    Fails if it ends with an error, or takes more memory for what it reads.
    """
    command = [sys.executable, "-c", code, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    told = dict(json.loads(line) for line in done.stdout.splitlines())
    assert told.pop("kilobytes") < most_kilobytes
    return told


def assert_told(told: dict[str, object], wanted: dict[str, str]) -> None:
    """Fails unless each name, and no other, is told the sentence that is wanted, and briefly."""
    assert told.keys() == wanted.keys()
    for name, sentence in wanted.items():
        said = told[name]
        assert isinstance(said, str)
        assert sentence in said, (name, said)
        assert len(said) < 500


@dataclass(frozen=True)
class Done:
    """What is left of a command."""

    returncode: int
    stdout: str
    stderr: str


def eqr(*arguments: str, stdin: str = "", cwd: Path = ROOT) -> Done:
    """The command ``eqr`` as a user types it in a folder, in this process, which is afterwards as it was before."""
    out, error, threads = io.StringIO(), io.StringIO(), torch.get_num_threads()
    with (
        chdir(cwd),
        patch.object(sys, "stdin", io.StringIO(stdin)),
        patch.object(sys, "path", list(sys.path)),
        redirect_stdout(out),
        redirect_stderr(error),
    ):
        code = _code_of(arguments)
    torch.set_num_threads(threads)
    return Done(code, out.getvalue(), error.getvalue())


def _code_of(arguments: tuple[str, ...]) -> int:
    try:
        main(list(arguments))
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def eventually(true: Callable[[], bool], seconds: float, every: float) -> None:
    """Wait, not for ever."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(every)


def same(one: Evidence, other: Evidence) -> bool:
    """Equal to the last bit, but for the time they took."""
    return all(torch.equal(vars(one)[name], vars(other)[name]) for name in BY_RESTART)


def solution(
    answer: torch.Tensor, settled: bool, valid: bool, residual: float, depth: int, halted: bool | None = None
) -> Solution:
    """An answer (L,) of the only restart; a row that had not settled ran out of depth unless it halted."""
    evidence = Evidence(
        puzzle=torch.zeros_like(answer),
        answers=answer.unsqueeze(0),
        residual=torch.tensor([residual]),
        logit_change=torch.tensor([0.0]),
        halt_logit=torch.tensor([0.0]),
        depth=torch.tensor([depth]),
        converged=torch.tensor([settled]),
        halted=torch.tensor([settled if halted is None else halted]),
        valid=torch.tensor([valid]),
        seconds=0.1,
    )
    return Solution(evidence=evidence, restart=0, text="")


def end_of(job: Job, answer: int = 0, halted: bool = True) -> Evidence:
    """Evidence of a row of 2x2 cells that ends after a segment, all cells ``answer``."""
    return Evidence(
        puzzle=job.puzzle,
        answers=torch.full((1, 4), answer),
        residual=torch.ones(1),
        logit_change=torch.ones(1),
        halt_logit=torch.zeros(1),
        depth=torch.ones(1, dtype=torch.long),
        converged=torch.tensor([halted]),
        halted=torch.tensor([halted]),
        valid=torch.tensor([False]),
    )


def unchanged_by_copies(small: Reasoner, ids: torch.Tensor, copies: int) -> None:
    """Asserts that a network with ``copies`` of each channel gives what ``small`` gives, from the same start."""
    wide = Reasoner(replace(small.config, channels=small.config.channels * copies))
    wide.load_state_dict(grown(wide, small, torch.Generator().manual_seed(2), spread=0.0))
    z = small.init(Streams.numbered(3, range(len(ids))), ids=ids)
    starts = z, z.repeat_interleave(copies, -1)
    narrow_end, wide_end = (
        model.segment(start, model.embed(ids), model.relations(ids))
        for model, start in zip((small, wide), starts, strict=True)
    )
    close = torch.testing.assert_close
    close(wide_end, narrow_end.repeat_interleave(copies, -1), atol=1e-3, rtol=1e-3)
    close(
        wide.decode(wide_end, wide.relations(ids)), small.decode(narrow_end, small.relations(ids)), atol=1e-2, rtol=1e-3
    )
    scores = (model.halt_logit(end, model.relations(ids)) for model, end in ((wide, wide_end), (small, narrow_end)))
    close(*scores, atol=1e-2, rtol=1e-3)
    if small.config.init == "fixed":
        close(wide.init(Streams.numbered(3, range(len(ids)))), starts[1])
