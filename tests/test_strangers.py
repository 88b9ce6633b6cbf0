"""Files of strangers: whatever they hold, the outcome is a model, or one InputError of one sentence, within bounds.

EQR_TRIES sets the number of inputs of each kind, for a longer search than that of every day.
"""

import json
import os
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from alike import assert_told, told_by
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_reference import content, with_pickle
from test_reference_alone import TRM_ALONE, alone

from eqr.errors import InputError, printable
from eqr.model import ModelConfig, Reasoner
from eqr.paper.presets import changed
from eqr.paper.reference import read_checkpoint, to_reasoner
from eqr.presets import PRESETS
from eqr.storage.checkpoint import load, save
from eqr.storage.states import load_state
from eqr.training.kept import refuse_unfit
from eqr.training.optim import make_average
from eqr.training.run import train

TRIES = int(os.environ.get("EQR_TRIES", "25"))
several = settings(
    max_examples=TRIES,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
CALIBRATION = {
    **{"delta": 1.0, "tol": 0.01, "precision": 0.999, "delta_rows": 200, "tol_rows": 200, "puzzles": 300},
    **{"data": "x.csv", "depth": 16, "window": 3},
}
HUGE = [0, -1, 1, 2, 255, 2**31, 2**63, 10**18, -(10**18), 10**29, True, False]
NAMES = ["auto:9", "auto:" + "9" * 12, "maze9", "grid", "arc5x2", "conv", "fixed", "two_modules"]
numbers = st.sampled_from(HUGE) | st.integers() | st.floats() | st.sampled_from([1e-308, 1e308, -0.0])
values = st.recursive(
    st.none()
    | numbers
    | st.text(max_size=8)
    | st.sampled_from(["auto:9", "auto:" + "9" * 12, "maze9", "grid", "arc5x2"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def one_sentence(read: Callable[[], object]) -> None:
    """Runs ``read``; fails unless it succeeds or raises an InputError that fits on a line."""
    said = "nothing"
    try:
        read()
    except InputError as error:
        said = str(error)
    assert said == printable(said), said
    assert 0 < len(said) < 1500, said


def damaged(data: st.DataObject, whole: bytes, head: int = 400) -> bytes:
    """Returns ``whole`` with some bytes changed, cut out or put in, mostly near its ends, where sizes are written."""
    changed = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        near = data.draw(st.sampled_from([head, len(changed)]))
        place = min(data.draw(st.integers(0, max(0, near - 1))), max(0, len(changed) - 1))
        place = len(changed) - 1 - place if data.draw(st.booleans()) and changed else place
        put = data.draw(st.binary(max_size=8) | st.sampled_from([b"\xff" * 8, b"\0" * 8, b"\x7f" + b"\xff" * 7]))
        changed[place : place + data.draw(st.sampled_from([0, len(put), 16]))] = put
    return bytes(changed)


def with_value(data: st.DataObject, tree: Any) -> Any:
    """Returns a JSON value with one place in it changed, removed or added."""
    if isinstance(tree, dict) and tree and data.draw(st.integers(0, 5)):
        key = data.draw(st.sampled_from(sorted(tree)))
        if not data.draw(st.integers(0, 9)):
            return {name: value for name, value in tree.items() if name != key}
        return tree | {key: with_value(data, tree[key])}
    if isinstance(tree, dict):
        return tree | {data.draw(st.text(max_size=9)): data.draw(values)}
    return data.draw(values)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("model")
    save(Reasoner(ModelConfig(task="sudoku4", block="relation", channels=2)), folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"solve": {"halt": "learned", "suppose": 3, "breadth": "auto:8"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "calibration.json").write_text(json.dumps(CALIBRATION))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def written(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


@pytest.mark.parametrize("name", ["config.json", "calibration.json"])
@several
@given(data=st.data())
def test_any_configuration_gives_a_model_or_a_sentence(
    tmp_path: Path, model: dict[str, bytes], name: str, data: st.DataObject
) -> None:
    assert load(written(tmp_path, model)).config.channels == 2
    tree = json.loads(model[name])
    for _ in range(data.draw(st.integers(1, 3))):
        tree = with_value(data, tree)
    one_sentence(lambda: load(written(tmp_path, model | {name: json.dumps(tree).encode()})))


@pytest.mark.parametrize("name", ["config.json", "calibration.json", "model.safetensors"])
@several
@given(data=st.data())
def test_any_bytes_of_a_model_give_a_model_or_a_sentence(
    tmp_path: Path, model: dict[str, bytes], name: str, data: st.DataObject
) -> None:
    one_sentence(lambda: load(written(tmp_path, model | {name: damaged(data, model[name])})))


@several
@given(data=st.data())
def test_any_header_of_weights_gives_a_model_or_a_sentence(
    tmp_path: Path, model: dict[str, bytes], data: st.DataObject
) -> None:
    whole = model["model.safetensors"]
    size = int.from_bytes(whole[:8], "little")
    head = json.dumps(with_value(data, json.loads(whole[8 : 8 + size]))).encode()
    weights = len(head).to_bytes(8, "little") + head + whole[8 + size :]
    one_sentence(lambda: load(written(tmp_path, model | {"model.safetensors": weights})))


def with_damaged_pickle(path: Path, data: st.DataObject) -> None:
    with zipfile.ZipFile(path) as file:
        (pickled,) = (file.read(name) for name in file.namelist() if name.endswith("/data.pkl"))
    with_pickle(path, damaged(data, pickled, len(pickled))).replace(path)


class Resumed:
    """The parts of a tiny run, and the files of its folder."""

    def __init__(self, folder: Path) -> None:
        preset = changed(PRESETS["sudoku4_tiny"], pool=8, slots=2, evaluated=1, compile=False, bf16=False)
        train(preset.model, config=replace(preset.train, steps=1), out=folder)
        self.whole = (folder / "state.pt").read_bytes()
        self.model, self.config = Reasoner(preset.model), preset.train
        self.optimizers = self.config.make_optimizers(self.model, 1e-3, 0.1)
        self.average = make_average(self.model, 0.9)

    def read(self, folder: Path) -> None:
        load_state(
            folder, lambda state: refuse_unfit(state, self.model, self.average, self.optimizers, self.config.slots, 0)
        )


@pytest.fixture(scope="module")
def resumed(tmp_path_factory: pytest.TempPathFactory) -> Resumed:
    return Resumed(tmp_path_factory.mktemp("run"))


@several
@given(data=st.data())
def test_any_state_is_read_or_gets_a_sentence(tmp_path: Path, resumed: Resumed, data: st.DataObject) -> None:
    path = tmp_path / "state.pt"
    path.write_bytes(resumed.whole)
    resumed.read(tmp_path)
    if data.draw(st.booleans()):
        with_damaged_pickle(path, data)
    else:
        path.write_bytes(damaged(data, resumed.whole, 3000))
    one_sentence(lambda: resumed.read(tmp_path))


@pytest.mark.parametrize("kind", ["of EqR's trainer", "weights alone"])
@several
@given(data=st.data())
def test_any_checkpoint_is_imported_or_gets_a_sentence(tmp_path: Path, kind: str, data: st.DataObject) -> None:
    path, config = tmp_path / "step_1", tmp_path / "all_config.yaml"
    torch.save(content() if kind == "of EqR's trainer" else alone(TRM_ALONE), path)
    config.write_text(json.dumps({"arch": TRM_ALONE, "data_path": "data/sudoku"}))
    part = data.draw(
        st.sampled_from(["pickle", "zip", "values", "bytes"] if kind == "weights alone" else ["pickle", "zip"])
    )
    if part == "pickle":
        with_damaged_pickle(path, data)
    elif part == "zip":
        path.write_bytes(damaged(data, path.read_bytes(), 3000))
    elif part == "values":
        config.write_text(json.dumps(with_value(data, json.loads(config.read_text()))))
    else:
        config.write_bytes(damaged(data, config.read_bytes()))
    one_sentence(lambda: to_reasoner(read_checkpoint(path)))


def bomb(size: int) -> bytes:
    """Returns a deflate stream of ``size`` zeros; one block is repeated, so that it takes no time to make."""
    packer, block = zlib.compressobj(9, zlib.DEFLATED, -15), 2**20
    first = packer.compress(bytes(block)) + packer.flush(zlib.Z_FULL_FLUSH)
    return first * (size // block) + zlib.compress(b"", 9, -15)


def with_bomb(path: Path, name: str, size: int) -> None:
    """Writes a zip whose one part unpacks to ``size`` zeros."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        file.writestr(name, bomb(size))
    data = path.read_bytes()
    # The same part, now said to be compressed, in the directory and before the part.
    head, end = data.index(b"PK\x03\x04"), data.index(b"PK\x01\x02")
    for place, method, length in ((head, 8, 22), (end, 10, 24)):
        data = data[: place + method] + (8).to_bytes(2, "little") + data[place + method + 2 :]
        data = data[: place + length] + min(size, 2**32 - 1).to_bytes(4, "little") + data[place + length + 4 :]
    path.write_bytes(data)


def sparse(path: Path, size: int, start: bytes = b"") -> None:
    """Writes a file of ``size`` bytes that takes no space."""
    path.write_bytes(start)
    os.truncate(path, size)


READ = """
import json, resource, sys, time
from pathlib import Path
import torch
from eqr.commands.push import Push
from eqr.data.few_shot import read_few_shot
from eqr.data.hrm_format import read_folder
from eqr.errors import InputError
from eqr.paper.claims.report import kept
from eqr.paper.reference import read_checkpoint
from eqr.storage.checkpoint import load
from eqr.storage.states import load_state
from eqr.tasks import task_named
from eqr.training.log import lines_of
from eqr.training.pool import damage_of

root = Path(sys.argv[1])
readers = {
    "model": load,
    "state": load_state,
    "checkpoint": lambda path: read_checkpoint(path / "step_1"),
    "card": lambda path: Push(model=str(path), to=str(path / "out")).run(),
    "pool": lambda path: damage_of(path / "pool.npz", task_named("sudoku4"), 10),
    "log": lambda path: all(record is None for _, record in lines_of(path / "log.jsonl")),
    "tasks": lambda path: read_few_shot(str(path / "tasks.json")),
    "set": lambda path: read_folder(path, task_named("sudoku4")),
    "claim": lambda path: kept(1, path),
}
load(root / "model good")
(used,) = (int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmSize"))
limit = 1024 * used + 2**28
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sorted(root.iterdir()):
    if path.name != "model good":
        try:
            said = readers[path.name.split()[0]](path)
        except InputError as error:
            said = str(error)
        print(json.dumps([path.name, said]), flush=True)
print(json.dumps(["kilobytes", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before]))
"""


def nasty(root: Path, model: dict[str, bytes]) -> dict[str, str]:
    """Makes a folder for each file that might take most time or memory; returns the sentences they should get."""

    def folder(name: str, files: dict[str, bytes] | None = None) -> Path:
        (root / name).mkdir()
        return written(root / name, {} if files is None else files)

    def changed(**values: object) -> dict[str, bytes]:
        return model | {"config.json": json.dumps(json.loads(model["config.json"]) | values).encode()}

    def headed(header: object, length: int | None = None) -> dict[str, bytes]:
        text = json.dumps(header).encode()
        size = len(text) if length is None else length
        return model | {"model.safetensors": size.to_bytes(8, "little") + text}

    folder("model good", model)
    folder("model wide", changed(channels=10**9))
    folder("model large", changed(channels=2**14, layers=256, expansion=64))
    folder("model deep", model | {"calibration.json": b"[" * 10**6})
    folder("model long", model | {"config.json": b'{"channels": ' + b"9" * 10**6 + b"}"})
    folder("model names", changed(task="1" * 10**6))
    folder("model 81 TB", headed({"answer_head": {"dtype": "F32", "shape": [1, 2], "data_offsets": [0, 81 * 10**12]}}))
    folder("model header", headed({}, 2**63))
    (folder("model zero", model) / "config.json").unlink()
    (root / "model zero" / "config.json").symlink_to("/dev/zero")
    sparse(folder("model sparse", model) / "config.json", 5 * 10**9)
    sparse(folder("model tensors", model) / "model.safetensors", 5 * 10**9, (4 * 10**9).to_bytes(8, "little"))
    os.mkfifo(
        folder("model pipe", {name: data for name, data in model.items() if name != "config.json"}) / "config.json"
    )
    sparse(folder("card sparse", model) / "card.md", 5 * 10**9)
    with_bomb(folder("state bomb") / "state.pt", "state/data.pkl", 2**32 - 2**20)
    (folder("state zero") / "state.pt").symlink_to("/dev/zero")
    sparse(folder("state directory") / "state.pt", 5 * 10**9)
    with (root / "state directory" / "state.pt").open("r+b") as file:
        file.seek(-22, os.SEEK_END)
        file.write(b"PK\x05\x06" + bytes(4) + b"\x01\0\x01\0" + (4 * 10**9).to_bytes(4, "little") + bytes(6))
    with_bomb(folder("checkpoint bomb") / "step_1", "step_1/data.pkl", 2**32 - 2**20)
    (folder("checkpoint zero") / "step_1").symlink_to("/dev/zero")
    good = folder("checkpoint tuples") / "step_1"
    torch.save({}, good)
    with_pickle(good, b"\x80\x02)" + b"\x85" * 5 * 10**6 + b".").replace(good)
    torch.save({}, folder("state tuples") / "state.pt")
    doubled = b"\x80\x02}X\x01\x00\x00\x00a)" + b"q\x00h\x00\x86" * 60 + b"s."
    with_pickle(root / "state tuples" / "state.pt", doubled).replace(root / "state tuples" / "state.pt")
    with_bomb(folder("pool bomb") / "pool.npz", "questions.npy", 2**32 - 2**20)
    sparse(folder("log nulls") / "log.jsonl", 2 * 10**8)
    (folder("tasks zero") / "tasks.json").symlink_to("/dev/zero")
    sparse(folder("tasks sparse") / "tasks.json", 10**10)
    folder("tasks deep", {"tasks.json": b"[" * 10**5})
    folder("tasks long", {"tasks.json": b'{"train": ' + b"9" * 5000 + b"}"})
    folder("tasks no text", {"tasks.json": b'{"a": "\xff"}'})
    (folder("tasks folder") / "tasks.json").mkdir()
    (folder("set zero") / "dataset.json").symlink_to("/dev/zero")
    arrays = {f"all__{part}.npy": b"" for part in ("labels", "puzzle_identifiers", "puzzle_indices", "group_indices")}
    about = {"vocab_size": 5, "seq_len": 16, "sets": ["all"]}
    folder("set no array", arrays | {"dataset.json": json.dumps({**about, "vocab_size": 6}).encode()})
    os.mkfifo(root / "set no array" / "all__inputs.npy")
    folder("claim deep", {"01.json": b"[" * 10**5})
    folder("claim other", {"01.json": b'{"rows": 3}'})
    return {
        "model wide": "model.channels is 1000000000: it must be 1 to 16384",
        "model large": "answer_head is 1 x 2 in the file, and 1 x 16384 by config.json",
        "model deep": "calibration.json is not JSON (values are nested too deep)",
        "model long": "config.json is not JSON (a number has 1,000,000 digits, 30 are the most)",
        "model names": "it must be a name of up to 100 letters",
        "model 81 TB": "model.safetensors is truncated or not a safetensors file",
        "model header": "model.safetensors is truncated or not a safetensors file",
        "model zero": "config.json is a device or a pipe, not a file",
        "model sparse": "config.json has more than 1,048,576 bytes",
        "model tensors": "has a header of 4,000,000,000 bytes, at most 4,194,304 are read",
        "model pipe": "config.json is a device or a pipe, not a file",
        "card sparse": "card.md has more than 1,048,576 bytes",
        "state bomb": "is compressed, which torch.save does not do",
        "state zero": "state.pt is a device or a pipe, not a file",
        "state directory": "its directory has 4,000,000,000 bytes, at most 8,388,608 are read",
        "state tuples": "holds more than 1,000,000 values or nests them more than 50 deep",
        "checkpoint bomb": "is compressed, which torch.save does not do",
        "checkpoint zero": "step_1 is a device or a pipe, not a file",
        "checkpoint tuples": "has a pickle of more than 1,000,000 instructions",
        "pool bomb": "the magic string is not correct",
        "tasks zero": "tasks.json is a device or a pipe, not a file",
        "tasks sparse": "tasks.json has more than 33,554,432 bytes",
        "tasks deep": "tasks.json is not JSON (values are nested too deep)",
        "tasks long": "tasks.json is not JSON (a number has 5,000 digits, 30 are the most)",
        "tasks no text": "tasks.json is not UTF-8 text (byte 7)",
        "tasks folder": "tasks.json holds no .json files",
        "set zero": "has no dataset.json",
        "set no array": "has no all__inputs.npy",
        "claim deep": "01.json is not JSON (values are nested too deep): delete it, and the same command",
        "claim other": "01.json is not a measurement of this program",
    }


def test_the_nastiest_files_take_neither_time_nor_memory(tmp_path: Path, model: dict[str, bytes]) -> None:
    wanted = nasty(tmp_path, model)
    said = told_by(READ, tmp_path, 150_000)
    assert said.pop("log nulls") is True
    assert_told(said, wanted)
