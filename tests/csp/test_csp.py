"""The task ``csp``: from a file of problems to a trained network, by the commands and in Python."""

import json
from pathlib import Path

import pytest
import torch
from starlette.testclient import TestClient
from test_csp_examples import printed
from web.serving import service_of

import eqr
from eqr.analysis.jacobian import spectral_radius
from eqr.cli import main
from eqr.data.problems import problems_in
from eqr.errors import InputError
from eqr.model import ModelConfig, Reasoner
from eqr.tasks.csp import Csp, csp_for
from eqr.tasks.family import family_of
from eqr.tasks.problem import Problem, problem_of
from eqr.web.app import create_app

SMALL = {
    "jigsaw": (("--side", "4"), ("--values-interchangeable",)),
    "futoshiki": (("--sides", "3", "4"), ()),
    "colouring": (("--vertices", "7", "10"), ("--values-interchangeable",)),
    "timetable": (("--exams", "9", "--slots", "3", "--students", "8"), ("--values-interchangeable",)),
    "sudoku": (("--sides", "4", "6"), ("--values-interchangeable",)),
}

BY_CHANCE = {"jigsaw": 1 / 4, "futoshiki": 1 / 3, "colouring": 1 / 3, "timetable": 1 / 3, "sudoku": 1 / 4}
"""Share of cells that a guess fills right, at most."""


def run(*arguments: object) -> None:
    main([str(argument) for argument in arguments])


def report_on(folder: Path, data: Path, report: Path, *options: object) -> dict[str, float]:
    """The figures of ``eqr eval`` for the network in ``folder``."""
    run("eval", "--model", folder / "run", "--data", data, "--json", report, *options)
    figures: dict[str, float] = json.loads(report.read_text())
    return figures


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of small jigsaw Sudokus after a few seconds."""
    folder = tmp_path_factory.mktemp("csp")
    for name, seed in (("train", 0), ("test", 1)):
        (folder / f"{name}.jsonl").write_text(printed("jigsaw", "--count", "200", "--seed", f"{seed}", "--side", "4"))
    options = ("--set", "model.channels=16", "slots=16", "ema=0.98", "warmup_steps=20", "evaluated=20")
    data = ("--data", folder / "train.jsonl", "--eval-data", folder / "test.jsonl")
    run("train", "csp", *data, "--steps", 150, "--values-interchangeable", "--out", folder / "run", *options)
    return folder


def tampered(folder: Path, change: dict[str, object], count: int = 5) -> Path:
    lines = [json.loads(line) | change for line in (folder / "test.jsonl").read_text().splitlines()[:count]]
    path = folder / "tampered.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_it_answers_problems_that_it_has_not_seen(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = report_on(trained, trained / "test.jsonl", trained / "report.json")
    assert figures["exact_accuracy"] == figures["valid_accuracy"] > 0.6  # each has one answer
    capsys.readouterr()
    main(["solve", "--model", str(trained / "run"), "--file", str(trained / "test.jsonl"), "--json"])
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    problems = list(problems_in(str(trained / "test.jsonl")))
    assert [tuple(record["question"]) for record in records] == [problem.question for problem in problems]
    right = [tuple(record["answer"]) == problem.answer for record, problem in zip(records, problems, strict=True)]
    assert [record["valid"] for record in records] == right


def test_a_problem_on_the_command_line_is_drawn_in_its_shape(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = (trained / "test.jsonl").read_text().splitlines()[0]
    main(["solve", "--model", str(trained / "run"), line])
    drawn = capsys.readouterr().out.splitlines()
    given = [value or "." for value in json.loads(line)["question"]]
    assert [row.split("  ")[0].split() for row in drawn[1:5]] == [given[at : at + 4] for at in range(0, 16, 4)]


def test_it_answers_problems_of_another_size(trained: Path) -> None:
    model = eqr.load(trained / "run")
    problems = [
        json.loads(line) for line in printed("jigsaw", "--count", "3", "--seed", "5", "--side", "5").splitlines()
    ]
    texts = [json.dumps(problem | {"values": ["1", "2", "3", "4", "5"]}) for problem in problems]
    solutions = eqr.solve(model, texts)
    assert all(len(json.loads(solution.text)) == 25 for solution in solutions)
    for solution, problem in zip(solutions, problems, strict=True):
        told = json.loads(solution.text)
        assert [a for a, q in zip(told, problem["question"], strict=True) if q] == [q for q in problem["question"] if q]
    both = eqr.solve(model, [texts[0], (trained / "test.jsonl").read_text().splitlines()[0], texts[1]])
    assert [solution.text for solution in both[::2]] == [solution.text for solution in solutions[:2]]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"question": ["9", *[None] * 15], "answer": None},
            "variable 0, is '9': the values of the training data are 1,",
        ),
        ({"relations": {"diagonal": [[0, 5]]}}, "relation 'diagonal' is not known: the relations of the training data"),
        ({"relations": {"row": [[0, 99]]}}, "relation 'row', group 0, holds variable 99: the variables are 0 to 15"),
        ({"values": ["1", "2"]}, "which values does not list"),
    ],
)
def test_a_foreign_problem_gets_one_sentence_and_the_others_are_answered(
    trained: Path, change: dict[str, object], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tampered(trained, change, 1)
    with path.open("a") as file:
        file.write((trained / "test.jsonl").read_text().splitlines()[0] + "\n")
    with pytest.raises(SystemExit, match="2"):
        main(["solve", "--model", str(trained / "run"), "--file", str(path), "--json"])
    out, err = capsys.readouterr()
    assert [next(iter(json.loads(line))) for line in out.splitlines()] == ["error", "question"]
    assert f"{path}, line 1: " in err
    assert told in err


def test_rules_mark_answers_and_change_none(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules = trained / "rules.json"
    rules.write_text('{"row": null, "column": null, "region": null}')
    found = {}
    for name, options in (("usual", ()), ("none", ("--rules", str(rules)))):
        found[name] = report_on(trained, trained / "test.jsonl", trained / f"{name}.json", *options)
    assert found["none"]["valid_accuracy"] == 1
    assert found["usual"]["valid_accuracy"] < 1
    assert found["usual"]["exact_accuracy"] == found["none"]["exact_accuracy"]


def test_a_checker_is_asked_too(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "stern.py").write_text("def never(problem, answer):\n    return answer[0] == 'x'\n")
    monkeypatch.syspath_prepend(tmp_path)
    run(
        "solve",
        "--model",
        trained / "run",
        "--file",
        trained / "test.jsonl",
        "--checker",
        "stern:never",
        "--json",
    )
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert not any(record["valid"] for record in records)
    with pytest.raises(SystemExit, match="2"):  # an answer of the file must be one
        run("eval", "--model", trained / "run", "--data", trained / "test.jsonl", "--checker", "stern:never")
    told = "line 1, in the answer: the checker refuses the answer (the check of csp refuses 200 of 200 answers in"
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("name", SMALL)
def test_each_example_trains(name: str, tmp_path: Path) -> None:
    sizes, options = SMALL[name]
    data = tmp_path / "data.jsonl"
    data.write_text(printed(name, "--count", "40", "--seed", "0", *sizes))
    small = ("model.channels=8", "slots=8", "warmup_steps=20", "ema=0.95")
    given = ("--steps", 120, "--out", tmp_path / "run", "--set", *small)
    run("train", "csp", "--data", data, *options, *given)
    figures = report_on(tmp_path, data, tmp_path / "report.json")
    assert 0 <= figures["valid_accuracy"] <= 1
    print(name, figures["token_accuracy"])
    assert figures["token_accuracy"] > BY_CHANCE[name] + 0.1


def test_nothing_depends_on_the_order_of_variables() -> None:
    problem = problem_of(json.loads(printed("futoshiki", "--count", "1", "--seed", "3", "--sides", "4")))
    order = torch.randperm(16, generator=torch.Generator().manual_seed(0)).tolist()
    place = {old: new for new, old in enumerate(order)}
    moved = Problem(
        question=tuple(problem.question[old] for old in order),
        values=problem.values,
        relations={
            name: type(relation)(
                groups=tuple(tuple(place[i] for i in group) for group in relation.groups), ordered=relation.ordered
            )
            for name, relation in problem.relations.items()
        },
    )
    task = csp_for([problem], family_of([problem]))
    model = Reasoner(ModelConfig(task=task, block="relation", channels=8, layers=2))
    rows = [torch.from_numpy(task.parse(json.dumps(each.as_json()))).long().unsqueeze(0) for each in (problem, moved)]
    z = torch.randn(1, *model.state_shape, generator=torch.Generator().manual_seed(1))
    ends = [
        model.segment(start, model.embed(row), model.relations(row))
        for start, row in zip((z, z[:, :, order]), rows, strict=True)
    ]
    torch.testing.assert_close(ends[1], ends[0][:, :, order], atol=1e-4, rtol=1e-4)


def test_names_and_values_are_kept_with_the_model(trained: Path) -> None:
    task = eqr.load(trained / "run").task
    assert isinstance(task, Csp)
    assert task.known.values == ("1", "2", "3", "4")
    assert dict(task.known.relations) == {"column": False, "region": False, "row": False}
    assert task.known.interchangeable
    with pytest.raises(InputError, match="variable 3, is the number 5"):
        task.parse('{"question": [null, null, null, 5], "relations": {}}')


def test_a_sudoku_that_lists_no_values_has_as_many_as_its_rows_have_cells() -> None:
    lines = [
        json.loads(line) for line in printed("sudoku", "--count", "4", "--seed", "0", "--sides", "4", "6").splitlines()
    ]
    problems = [problem_of(line) for line in lines]
    task = csp_for(problems, family_of(problems, interchangeable=True))
    assert task.known.values_as_groups
    for line in lines:
        bare = json.dumps({name: value for name, value in line.items() if name in ("question", "relations")})
        listed = json.dumps(line | {"answer": None, "shape": None})
        assert (task.parse(bare) == task.parse(listed)).all()
    larger = json.loads(printed("sudoku", "--count", "1", "--seed", "0", "--sides", "9")) | {"values": None}
    on = task.fitting(json.dumps(larger))
    assert on.layout.symbols == 9
    assert on.format(torch.from_numpy(on.parse(json.dumps(larger)))) == json.dumps(larger["question"])
    unlisted = [problem_of(line | {"values": None}) for line in lines]
    assert not family_of(unlisted, interchangeable=True).values_as_groups


def test_values_of_their_own_kind_must_be_the_first_of_the_family() -> None:
    text = printed("futoshiki", "--count", "2", "--seed", "3", "--sides", "3", "4").splitlines()
    problems = [problem_of(json.loads(line)) for line in text]
    task = csp_for(problems, family_of(problems))
    board = task.parse(json.dumps(json.loads(text[0]) | {"answer": None}))
    assert task.format(torch.from_numpy(board)) == json.dumps(json.loads(text[0])["question"])
    with pytest.raises(InputError, match="list 1, 2, 3, in this order"):
        task.parse(json.dumps(json.loads(text[0]) | {"answer": None, "values": ["3", "2", "1"]}))


def test_the_service_answers_problems_of_several_sizes_as_objects_and_as_texts(trained: Path) -> None:
    lines = [json.loads(line) | {"answer": None} for line in (trained / "test.jsonl").read_text().splitlines()[:2]]
    large = json.loads(printed("jigsaw", "--count", "1", "--seed", "5", "--side", "5")) | {"answer": None}
    large |= {"values": ["1", "2", "3", "4", "5"]}
    with service_of({"csp": eqr.load(trained / "run")}) as service:
        client = TestClient(create_app(service))
        asked = {"task": "csp", "puzzles": [lines[0], large, json.dumps(lines[1])]}
        answers = client.post("/v1/solve", json=asked).json()["answers"]
        assert [answer["question"] for answer in answers] == [each["question"] for each in (lines[0], large, lines[1])]
        assert [len(answer["answer"]) for answer in answers] == [16, 25, 16]
        refused = client.post("/v1/solve", json={"task": "csp", "puzzles": [{"question": ["7"], "relations": {}}]})
        assert refused.status_code == 422
        assert "puzzles[0]: question, variable 0, is '7'" in refused.json()["error"]
        stream = client.get("/v1/solve/stream", params={"task": "csp", "puzzle": json.dumps(lines[0]), "depth": 2})
        assert '"answer":["' in stream.text


def test_a_sweep_takes_problems(trained: Path, tmp_path: Path) -> None:
    data = ("--data", trained / "test.jsonl", "--limit", 6)
    run("sweep", "--model", trained / "run", *data, "--depths", "1,4", "--breadths", "1,2", "--out", tmp_path / "sweep")
    assert (tmp_path / "sweep").exists()


def test_a_stopped_run_goes_on(tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text(printed("colouring", "--count", "20", "--seed", "0", "--vertices", "7", "10"))
    small = ("--set", "model.channels=8", "slots=4", "warmup_steps=5")
    asked = ("train", "csp", "--data", data, "--values-interchangeable", "--log-seconds", 1e-6, *small)
    run(*asked, "--steps", 6, "--out", tmp_path / "whole")
    run(*asked, "--steps", 3, "--out", tmp_path / "parts")
    run(*asked, "--steps", 6, "--out", tmp_path / "parts", "--resume")
    logs = [(tmp_path / name / "log.jsonl").read_text().splitlines() for name in ("whole", "parts")]
    records = [[record for line in log if (record := json.loads(line))["event"] == "train"] for log in logs]
    assert [record["step"] for record in records[1]] == [1, 2, 3, 4, 5, 6]
    assert records[0][0]["loss"] == records[1][0]["loss"]


def test_an_analysis_takes_problems_and_an_export_refuses_them(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = eqr.load(trained / "run")
    ids = model.task.encode((trained / "test.jsonl").read_text().splitlines()[:2])
    ends = eqr.trajectory(model, ids, depth=4, latents=True)
    assert ends.z is not None
    assert spectral_radius(model, ids, ends.z[:, -1], measured=4, burn_in=2).isfinite().all()
    with pytest.raises(SystemExit, match="2"):
        run("export", "--model", trained / "run", "--out", tmp_path / "model.onnx")
    assert "cannot be exported" in capsys.readouterr().err


def test_ids_that_are_no_problem_are_refused(trained: Path) -> None:
    model = eqr.load(trained / "run")
    with pytest.raises(InputError, match="puzzle 1: the ids describe no problem of this task"):
        eqr.solve(model, torch.zeros(1, model.task.layout.width, dtype=torch.long))
    with pytest.raises(InputError, match="puzzle 1: it holds ids from 300 to 300, sudoku has 0 to 9"):
        eqr.solve(eqr.load("sudoku"), torch.full((1, 81), 300))


@pytest.mark.parametrize(
    ("name", "script", "options", "least"),
    [
        ("colouring", "colouring", ("--vertices", "100", "100"), 19),
        ("futoshiki", "futoshiki", ("--sides", "7"), 19),
        ("jigsaw", "jigsaw", (), 16),
        ("sudoku_sizes", "sudoku", ("--sides", "4", "6", "9", "16"), 19),
        ("timetable", "timetable", (), 16),
    ],
)
def test_a_bundled_model_answers_problems_that_it_has_not_seen(
    name: str, script: str, options: tuple[str, ...], least: int
) -> None:
    lines = printed(script, "--count", "20", "--seed", "4242", *options).splitlines()
    asked = [json.dumps(json.loads(line) | {"answer": None}) for line in lines]
    solutions = list(eqr.solve_stream(eqr.load(name), asked, compile="kernel"))
    assert sum(solution.valid for solution in solutions) >= least
