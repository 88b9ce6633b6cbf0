"""Rows may iterate with matrix products in bfloat16."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from alike import eqr as command

import eqr
from eqr.data.files import labelled
from eqr.engine import SolveConfig, evidence_stream
from eqr.engine.segment import fastest, segment
from eqr.measure.calibrate import calibrate
from eqr.model import Reasoner
from eqr.model.blocks.relation_kernel import SOURCE
from eqr.random import Streams
from eqr.runtime import native_library
from eqr.solvers import Picard
from eqr.storage.checkpoint import load
from eqr.tasks import task_named

PUZZLES = list(itertools.islice(task_named("sudoku4").generate(seed=8), 40))
ARRAYS = (np.stack([puzzle.question for puzzle in PUZZLES]), np.stack([puzzle.answer for puzzle in PUZZLES]))


@pytest.fixture(scope="module")
def model(tiny_run: Path) -> Reasoner:
    return load(tiny_run)


def test_a_segment_in_bfloat16_is_close_to_one_in_float32_and_keeps_its_states_in_float32(model: Reasoner) -> None:
    ids = torch.from_numpy(ARRAYS[0]).long()
    z, x = model.init(Streams.numbered(0, range(40))), model.embed(ids)
    with torch.inference_mode():
        exact, rough = (segment(model, Picard(), z, x, ids, (), None, bf16=bf16) for bf16 in (False, True))
    assert {value.dtype for value in (rough.z, rough.residual, rough.logits, rough.halt_logit)} == {torch.float32}
    difference = (rough.z - exact.z).norm() / exact.z.norm()
    assert 1e-5 < difference < 0.05


@pytest.mark.parametrize("solver", ["picard", "anderson"])
def test_answers_in_bfloat16_are_as_right_and_reports_name_it(model: Reasoner, solver: str) -> None:
    config = SolveConfig(depth=24, halt="fixed", solver=solver, dtype="bfloat16")
    report = eqr.evaluate(model, ARRAYS, config)
    exact = eqr.evaluate(model, ARRAYS, SolveConfig(depth=24, halt="fixed"))
    assert exact.exact_accuracy > 0.7
    assert abs(report.exact_accuracy - exact.exact_accuracy) < 0.06
    assert (report.record()["dtype"], exact.record()["dtype"]) == ("bfloat16", "float32")


def test_a_kernel_computes_in_bfloat16_where_the_processor_does() -> None:
    model, library = eqr.load("sudoku"), native_library(SOURCE)
    assert library is not None
    assert fastest(model, "kernel", bf16=True).fast == bool(library.relation_halves())
    assert fastest(model, "kernel", bf16=False).fast
    assert not fastest(model, False, bf16=True).fast


def test_calibration_measures_with_the_numbers_it_is_given(model: Reasoner, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def stream(model: Reasoner, inputs: torch.Tensor, config: SolveConfig, **options: Any) -> Any:
        asked.append(config.dtype)
        return evidence_stream(model, inputs, config, **options)

    monkeypatch.setattr("eqr.measure.calibrate.evidence_stream", stream)
    measured = calibrate(model, labelled(ARRAYS, model.task), depth=4, breadth=1, dtype="bfloat16")
    assert asked == ["bfloat16"]
    assert {report.config.dtype for report in measured.tried} == {"bfloat16"}


def test_other_numbers_are_refused() -> None:
    done = command("eval", "--data", "examples/sudoku/puzzles.csv", "--dtype", "float16")
    assert done.returncode == 2
    assert "dtype 'float16' is not known: did you mean 'bfloat16'? choose one of float32, bfloat16" in done.stderr
