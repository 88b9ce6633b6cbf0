"""A service in this process, and one in a process of its own, as tests start them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from alike import eventually

from eqr.engine import SolveConfig, SolveServer
from eqr.model import ModelConfig, Reasoner
from eqr.web.limits import Limits
from eqr.web.service import Service

ROOT = Path(__file__).parents[2]
EASY = [line for line in (ROOT / "examples/sudoku/norvig_easy50.txt").read_text().splitlines() if line[0] != "#"]
FIVE = "#####/#S..#/#.#.#/#..G#/#####"
SEVEN = "#######/#S#...#/#.#.#.#/#...#.#/#####.#/#G....#/#######"
until = partial(eventually, seconds=30, every=0.02)


def untrained() -> Reasoner:
    """Mazes of any size, fast and wrong."""
    return Reasoner(ModelConfig(task="maze5", block="conv", channels=4, updates_per_segment=1)).eval()


@contextmanager
def service_of(models: dict[str, Reasoner], **limits: int) -> Iterator[Service]:
    limited = Limits(**limits)
    config, part = SolveConfig(), limited.client_queue
    with SolveServer(list(models.values()), config, limited.queue, client_queue=part) as driver:
        yield Service(models, driver, limited)


class Process:
    """`eqr serve` on a free port."""

    def __init__(self, *arguments: str, command: list[str] | None = None) -> None:
        command = command or [sys.executable, "-m", "eqr", "serve", "--port", "0", "--threads", "1", *arguments]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        assert self.process.stdout
        self.said = self.process.stdout.readline()
        assert " on http://127.0.0.1:" in self.said, self.process.communicate()
        self.address = self.said.split(" on ")[1].split()[0]
        self.port = int(self.address.rsplit(":", 1)[1])

    def ended(self) -> tuple[int, str]:
        """Exit code and what it said last, once it has ended."""
        _, error = self.process.communicate(timeout=30)
        return self.process.returncode, error

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()
