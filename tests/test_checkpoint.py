import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import eqr
from eqr.commands.push import Push
from eqr.errors import InputError
from eqr.model import ModelConfig, Reasoner
from eqr.model.blocks import BLOCKS, Block
from eqr.storage.checkpoint import load, save, shapes_of, write_atomically
from eqr.storage.weights import without_numbers

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


def test_a_loaded_model_is_frozen_and_still_trains(folder: Path, tmp_path: Path) -> None:
    model = load(folder)
    assert not any(parameter.requires_grad for parameter in model.parameters())
    config = eqr.TrainConfig(steps=2, slots=4, pool=4, compile=False, bf16=False, lr=0.1, warmup_steps=1)
    trained = eqr.train(model, config=config, out=tmp_path / "tuned").model
    assert not torch.equal(trained.answer_head, model.answer_head)
    assert not any(parameter.requires_grad for parameter in model.parameters())


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


def with_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"channels": 10**9}, "model.channels is 1000000000: it must be 1 to 16384"),
        ({"channels": 0}, "model.channels is 0: it must be 1 to 16384"),
        ({"channels": True}, "channels is True, it must be of type int"),
        ({"layers": 10**6}, "model.layers is 1000000: it must be 1 to 256"),
        ({"expansion": 1e9}, "model.expansion is 1000000000.0: it must be 0.015625 to 64"),
        ({"expansion": 0.1}, "that leaves no hidden channel"),
        ({"token_hidden": 10**9}, "model.token_hidden is 1000000000: it must be 1 to 65536"),
        ({"cycles": 10**9}, "model.cycles is 1000000000: it must be 1 to 1024"),
        ({"updates_per_segment": 10**9}, "model.updates_per_segment is 1000000000: it must be 1 to 1024"),
        ({"init_std": -1}, "model.init_std is -1.0: it must be 0 to 1000"),
        ({"scratch_std": float("nan")}, r"config\.json is not JSON \(NaN is not a number\)"),
        ({"halt_bias": 1e300}, "model.halt_bias is 1e\\+300: it must be -1000 to 1000"),
        ({"task": "x" * 1000}, "task is 'xx.*, it must be a name of up to 100 letters"),
        ({"task": "sudoku" + "9" * 90}, "a Sudoku of 9+x9+ is not supported"),
        ({"task": "sudoku", "task_options": {"side": [4]}}, r"side is \[4\], a whole number is needed"),
        ({"solve": {"breadth": "auto:4097"}}, "breadth is 4097, a model may ask for 4096 at most"),
        ({"solve": {"breadth": "auto:" + "9" * 5000}}, "breadth is auto:9+"),
        ({"solve": {"halt": "learned", "suppose": 1025}}, "suppose is 1025, a model may ask for 1024 at most"),
        ({"solve": {"depth": 4097}}, "depth is 4097, a model may ask for 4096 at most"),
        ({"solve": {"guesses": 1025}}, "guesses is 1025, a model may ask for 1024 at most"),
        ({"solve": {"guesses": 0}}, "guesses is 0: it must be 1 or more"),
    ],
)
def test_a_configuration_has_limits(folder: Path, changes: dict[str, object], said: str) -> None:
    with_json(folder / "config.json", **changes)
    with pytest.raises(InputError, match=said) as caught:
        load(folder)
    assert str(folder / "config.json") in str(caught.value)
    assert len(str(caught.value)) < 600


def test_a_state_has_a_limit_whatever_the_board(folder: Path) -> None:
    board = {"rows": 10**9, "cols": 10**9, "symbols": "ab", "blank": ".", "clues_fixed": True}
    options = board | {"interchangeable": True, "dihedral": True}
    with_json(folder / "config.json", task="grid", task_options=options, block="conv")
    with pytest.raises(InputError, match=r"a row of this network would have .* at most 67,108,864 are supported"):
        load(folder)


def test_a_network_larger_than_its_weights_is_refused_before_it_is_made(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_json(folder / "config.json", channels=2**14, layers=256, token_hidden=2**16)
    drawn = []
    draw = nn.init.trunc_normal_
    monkeypatch.setattr(
        nn.init, "trunc_normal_", lambda tensor, **options: drawn.append(tensor.is_meta) or draw(tensor, **options)
    )
    with pytest.raises(InputError, match=r"answer_head is 4 x 8 in the file, and 4 x 16384 by config\.json"):
        load(folder)
    assert drawn
    assert all(drawn)


@pytest.mark.parametrize("block", BLOCKS)
def test_the_shapes_of_a_network_are_known_without_its_numbers(block: str) -> None:
    config = ModelConfig(task="sudoku4", block=block, channels=8, heads=2, init="fixed", recursion="two_modules")
    with without_numbers():
        outline = Reasoner(config)
    assert shapes_of(outline.state_dict()) == shapes_of(Reasoner(config).state_dict())
    assert all(tensor.is_meta for tensor in outline.state_dict().values())


class Reading(Block):
    """A block that reads its own weights while it is made."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.scale = nn.Parameter(torch.ones(3))
        self.total = self.scale.tolist()

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        return h * self.scale.sum()


class Converting(Block):
    """A block that makes an array of a tensor while it is made."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.total = torch.ones(3).numpy().tolist()

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        return h


def test_a_block_that_makes_arrays_while_it_is_made_is_loaded_all_the_same(tmp_path: Path) -> None:
    save(Reasoner(ModelConfig(task="sudoku4", channels=8), block=Converting), tmp_path / "own")
    assert load(tmp_path / "own", block=Converting).blocks[0].total == [1.0, 1.0, 1.0]


def test_a_block_that_reads_its_weights_while_it_is_made_is_loaded_all_the_same(tmp_path: Path) -> None:
    save(Reasoner(ModelConfig(task="sudoku4", channels=8), block=Reading), tmp_path / "own")
    assert load(tmp_path / "own", block=Reading).blocks[0].total == [1.0, 1.0, 1.0]
    with_json(tmp_path / "own" / "config.json", channels=16)
    with pytest.raises(InputError, match="answer_head is 4 x 8 in the file, and 4 x 16"):
        load(tmp_path / "own", block=Reading)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda weights: weights["answer_head"][2].fill_(torch.nan), r"'answer_head' is nan at \[2, 0\], and weights"),
        (lambda weights: weights["halt_bias"].fill_(torch.inf), r"'halt_bias' is inf at \[\], and weights must be"),
        (lambda weights: weights.update(halt_bias=torch.tensor(1e300).double()), r"'halt_bias' is inf at \[\]"),
        (lambda weights: weights.update(halt_bias=torch.tensor(1)), "'halt_bias' is of type I64, and weights must be"),
        (lambda weights: weights.update({"\x1b[2J": torch.zeros(1)}), r"first difference: \\x1b\[2J is 1 in the file"),
        (lambda weights: weights.pop("halt_bias"), "halt_bias is absent in the file, and one number by config.json"),
        (
            lambda weights: weights.update({str(n): torch.zeros(1) for n in range(10_001)}),
            "has 10,0.. tensors, at most",
        ),
    ],
)
def test_weights_must_be_finite_floating_point_numbers_of_the_network(folder: Path, change: Any, said: str) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    if weights.get("halt_bias", torch.zeros(())).dtype == torch.float64:
        weights["halt_bias"].fill_(1e300)
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(InputError, match=said) as caught:
        load(folder)
    assert str(caught.value).isprintable()


def test_weights_of_half_precision_are_widened(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    save_file({name: value.half() for name, value in weights.items()}, folder / "model.safetensors")
    assert torch.equal(load(folder).answer_head, weights["answer_head"].half().float())


CALIBRATED = {"delta": 1.0, "tol": 0.01, "precision": 0.999, "delta_rows": 200, "tol_rows": 200, "puzzles": 300}
CALIBRATED |= {"data": "x.csv", "depth": 16, "window": 3}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tol": 1e999}, r"calibration\.json is not JSON \(Infinity is not a number\)"),
        ({"tol": 2.0}, "tol is 2.0: it must be more than 0 and at most 1, measure it with `eqr calibrate`"),
        ({"tol": 0.0}, "tol is 0.0: it must be more than 0"),
        ({"precision": 1.5}, "precision is 1.5: it must be more than 0 and at most 1"),
        ({"precision": 0}, "precision is 0.0: it must be more than 0"),
        ({"window": 0}, "window is 0: it must be 1 or more"),
        ({"delta": "1e999"}, "delta is '1e999', it must be of type float"),
        ({"delta_rows": -1}, "delta_rows is -1: it must be 0 or more"),
        ({"window": 10**40}, "a number has 41 digits, 30 are the most"),
    ],
)
def test_a_calibration_that_nobody_measured_is_refused(folder: Path, changes: dict[str, object], said: str) -> None:
    (folder / "calibration.json").write_text(json.dumps(CALIBRATED | changes))
    with pytest.raises(InputError, match=said):
        load(folder)


def test_a_number_that_overflows_is_refused(folder: Path) -> None:
    path = folder / "calibration.json"
    path.write_text(json.dumps(CALIBRATED).replace('"delta": 1.0', '"delta": 1e999'))
    with pytest.raises(InputError, match="delta is inf: it must be finite"):
        load(folder)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"\xff{}", r"is not UTF-8 text \(byte 0\): copy or train the model again"),
        (b"[" * 100_000, r"is not JSON \(values are nested too deep\)"),
        (b'{"channels": ' + b"9" * 5000 + b"}", r"is not JSON \(a number has 5,000 digits, 30 are the most\)"),
        (b" " * 2**20 + b"{}", "has more than 1,048,576 bytes"),
        (b'{"' + b"x" * 10_000 + b'": 1}', "field 'x{80}' is not known"),
        (b'{"channels": [' + b"[8]," * 1000 + b"8]}", r"channels is \[\[8\], \[8\].*\.\.\.\], it must be of type int"),
    ],
)
def test_a_configuration_that_is_none_gets_one_short_sentence(folder: Path, text: bytes, said: str) -> None:
    (folder / "config.json").write_bytes(text)
    with pytest.raises(InputError, match=said) as caught:
        load(folder)
    assert len(str(caught.value)) < 1000
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "calibration.json"])
def test_something_else_in_place_of_a_file_is_named(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def said() -> str:
        with pytest.raises(InputError) as caught:
            load(folder)
        return str(caught.value).replace(f"{folder / name} ", "")

    kept = (folder / name).read_bytes() if (folder / name).exists() else json.dumps(CALIBRATED).encode()
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to("/dev/zero")
    assert said().startswith("is a device or a pipe, not a file: ")
    (folder / name).unlink()
    (folder / name).mkdir()
    assert said().startswith("is a folder, not a file: ")
    (folder / name).rmdir()
    (folder / name).write_bytes(kept)
    as_it_was = Path.open

    def refused(path: Path, *arguments: Any) -> Any:
        if path.name == name:
            raise PermissionError(13, "Permission denied")
        return as_it_was(path, *arguments)

    monkeypatch.setattr(Path, "open", refused)  # a test may run as root, who may read everything
    assert said().startswith("may not be read (permission denied): allow it with chmod")


def test_a_pushed_model_holds_nothing_from_outside_of_its_folder(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("key")
    (folder / "card.md").symlink_to(tmp_path / "secret")
    push = Push(model=str(folder), to=str(tmp_path / "out"))
    with pytest.raises(InputError, match=r"card\.md is a link to a place outside of .*: copy the file there"):
        push.run()
    (folder / "card.md").unlink()
    (folder / "card.md").symlink_to("other.md")
    (folder / "other.md").write_text("# a card\n")
    push.run()
    assert (tmp_path / "out" / "README.md").read_text().endswith("# a card\n")


@pytest.mark.parametrize("name", ["card.md", "README.md"])
def test_a_card_that_is_no_text_is_named(folder: Path, tmp_path: Path, name: str) -> None:
    (folder / name).write_bytes(b"# a model \xff")
    with pytest.raises(InputError, match=r"is not UTF-8 text \(byte 10\): save the card as UTF-8"):
        Push(model=str(folder), to=str(tmp_path / "out")).run()


def test_a_model_whose_name_is_no_path_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        load("x" * 5000)


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
