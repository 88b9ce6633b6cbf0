"""The wheel holds all that is needed and nothing else; project files agree with each other."""

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EASY = "..3.2.6..9..3.5..1..18.64....81.29..7.......8..67.82....26.95..8..2.3..9..5.1.3.."
ANSWER = "483921657967345821251876493548132976729564138136798245372689514814253769695417382"


def test_the_wheel_holds_the_package_without_logs_of_training(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    source = ROOT / "src"
    files = {path.relative_to(source).as_posix() for path in (source / "eqr").rglob("*") if path.is_file()}
    wanted = {name for name in files if "__pycache__" not in name and not name.endswith("/log.jsonl")}
    assert names == wanted
    assert {"eqr/py.typed", "eqr/weights/sudoku/model.safetensors", "eqr/weights/maze/card.md"} <= names
    assert not [name for name in names if re.search(r"log\.jsonl|state\.pt|\.npz|(^|/)tests?/|(^|/)runs/", name)]
    assert wheel.stat().st_size < 8_000_000


@pytest.mark.slow
def test_the_wheel_answers_without_the_source_tree(unpacked: Path, tmp_path: Path) -> None:
    code = """
import runpy, sys
from importlib.metadata import distribution, version
import eqr
print(eqr.__file__)
print(distribution("equilibrium-reasoners").locate_file("eqr"))
sys.argv = ["eqr", "solve", sys.argv[1], "--json", "--threads", "1"]
runpy.run_module("eqr", run_name="__main__", alter_sys=True)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, EASY],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(unpacked)},
    )
    assert done.returncode == 0, done.stderr
    package, told, answer = done.stdout.splitlines()
    assert Path(package).is_relative_to(unpacked)
    assert Path(told).is_relative_to(unpacked)
    record = json.loads(answer)
    assert (record["answer"], record["valid"]) == (ANSWER, True)


@pytest.mark.slow
def test_the_wheel_says_its_version_and_licence(unpacked: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "eqr", "--version"]
    environment = os.environ | {"PYTHONPATH": str(unpacked)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path, env=environment)
    assert done.stdout == f"eqr {PROJECT['version']}\n"
    (about,) = unpacked.glob("*.dist-info")
    assert "License-Expression: Apache-2.0\n" in (about / "METADATA").read_text()
    assert (about / "licenses" / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_every_extra_is_in_all_and_all_is_tested() -> None:
    extras = PROJECT["optional-dependencies"]
    (everything,) = extras["all"]
    assert sorted(re.findall(r"\w+", everything.removeprefix("equilibrium-reasoners"))) == sorted(
        extras.keys() - {"all", "test"}
    )
    assert "equilibrium-reasoners[all]" in extras["test"]


def test_the_project_files_agree() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"] == "Apache-2.0"
    (paper,) = citation["references"]
    assert [author["family-names"] for author in paper["authors"]] == ["Huang", "Geng", "Kolter"]
    assert "arXiv:2605.21488" in [identifier["value"] for identifier in paper["identifiers"]]
    assert f"## [{PROJECT['version']}]" in (ROOT / "CHANGELOG.md").read_text()
    licence = (ROOT / "LICENSE").read_text()
    assert "Apache License" in licence
    assert "END OF TERMS AND CONDITIONS" in licence


def test_the_readme_lists_every_page_and_links_lead_somewhere() -> None:
    readme = (ROOT / "README.md").read_text()
    listed = readme.partition("## Documentation")[2].partition("\n## ")[0]
    for page in [*(ROOT / "docs").glob("*.md"), ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]:
        assert f"]({page.relative_to(ROOT)})" in listed, page.name
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
            assert target.startswith("http") or (page.parent / target).exists(), (page.name, target)
