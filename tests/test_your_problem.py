"""The page on problems of one's own: its JSON is what it says, its Python runs, and its commands print problems."""

import json
import re
import shlex
from pathlib import Path

import pytest
from test_csp_examples import printed

from eqr.cli import main
from eqr.data.problems import problems_in
from eqr.errors import InputError
from eqr.tasks.family import family_of
from eqr.tasks.problem import problem_of
from eqr.tasks.rules import rules_from_json, usual_rules

PAGE = (Path(__file__).parents[1] / "docs" / "your_problem.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_problem_of_the_page_is_answered_by_its_rules() -> None:
    value = json.loads(blocks("json")[0])
    problem = problem_of(value)
    rules = usual_rules(family_of([problem]))
    assert rules is not None
    assert rules.holds(problem, problem.answer or ())
    assert not rules.holds(problem, ("1", "2", "2", "2"))
    relations = {"line": [], "cage": [], "friends": [], "before": {"ordered": True, "groups": []}}
    other = {"question": ["1"], "relations": relations, "attributes": {"total": [1]}}
    assert (
        rules_from_json(json.loads(blocks("json")[1]), family_of([problem_of(other)])).of_relations["friends"] is None
    )


def test_the_message_of_the_page_is_given() -> None:
    (message,) = re.findall(r"exams\.jsonl, line 7: (.*)", PAGE)
    groups = [[0]] * 12 + [[30]]
    with pytest.raises(InputError, match=re.escape(message)):
        problem_of({"question": [None] * 30, "relations": {"conflict": groups}})


def test_the_spreadsheet_of_the_page_becomes_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("exams.csv").write_text("student,exam\nAda,maths\nAda,art\nBo,art\nBo,law\nCy,law\n")
    exec(blocks("python")[0], {})
    problem = problem_of(json.loads(capsys.readouterr().out))
    assert problem.relations["conflict"].groups == ((0, 2), (0, 1))  # art, law, maths


def test_the_marking_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    value = json.loads(blocks("json")[0])
    Path("train.jsonl").write_text(json.dumps(value) + "\n")
    wrong = {**value, "answer": ["1", "1", "3", "2"], "id": "wrong"}
    Path("test.jsonl").write_text(json.dumps(value) + "\n" + json.dumps(wrong) + "\n")
    Path("rules.json").write_text('{"conflict": "all_different", "less": "increasing"}')
    exec(blocks("python")[1], {})
    right, broken = capsys.readouterr().out.splitlines()
    assert right == "spring None"
    assert "relation 'conflict', group 0: variables 0 and 1 are both '1'" in broken


def test_the_commands_of_the_page_print_problems(tmp_path: Path) -> None:
    commands = [shlex.split(line) for line in blocks("sh")[1].splitlines()]
    assert len(commands) == 6
    for python, script, *arguments, arrow, target in commands:
        assert (python, arrow) == ("python", ">")
        assert arguments[:2] == ["--count", "1000"]
        (tmp_path / target).write_text(printed(Path(script).stem, *arguments, "--count", "2"))
        assert len(list(problems_in(str(tmp_path / target), answered=True))) == 2


def test_the_console_of_the_page_says_what_the_bundled_model_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make, solve, *told = blocks("console")[0].splitlines()
    _, _, script, *options, _, target = shlex.split(make)
    Path(target).write_text(printed(Path(script).stem, *options))
    main(shlex.split(solve)[2:])
    said = capsys.readouterr().out.splitlines()
    assert said[:-2] == told[:-2]  # the last line but one has the time
    assert said[-2].split(" residual")[0] == told[-2].split(" residual")[0]


def test_the_commands_of_the_page_train_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for line in blocks("sh")[0].splitlines():
        program, *arguments = shlex.split(line)
        if program == "python":
            *options, _, target = arguments[1:]
            Path(target).write_text(printed(Path(arguments[0]).stem, *options))
        elif arguments[0] != "calibrate":  # half a minute; tests of boards run it
            capsys.readouterr()
            main(arguments)
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(records) == 150
    assert sum(record["valid"] for record in records) > 75
