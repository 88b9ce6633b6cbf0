"""What an evaluation counts, from evidence written by hand."""

import io
import json
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from rich.console import Console

from eqr.data.files import Puzzles
from eqr.engine import SolveConfig
from eqr.evidence import Evidence, Solution
from eqr.measure.evaluate import evaluate
from eqr.measure.report import Report
from eqr.model import ModelConfig, Reasoner
from eqr.tasks import Task, task_named
from eqr.tasks.grid import Grid, GridConfig

QUESTION = "#####/#S..#/#.#.#/#..G#/#####"
RIGHT, DOWN, NEITHER = "#####/#Soo#/#.#o#/#..G#/#####", "#####/#S..#/#o#.#/#ooG#/#####", QUESTION


def report_of(task: Task, puzzles: torch.Tensor, label: torch.Tensor, answers: torch.Tensor) -> Report:
    """The report on a model that gives these answers (B, K, L) to as many copies of a puzzle with this label."""

    def solve_stream(*_: object, **__: object) -> Iterator[Solution]:
        for puzzle, restarts in zip(puzzles, answers, strict=True):
            signs = {name: torch.full((len(restarts),), 0.1) for name in ("residual", "logit_change", "halt_logit")}
            said = torch.ones(len(restarts), dtype=torch.bool)
            evidence = Evidence(
                puzzle=puzzle,
                answers=restarts,
                depth=said.long(),
                converged=said,
                halted=said,
                valid=task.is_solved(puzzle.expand_as(restarts), restarts),
                **signs,
            )
            yield Solution(evidence=evidence, restart=0, text="")

    boards = {"questions": puzzles.numpy(), "answers": label.expand_as(puzzles).numpy()}
    given = Puzzles(
        **{name: board.astype(np.uint8) for name, board in boards.items()},
        ratings=np.zeros(len(puzzles), np.int64),
        task=task,
    )
    model = Reasoner(ModelConfig(task=task, block="relation", channels=4))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("eqr.measure.evaluate.solve_stream", solve_stream)
        return evaluate(model, given, SolveConfig(breadth=answers.shape[1], select="first"))


def text_of(report: Report) -> str:
    printed = io.StringIO()
    Console(width=80, file=printed).print(report.table())
    return printed.getvalue()


def test_another_shortest_path_than_the_label_is_valid_and_not_exact() -> None:
    task = task_named("maze5")
    answers = torch.stack([task.encode([first, RIGHT]) for first in (RIGHT, DOWN, DOWN, NEITHER)])
    report = report_of(task, task.encode([QUESTION] * 4), task.encode(RIGHT)[0], answers)
    assert (report.exact_accuracy, report.valid_accuracy, report.any_correct) == (0.25, 0.75, 1.0)
    assert json.loads(report.to_json())["valid_accuracy"] == 0.75
    lines = [line.split() for line in text_of(report).splitlines() if "accuracy" in line]
    assert [[word for word in line if word != "│"] for line in lines][:2] == [
        ["exact_accuracy", "0.25"],
        ["valid_accuracy", "0.75"],
    ]


def test_nothing_is_called_valid_where_there_are_no_rules() -> None:
    options = {"clues_fixed": True, "interchangeable": True, "dihedral": True}
    task = Grid(GridConfig(rows=2, cols=2, symbols="ab", blank=".", **options))
    assert not task.has_rules
    answer = task.encode("ab/ba")
    report = report_of(task, task.encode("a./.."), answer[0], answer[None])
    assert report.exact_accuracy == 1
    assert json.loads(report.to_json())["valid_accuracy"] is None
    assert "valid_accuracy" not in text_of(report)
