"""Memory depends on the rows under way, not on how many jobs pass through them."""

import itertools
from collections.abc import Iterable

import pytest
import torch
from torch import Tensor

from eqr.engine import SolveConfig, evidence_stream
from eqr.model import ModelConfig, Reasoner
from eqr.tasks import task_named

pytestmark = pytest.mark.slow
MEGABYTE = 1 << 20
MODEL = Reasoner(ModelConfig(task="sudoku4", block="relation", channels=2, updates_per_segment=1))


def puzzles(count: int) -> Iterable[Tensor]:
    return itertools.repeat(torch.zeros(task_named("sudoku4").layout.cells, dtype=torch.long), count)


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def run(count: int, config: SolveConfig) -> int:
    return sum(len(found.depth) for found in evidence_stream(MODEL, puzzles(count), config))


def test_memory_is_flat_from_a_thousand_jobs_to_thirty_thousand() -> None:
    config = SolveConfig(depth=1, breadth=10, rows=256)
    assert run(100, config) == 1_000
    before = resident()
    assert run(3_000, config) == 30_000
    assert resident() - before < 20 * MEGABYTE


def test_no_latent_outlives_its_segment() -> None:
    """One kept state of 16 rows would be 2 MB, so 50 of them more than the limit."""
    model = Reasoner(ModelConfig(task="sudoku4", block="relation", channels=512, updates_per_segment=1))
    for depth in (2, 50):
        found = evidence_stream(model, puzzles(16), SolveConfig(depth=depth, halt="fixed", rows=16))
        before = resident()
        assert len(list(found)) == 16
    assert resident() - before < 60 * MEGABYTE
