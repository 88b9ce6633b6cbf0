"""The bundled model's answers and their compute do not drift.

``golden/sameness.json`` holds the counts of one machine; on others kernels round differently, so some are compared
with a tolerance. They change when random streams do: measure the model again then (docs/results.md).
"""

import json
from pathlib import Path

import pytest

from eqr.cli import main

SAMENESS = json.loads((Path(__file__).parent / "golden" / "sameness.json").read_text())
SETTINGS = {
    "default": ["--halt", "residual", "--breadth", "1"],
    "suppose": ["--halt", "learned", "--suppose", "3", "--breadth", "auto:8"],
    "anderson": ["--halt", "residual", "--breadth", "1", "--solver", "anderson"],
}


@pytest.fixture(scope="module")
def puzzles(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("sameness") / "puzzles.csv")
    main(["generate", "sudoku", "--count", "24", "--seed", "77", "--out", path])
    return path


@pytest.mark.parametrize("setting", SETTINGS)
def test_answers_and_compute_are_as_recorded(setting: str, puzzles: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["solve", "--file", puzzles, "--json", *SETTINGS[setting]])
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    expected = SAMENESS["first_24"][setting]
    assert sum(record["valid"] for record in records) == expected["valid"]
    assert sum(record["restarts"] for record in records) == expected["restarts"]
    assert sum(record["depth"] for record in records) == pytest.approx(expected["segments"], rel=0.03)
