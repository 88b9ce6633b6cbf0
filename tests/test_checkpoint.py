import json
import shutil
from pathlib import Path

import pytest
import torch

from eqr.errors import InputError
from eqr.model import ModelConfig, Reasoner
from eqr.storage.checkpoint import load, save, write_atomically

CONFIG = ModelConfig(task="sudoku4", block="mixer", channels=8, token_hidden=8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(Reasoner(CONFIG), tmp_path / "model")
    return tmp_path / "model"


def test_a_saved_model_comes_back_as_it_was(folder: Path) -> None:
    loaded, original = load(folder), Reasoner(CONFIG)
    assert loaded.config == original.config
    for (name, value), other in zip(loaded.state_dict().items(), original.state_dict().values(), strict=True):
        assert torch.equal(value, other), name


def test_a_missing_model_names_the_bundled_ones(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'sudok' is not known: did you mean 'sudoku'\?"):
        load("sudok")


def test_a_truncated_file_is_named(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"model\.safetensors is truncated"):
        load(folder)


def test_a_foreign_file_is_refused_unread(folder: Path) -> None:
    torch.save({"model": torch.zeros(3)}, folder / "model.safetensors")
    with pytest.raises(InputError, match="not a safetensors file"):
        load(folder)


def test_weights_of_another_model_are_refused(folder: Path, tmp_path: Path) -> None:
    save(Reasoner(ModelConfig(task="sudoku4", block="symbol", channels=8)), tmp_path / "other")
    shutil.copy(tmp_path / "other" / "model.safetensors", folder)
    with pytest.raises(InputError, match=r"does not fit its config\.json"):
        load(folder)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not JSON"),
        ("[]", "holds no JSON object"),
        (json.dumps({"channels": 8, "layrs": 2}), "did you mean 'layers'"),
        (json.dumps({"block": "mixer"}), "is incomplete"),
    ],
)
def test_a_broken_configuration_is_named(folder: Path, text: str, said: str) -> None:
    (folder / "config.json").write_text(text)
    with pytest.raises(InputError, match=said):
        load(folder)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def fail(error: BaseException) -> None:
        def half(part: Path) -> None:
            part.write_text("half")
            raise error

        write_atomically(path, half)

    with pytest.raises(InputError, match=r"No space left on device.*is intact"):
        fail(OSError(28, "No space left on device"))
    with pytest.raises(KeyboardInterrupt):
        fail(KeyboardInterrupt())
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_device_is_written_to_and_not_replaced() -> None:
    write_atomically(Path("/dev/null"), lambda path: path.write_text("x"))
    assert not Path("/dev/null").is_file()
