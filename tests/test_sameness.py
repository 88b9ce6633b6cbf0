"""What the bundled model answered before the second edition, and how much it took, it still does.

``golden/sameness.json`` holds the digests of 200 puzzles and of four short trainings, equal bit for bit on the machine
that it names; on others kernels round differently, so the first 24 puzzles are compared by counts.
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
def test_answers_and_compute_are_those_of_the_first_edition(
    setting: str, puzzles: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["solve", "--file", puzzles, "--json", *SETTINGS[setting]])
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    expected = SAMENESS["first_24"][setting]
    assert sum(record["valid"] for record in records) == expected["valid"]
    assert sum(record["restarts"] for record in records) == expected["restarts"]
    assert sum(record["depth"] for record in records) == pytest.approx(expected["segments"], rel=0.03)
