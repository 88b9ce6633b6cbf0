"""The command line as a reader sees it: the help of each command, messages about mistyped options, completion."""

import re
import subprocess
from pathlib import Path

import pytest
from alike import eqr

from eqr.cli import COMMANDS, _class_of
from eqr.commands.eval import Eval
from eqr.commands.flags import flags_of
from eqr.engine import SolveConfig

OPTION = re.compile(r"  (--?\w[^ ]*|\[?[A-Z]+)")


@pytest.fixture(autouse=True)
def _a_terminal_of_100_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")


def entries(text: str) -> dict[str, str]:
    """The help of each option and positional argument, by the option."""
    found: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        start = OPTION.match(line)
        if start:
            name = start[1]
            # An invocation that is too long for its column has its help below.
            found[name] = " ".join(re.split(" {2,}", line.strip())[1:])
        elif line.startswith("    ") and name:
            found[name] += f" {line.strip()}"
    return {name: sentence.strip() for name, sentence in found.items()}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_every_command_reads_well(name: str) -> None:
    done = eqr(name, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    for ugly in ("{None}", "``", "[[", "STR ", "INT ", "TEXT", "(default: )", "(default: None)", "(default: False)"):
        assert ugly not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100
    helped = entries(done.stdout)
    flags = flags_of(_class_of(name))
    assert {flag.spelt[0] for flag in flags if flag.spelt} <= {word.strip(",") for word in done.stdout.split()}
    assert len(helped) == len(flags) + 1  # and --help
    for option, sentence in helped.items():
        assert len(sentence.split()) > 1, (option, sentence)
    for flag in flags:
        assert flag.help(flags).endswith("."), flag.field
        assert "``" not in flag.help(flags), flag.field


@pytest.mark.parametrize("name", COMMANDS)
def test_a_negated_switch_is_described_as_what_it_does(name: str) -> None:
    """tyro turns a field that is True into --no-FIELD and prints the help of FIELD, so no field may be True."""
    assert [flag.field for flag in flags_of(_class_of(name)) if flag.default is True] == []
    fields = [flag.field for flag in flags_of(_class_of(name))]
    assert len(fields) == len(set(fields))


def test_no_compile_says_what_it_does_and_does_it() -> None:
    assert entries(eqr("eval", "--help").stdout)["--no-compile"].startswith("Run without torch.compile")
    assert Eval.__dataclass_fields__["machine"].default_factory().compile is True


def test_common_options_come_before_those_for_experts() -> None:
    common, experts = eqr("solve", "--help").stdout.split("expert options")
    assert {"--model", "--file", "--breadth", "--json"} <= set(entries(common))
    assert {"--tol", "--window", "--delta", "--solver", "--noise", "--seed", "--rows"} <= set(entries(experts))
    assert "usage: eqr solve [-h] [OPTIONS] [PUZZLE ...]" in common


def test_names_of_options_in_help_are_flags() -> None:
    assert "(at --depth)" in entries(eqr("solve", "--help").stdout)["--halt"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["solve", "--bredth", "3"], "option --bredth is not known: did you mean --breadth? `eqr solve --help` lists"),
        (["solve", "--bredth=3"], "option --bredth is not known: did you mean --breadth?"),
        (["eval", "--zzz"], "option --zzz is not known: `eqr eval --help` lists the options"),
        (["eval"], "--data FILE is needed: CSV or JSON lines (question, answer)"),
        (["train"], "PRESET is needed: sudoku_once"),
        (["import-reference", "x.pth"], "FOLDER is needed: Folder for the model"),
        (["data", "mini-arc", "--out", "o"], "--from SOURCE is needed"),
        (["solve", "--breadth"], "--breadth needs a value: give --breadth K|auto:K; `eqr solve --help`"),
        (["solve", "--breadth", "--json"], "--breadth needs a value"),
        (["solve", "--depth", "x"], "--depth x: a whole number is needed"),
        (["solve", "--depth", "2.5"], "--depth 2.5: a whole number is needed"),
        (["solve", "--tol", "small"], "--tol small: a number is needed"),
        (
            ["solve", "--protocol", "papr"],
            "protocol 'papr' is not known: did you mean 'paper'? choose one of best, paper",
        ),
        (["solve", "--json=yes"], "--json=yes: --json takes no value"),
        (["eval", "--data", "x.csv", "y.csv"], "unrecognized options: y.csv: `eqr eval --help` lists the options"),
        (["--completion", "csh"], "shell 'csh' is not known"),
        (["--completion"], "choose one of bash, zsh, fish"),
    ],
)
def test_a_mistyped_option_gets_one_sentence_and_exit_code_2(arguments: list[str], said: str) -> None:
    done = eqr(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("eqr: ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_options_keep_the_defaults_of_their_command() -> None:
    submit = {flag.field: flag.default for flag in flags_of(_class_of("submit"))}
    assert (submit["views"], submit["depth"], submit["breadth"]) == (8, 16, SolveConfig().breadth)


def test_underscores_and_equals_signs_are_read(tmp_path: Path) -> None:
    done = eqr("generate", "sudoku4", "--count=2", "--min_guesses", "0", "--out", str(tmp_path / "two.csv"))
    assert (done.returncode, done.stderr) == (0, "")
    assert len((tmp_path / "two.csv").read_text().splitlines()) == 3


def test_bash_completes_commands_options_and_files(tmp_path: Path) -> None:
    script = eqr("--completion", "bash").stdout
    (tmp_path / "puzzles.csv").touch()
    asked = """
    complete_words() { COMP_WORDS=("$@"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _tyro_eqr; echo "${COMPREPLY[@]}"; }
    complete_words eqr so
    complete_words eqr solve --br
    complete_words eqr solve --file puz
    """
    done = subprocess.run(
        ["bash", "-c", script + asked], capture_output=True, text=True, timeout=60, check=True, cwd=tmp_path
    )
    assert done.stdout.split() == ["solve", "--breadth", "puzzles.csv"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_a_script_with_all_commands(shell: str) -> None:
    script = eqr("--completion", shell).stdout
    assert all(name in script for name in COMMANDS)
    assert "--breadth" in script
