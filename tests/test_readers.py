"""Data, records, logs and measurements of strangers: the outcome is a result, or one InputError of one sentence.

As in test_strangers.py, EQR_TRIES sets the number of inputs of each kind.
"""

import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from alike import assert_told, told_by
from hypothesis import given
from hypothesis import strategies as st
from test_strangers import damaged, one_sentence, several, sparse, with_value, written

from eqr.data.few_shot import evaluated_boards, read_few_shot, training_boards
from eqr.data.files import collect, read_labelled
from eqr.data.hrm_format import read_folder, write_folder
from eqr.data.parsing import Refused
from eqr.data.text import read_puzzles
from eqr.distributed import Ranks
from eqr.errors import InputError
from eqr.model import ModelConfig, Reasoner
from eqr.paper.claims import trained_depth
from eqr.paper.claims.base import HOLDS, Measured
from eqr.paper.claims.report import keep, kept, page
from eqr.storage.checkpoint import published, save
from eqr.storage.records import RecordFile
from eqr.tasks import task_named
from eqr.tasks.arc import Arc
from eqr.training.log import forget_after

SUDOKU = task_named("sudoku4")
TASKS = {
    "a": {"train": [{"input": [[1, 2]], "output": [[2, 1]]}], "test": [{"input": [[3]], "output": [[4]]}]},
    "b": {"train": [{"input": [[5], [6]], "output": [[7]]}], "test": [{"input": [[8]]}]},
}
RECORD = {"question": "1...", "answer": "1234", "valid": True, "residual": 1e-4}
LOG = [{"event": "start", "step": 0, "run": {"max_segments": 16}}, {"event": "train", "step": 3, "loss": 0.5}]


def mutated(data: st.DataObject, whole: bytes) -> bytes:
    """Returns bytes that are anything, damaged, or JSON with other values."""
    kind = data.draw(st.sampled_from(["anything", "damaged", "values"]))
    if kind == "anything":
        return data.draw(st.binary(max_size=200))
    if kind == "damaged":
        return damaged(data, whole, len(whole))
    tree = json.loads(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        tree = with_value(data, tree)
    return json.dumps(tree).encode()


def boards_of(source: Path, solutions: Path | None = None) -> int:
    tasks, arc = read_few_shot(str(source), str(solutions) if solutions else None), Arc(4, 30)
    return len([*training_boards(tasks, arc), *evaluated_boards(tasks, arc)])


@pytest.mark.parametrize("name", ["x_challenges.json", "x_solutions.json"])
@several
@given(data=st.data())
def test_any_few_shot_file_is_read_or_gets_a_sentence(tmp_path: Path, name: str, data: st.DataObject) -> None:
    whole = {"x_challenges.json": TASKS, "x_solutions.json": {"b": [[[9]]]}}
    files = {file: json.dumps(value).encode() for file, value in whole.items()}
    written(tmp_path, files)
    assert boards_of(tmp_path / "x_challenges.json") == 4
    written(tmp_path, {name: mutated(data, files[name])})
    one_sentence(lambda: boards_of(tmp_path / "x_challenges.json"))
    one_sentence(lambda: boards_of(tmp_path))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    path, puzzles = tmp_path_factory.mktemp("set"), collect(SUDOKU, SUDOKU.generate(seed=3), 6)
    write_folder(path, puzzles.questions, puzzles.answers, np.array([0, 2, 6]), SUDOKU)
    return {file.name: file.read_bytes() for file in path.iterdir()}


@pytest.mark.parametrize(
    "name", ["dataset.json", "all__inputs.npy", "all__puzzle_indices.npy", "all__group_indices.npy"]
)
@several
@given(data=st.data())
def test_any_folder_of_arrays_is_read_or_gets_a_sentence(
    tmp_path: Path, folder: dict[str, bytes], name: str, data: st.DataObject
) -> None:
    assert len(read_folder(written(tmp_path, folder), SUDOKU).questions) == 6
    new = mutated(data, folder[name]) if name == "dataset.json" else array(data, folder[name])
    (tmp_path / name).write_bytes(new)
    one_sentence(lambda: read_labelled(str(tmp_path), SUDOKU))
    (tmp_path / name).unlink()  # the reader may still hold the old file as a memory map


def array(data: st.DataObject, whole: bytes) -> bytes:
    """Returns an npy file that is damaged, or whose header says something else than its bytes."""
    if data.draw(st.booleans()):
        return damaged(data, whole, 130)
    sizes = st.sampled_from([0, 1, -1, 6, 16, 2**31, 2**62, 10**30])
    shape = tuple(data.draw(st.lists(sizes, max_size=3)))
    kind = data.draw(st.sampled_from(["|u1", "<i8", "|O", "<f8", "|b1", "<U9", "|V0", "<M8", "x"]))
    header = f"{{'descr': {kind!r}, 'fortran_order': {data.draw(st.booleans())}, 'shape': {shape}}}"
    text = (
        data.draw(st.sampled_from([header, "-" * 9000 + "1", "[" * 9000, header[:-1], header + " #"])).encode() + b"\n"
    )
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data.draw(st.binary(max_size=100))


@several
@given(data=st.data())
def test_any_npz_is_read_or_gets_a_sentence(tmp_path: Path, folder: dict[str, bytes], data: st.DataObject) -> None:
    path, packed = tmp_path / "x.npz", io.BytesIO()
    np.savez_compressed(packed, puzzles=np.zeros((2, 16), np.uint8), solutions=np.ones((2, 16), np.uint8))
    path.write_bytes(damaged(data, packed.getvalue()))
    if data.draw(st.booleans()):
        with zipfile.ZipFile(path, "w") as file:
            for name in ("puzzles.npy", data.draw(st.sampled_from(["solutions.npy", "solutions", "Puzzles.npy"]))):
                file.writestr(name, array(data, folder["all__inputs.npy"]))
    one_sentence(lambda: read_labelled(str(path), SUDOKU))


def resumed(path: Path) -> int:
    """Goes on with a file of records until eight are there; returns how many were written."""
    count = 0
    with RecordFile(path, Ranks(), "continue") as file:
        for number, _ in file.to_do(range(8)):
            file.write(number, RECORD)
            count += 1
    list(file.records())
    return count


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.part3"])
@several
@given(data=st.data())
def test_any_file_of_records_is_continued_or_gets_a_sentence(tmp_path: Path, name: str, data: st.DataObject) -> None:
    lines = [json.dumps(RECORD).encode() + b"\n"] * 3
    files = {"out.jsonl": b"".join(lines), "out.jsonl.part3": b"".join(b"%d\t%b" % (at, lines[0]) for at in (4, 5, 7))}
    assert resumed(written(tmp_path, files) / "out.jsonl") == 2
    written(tmp_path, files)
    at = data.draw(st.integers(0, 3))
    odd = data.draw(st.binary(max_size=60) | st.sampled_from([b"[1]\n", b"null\n", b"\0" * 50, b"[" * 2000 + b"\n"]))
    before = data.draw(
        st.sampled_from([b"".join([*lines[:at], odd, *lines[at:]]), damaged(data, files[name], len(files[name])), odd])
    )
    (tmp_path / name).write_bytes(before)
    said: list[str] = []
    one_sentence(lambda: said.append(str(resumed(tmp_path / "out.jsonl"))))
    if name == "out.jsonl" and not said:  # refused: nothing of the file is lost
        assert (tmp_path / name).read_bytes().startswith(before.rpartition(b"\n")[0])


@pytest.mark.parametrize("end", [b"", b"\0" * 300, b'{"question": "1', json.dumps(RECORD).encode()])
def test_records_go_on_behind_what_a_lost_machine_leaves(tmp_path: Path, end: bytes) -> None:
    path, line = tmp_path / "out.jsonl", json.dumps(RECORD).encode() + b"\n"
    path.write_bytes(line * 3 + end)
    assert resumed(path) == 5 - (end == line[:-1])
    assert path.read_bytes() == line * 8


@pytest.mark.parametrize(
    "mine", [b"dear diary", b"a\nb\n", b"\xff\xfe\x00", b"[1, 2]\n", b"{}\nx\n", b'{"a": 1}\n\0{"b": 2}\n']
)
def test_a_file_that_holds_no_records_is_refused_and_stays_as_it_is(tmp_path: Path, mine: bytes) -> None:
    path = tmp_path / "diary.txt"
    path.write_bytes(mine)
    with pytest.raises(InputError, match="holds no records of a run, or they are damaged"):
        resumed(path)
    assert path.read_bytes() == mine


@several
@given(data=st.data())
def test_any_log_is_read_and_shortened(tmp_path: Path, data: st.DataObject) -> None:
    log = tmp_path / "log.jsonl"
    records = [with_value(data, record) if data.draw(st.booleans()) else record for record in LOG]
    whole = b"".join(json.dumps(record).encode() + b"\n" for record in records)
    log.write_bytes(damaged(data, whole, len(whole)) if data.draw(st.booleans()) else whole)
    depth = trained_depth(tmp_path)
    assert depth is None or 0 < depth <= 2**20
    forget_after(log, 1)
    assert all(json.loads(line)["step"] <= 1 for line in log.read_bytes().splitlines())


@several
@given(data=st.data())
def test_any_measurement_of_a_claim_is_read_or_gets_a_sentence(tmp_path: Path, data: st.DataObject) -> None:
    rows = [{"depth": 1, "exact %": 0.5, "kind": "x"}, {"depth": 2, "exact %": float("nan"), "kind": "y"}]
    keep(Measured(verdict=HOLDS, why="because", rows=rows, settings={"threads": "1"}), 3, tmp_path)
    path = tmp_path / "03.json"
    read = kept(3, tmp_path)
    assert read is not None
    assert read.rows[1]["exact %"] != read.rows[1]["exact %"]
    path.write_bytes(mutated(data, path.read_bytes()))
    one_sentence(lambda: page([], {3: kept(3, tmp_path)}, {}, ""))


@several
@given(data=st.data())
def test_any_card_is_published_or_gets_a_sentence(tmp_path: Path, data: st.DataObject) -> None:
    if not (tmp_path / "config.json").exists():
        save(Reasoner(ModelConfig(task="sudoku4", channels=2)), tmp_path)
    card = data.draw(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8")))
    (tmp_path / "card.md").write_bytes(card)
    sent: list[bytes] = []
    one_sentence(lambda: sent.append(published(str(tmp_path))["README.md"]))
    assert bool(sent) == (card == card.decode("utf-8", "ignore").encode())
    assert not card or not sent or sent[0].endswith(card)


READ = """
import json, resource, sys
from pathlib import Path
from eqr.data.few_shot import read_few_shot
from eqr.data.files import read_labelled
from eqr.data.parsing import Refused
from eqr.data.text import read_puzzles
from eqr.distributed import Ranks
from eqr.errors import InputError
from eqr.paper.claims.report import kept
from eqr.storage.records import RecordFile
from eqr.tasks import task_named

def records(path):
    with RecordFile(path / "out.jsonl", Ranks(), "continue") as file:
        return list(file.records())

root, task = Path(sys.argv[1]), task_named("sudoku4")
readers = {
    "tasks": lambda path: read_few_shot(str(path / "x.json")),
    "set": lambda path: read_labelled(str(path), task),
    "npz": lambda path: read_labelled(str(path / "x.npz"), task),
    "claim": lambda path: kept(3, path),
    "records": records,
}
(used,) = (int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmSize"))
# Files of 5 GB are mapped into memory, which takes addresses alone.
limit = 1024 * used + 2**35
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
resource.setrlimit(resource.RLIMIT_CPU, (30, 30))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sorted(root.iterdir()):
    try:
        said = str(readers[path.name.split()[0]](path))
    except InputError as error:
        said = str(error)
    print(json.dumps([path.name, said]), flush=True)
print(json.dumps(["kilobytes", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before]))
"""


def nasty(root: Path, good: dict[str, bytes]) -> dict[str, str]:
    """Makes a folder for each file that might take most time or memory; returns the sentences they should get."""

    def made(name: str, files: dict[str, bytes], link: str = "", size: int = 0, pipe: str = "") -> None:
        (root / name).mkdir()
        written(root / name, files)
        if link:
            (root / name / link).unlink(missing_ok=True)
            (root / name / link).symlink_to("/dev/zero")
        if pipe:
            (root / name / pipe).unlink(missing_ok=True)
            os.mkfifo(root / name / pipe)
        if size:
            sparse(root / name / next(iter(files)), size, next(iter(files.values())))

    def headed(size: int) -> bytes:
        text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({size // 16}, 16)}}\n".encode()
        return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("puzzles.npy", headed(81 * 10**12) + bytes(100))
        file.writestr("solutions.npy", bytes(2**10))
    for kind, name in (("tasks", "x.json"), ("claim", "03.json"), ("set", "dataset.json")):
        rest = good if kind == "set" else {}
        made(f"{kind} zero", rest, link=name)
        made(f"{kind} pipe", rest, pipe=name)
        made(f"{kind} large", {name: b""} | {key: data for key, data in rest.items() if key != name}, size=10**10)
        made(f"{kind} deep", rest | {name: b"[" * 100_000})
        made(f"{kind} long", rest | {name: b'{"a": ' + b"9" * 5000 + b"}"})
        made(f"{kind} bytes", rest | {name: b'{"a": "\xff"}'})
        made(f"{kind} folder", {key: data for key, data in rest.items() if key != name})
        (root / f"{kind} folder" / name).mkdir()
    made("set array zero", good, link="all__inputs.npy")
    made("set array large", {"all__inputs.npy": headed(5 * 10**9)} | good, size=0)
    sparse(root / "set array large" / "all__inputs.npy", 5 * 10**9, headed(5 * 10**9 - 200))
    sparse(root / "set array large" / "all__labels.npy", 5 * 10**9, headed(5 * 10**9 - 200))
    made("npz declared", {"x.npz": packed.getvalue()})
    made("npz zero", {}, link="x.npz")
    made("records large", {"out.jsonl": b""}, size=10**10)
    made("records zero", {}, link="out.jsonl")
    made("records deep", {"out.jsonl": b"[" * 100_000 + b"\n"})
    made("records numbers", {"out.jsonl": b"", "out.jsonl.part1": b"9" * 5000 + b"\t{}\n" + b"99999999999\t{}\n"})
    texts = {
        "zero": "is a device or a pipe, not a file",
        "pipe": "is a device or a pipe, not a file",
        "large": "bytes, too many for a file of its kind",
        "deep": "is not JSON (values are nested too deep)",
        "long": "is not JSON (a number has 5,000 digits, 30 are the most)",
        "bytes": "is not UTF-8 text (byte 7)",
        "folder": "is a folder, not a file",
    }
    said = {f"{kind} {name}": text for kind in ("tasks", "claim") for name, text in texts.items()}
    said |= {f"set {name}": text for name, text in texts.items() if name not in ("zero", "pipe", "folder")}
    said |= {f"set {name}": "has no dataset.json" for name in ("zero", "pipe", "folder")}
    return said | {
        "tasks folder": "holds no .json files",
        "set array zero": "all__inputs.npy: copy or make the folder again",
        "set array large": "does not run from 0 to",
        "npz declared": "is not an npz with arrays 'puzzles' and 'solutions' (Unable to allocate",
        "npz zero": "is not text",
        "records large": "has a line of more than 16,777,216 bytes",
        "records zero": "is not a regular file",
        "records deep": "holds no records of a run",
        "records numbers": "[]",
    }


def test_the_nastiest_data_take_neither_time_nor_memory(tmp_path: Path, folder: dict[str, bytes]) -> None:
    wanted = nasty(tmp_path, folder)
    said = told_by(READ, tmp_path, 150_000)
    assert_told(said, wanted)


@pytest.mark.parametrize("reader", ["tasks", "set", "claim", "puzzles"])
def test_a_file_that_may_not_be_read_is_not_called_missing(
    tmp_path: Path, folder: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, reader: str
) -> None:
    written(tmp_path, folder | {"x.json": json.dumps(TASKS).encode(), "03.json": b"{}", "x.csv": b"question,answer\n"})
    readers: dict[str, Callable[[], Any]] = {
        "tasks": lambda: read_few_shot(str(tmp_path / "x.json")),
        "set": lambda: read_folder(tmp_path, SUDOKU),
        "claim": lambda: kept(3, tmp_path),
        "puzzles": lambda: read_labelled(str(tmp_path / "x.csv"), SUDOKU),
    }

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refused)  # as root one may read everything
    monkeypatch.setattr("builtins.open", refused)
    with pytest.raises(InputError, match=r"(?i)permission denied"):
        readers[reader]()


def test_a_folder_that_may_not_be_entered_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refused)
    for read in (lambda: read_few_shot(str(tmp_path)), lambda: read_folder(tmp_path, SUDOKU)):
        with pytest.raises(InputError, match="permission denied"):
            read()


@pytest.mark.parametrize("key", ["question", "source"])
@pytest.mark.parametrize("depth", [3, 600, 900])
def test_a_board_nested_too_deep_is_refused_and_the_others_are_read(tmp_path: Path, key: str, depth: int) -> None:
    nested = "[" * depth + '"12"' + ',"12"]' * depth
    good = '{"question": "1..............2"}\n'
    (tmp_path / "x.jsonl").write_text(f'{good}{{"question": "1..............2", "{key}": {nested}}}\n{good}')
    read = list(read_puzzles(str(tmp_path / "x.jsonl"), SUDOKU))
    assert [isinstance(item, Refused) for item in read] == [False, key == "question", False]
