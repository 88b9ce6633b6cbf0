"""Importing weights alone, as the trainers of TRM and HRM save them, with all_config.yaml beside them."""

import pickletools
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from test_reference import ARCH, HIDDEN, TRM_ARCH, WIDTH, tensors, text
from torch import Tensor

from eqr.commands.import_reference import ImportReference
from eqr.errors import InputError
from eqr.paper.reference import Checkpoint, read_checkpoint, to_reasoner
from eqr.paper.reference.architecture import IMPORTED
from eqr.storage import pickles
from eqr.storage.checkpoint import load
from eqr.storage.pickles import unpickled

TRM_ALONE: dict[str, Any] = {
    **{"name": "recursive_reasoning.trm@TinyRecursiveReasoningModel_ACTV1", "loss": {"name": "losses@ACTLossHead"}},
    **{"halt_exploration_prob": 0.1, "halt_max_steps": 16, "H_cycles": 3, "L_cycles": 6, "H_layers": 0, "L_layers": 2},
    **{"hidden_size": WIDTH, "num_heads": 2, "expansion": 4, "mlp_t": True, "pos_encodings": "none"},
    **{"puzzle_emb_ndim": WIDTH, "puzzle_emb_len": 16, "forward_dtype": "bfloat16", "no_ACT_continue": True},
}
HRM_ALONE: dict[str, Any] = {
    **{"name": "hrm.hrm_act_v1@HierarchicalReasoningModel_ACTV1", "loss": {"name": "losses@ACTLossHead"}},
    **{"halt_exploration_prob": 0.1, "halt_max_steps": 16, "H_cycles": 2, "L_cycles": 2, "H_layers": 1, "L_layers": 1},
    **{"hidden_size": WIDTH, "num_heads": 2, "expansion": 4, "pos_encodings": "rope"},
    **{"puzzle_emb_ndim": WIDTH, "forward_dtype": "bfloat16"},
}
PAGE = Path(__file__).parents[1] / "docs" / "paper.md"


def alone(arch: dict[str, Any], **sizes: int) -> dict[str, Tensor]:
    """The weights of a network of TRM or HRM, by the names in its inner network."""
    same = arch | {"name": "trm@TRMModel", "mlp_t": arch.get("mlp_t", False)}
    weights = tensors(same, **sizes)
    if "@Hier" in arch["name"]:
        other = tensors(same, seed=7)
        weights |= {name.replace("L_", "H_", 1): value for name, value in other.items() if name.startswith("L_level")}
    return {name: value.bfloat16() if name.endswith("_init") else value for name, value in weights.items()}


def saved(
    folder: Path, arch: dict[str, Any] | None = TRM_ALONE, prefix: str = "_orig_mod.model.inner.", **config: Any
) -> Path:
    """A file of weights alone for ``TRM_ALONE``, or for HRM, with ``arch`` beside it."""
    weights = alone(arch if arch and "@Hier" in arch["name"] else TRM_ALONE)
    torch.save({prefix + name: value for name, value in weights.items()}, folder / "step_65100")
    if arch:
        (folder / "all_config.yaml").write_text(yaml.dump({"arch": arch, "ema": True, **config}))
    return folder / "step_65100"


def message(path: Path, config: Path | None = None, cells: int | None = None) -> str:
    with pytest.raises(InputError) as caught:
        to_reasoner(read_checkpoint(path, config), cells)
    said = str(caught.value)
    assert said.isprintable()
    return said.replace(f"{path.parent}/", "")


def test_weights_alone_take_the_configuration_beside_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out, weights = saved(tmp_path), tmp_path / "out", alone(TRM_ALONE)
    ImportReference(file=str(path), out=str(out)).run()
    assert capsys.readouterr().out.splitlines() == [
        "read sudoku4: weights as saved, mixer block, width 8, layers 2, hierarchical recursion, 5,201 parameters",
        f"written to {out}",
    ]
    model = load(out)
    assert (model.config.cycles, model.config.updates_per_segment, model.config.prefix_tokens) == (6, 3, 16)
    assert torch.equal(model.state_dict()["start"][:, 0], torch.stack([weights["H_init"], weights["L_init"]]).float())
    assert torch.equal(model.prefix[0], weights["puzzle_emb.weights"][0])  # type: ignore[index]
    assert not model.prefix[1:].any()  # type: ignore[index]
    assert torch.equal(model.state_dict()["blocks.1.channel_out"], weights["L_level.layers.1.mlp.down_proj.weight"])


def test_both_modules_of_hrm_are_imported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, weights = saved(tmp_path, HRM_ALONE), alone(HRM_ALONE)
    ImportReference(file=str(path), out=str(tmp_path / "out"), cells=16).run()
    assert "attention block, width 8, layers 1, two_modules recursion" in capsys.readouterr().out
    ours = load(tmp_path / "out").state_dict()
    for number, module in enumerate(("L_level", "H_level")):
        for name, theirs in {"qkv": "self_attn.qkv_proj", "channel_in": "mlp.gate_up_proj"}.items():
            assert torch.equal(ours[f"blocks.{number}.{name}"], weights[f"{module}.layers.0.{theirs}.weight"])


def test_an_option_names_the_configuration(tmp_path: Path) -> None:
    path, other = saved(tmp_path, None), tmp_path / "other.yaml"
    assert message(path) == (
        "step_65100 holds weights without their configuration, and no all_config.yaml lies beside it: "
        "give the configuration of the run with --config FILE"
    )
    other.write_text(yaml.dump({"arch": TRM_ALONE | {"H_cycles": 2}}))
    assert to_reasoner(read_checkpoint(path, other)).config.updates_per_segment == 2
    # It goes before the file beside the weights, and before the one in a training checkpoint.
    saved(tmp_path)
    assert to_reasoner(read_checkpoint(path)).config.updates_per_segment == 3
    assert to_reasoner(read_checkpoint(path, other)).config.updates_per_segment == 2
    torch.save({"model": tensors(ARCH), "config": {"arch": ARCH}}, path)
    other.write_text(yaml.dump({"arch": ARCH | {"H_cycles": 2}}))
    assert to_reasoner(read_checkpoint(path)).config.updates_per_segment == 3
    assert to_reasoner(read_checkpoint(path, other)).config.updates_per_segment == 2


@pytest.mark.parametrize("key", [None, "model", "state_dict", "model_state_dict"])
def test_weights_of_eqr_alone_are_imported(tmp_path: Path, key: str | None) -> None:
    path, weights = tmp_path / "eqr.pth", {f"model.inner.{name}": value for name, value in tensors(ARCH).items()}
    torch.save({key: weights} if key else weights, path)
    (tmp_path / "all_config.yaml").write_text(yaml.dump({"arch": ARCH}))
    found = read_checkpoint(path)
    assert found.weights == ("weights of the last step" if key else "weights as saved")
    assert torch.equal(to_reasoner(found).answer_head, tensors(ARCH)["lm_head.weight"][2:])


BOMB = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "all_config.yaml describes no network, it has no mapping `arch`: give the all_config.yaml of the run"),
        (b"- arch\n", "all_config.yaml describes no network, it has no mapping `arch`"),
        (b"arch: 5\n", "all_config.yaml describes no network, it has no mapping `arch`"),
        (b"arch: {}\n", "the configuration has no arch with a name: is it of the trainer of EqR, TRM or HRM?"),
        (b"lr: 1\nbase: &a {b: 1}\narch: *a\n", "all_config.yaml, line 3, has an alias, which no configuration needs"),
        (BOMB.encode(), "all_config.yaml, line 2, has an alias, which no configuration needs: write plain values"),
        (b"arch: !!python/object/apply:os.system [id]\n", "all_config.yaml, line 1, has a tag"),
        (b"arch: !!int x\n", "all_config.yaml, line 1, has a tag, which no configuration needs: write plain values"),
        (b"arch: " + b"[" * 30_000, "all_config.yaml, line 1, has a value more than 20 levels deep"),
        (b"#" * 40_000, "all_config.yaml has more than 32,768 bytes, too many for a file of its kind"),
        (b"arch:\n\tname: x\n", "all_config.yaml, line 2, is not YAML (found character '\\t' that cannot start"),
        (b"arch: {name\n", "all_config.yaml, line 2, is not YAML (expected ',' or '}', but got '<stream end>')"),
        (b"arch: \xff\n", "all_config.yaml is not YAML"),
        (b"arch: \x1b[2J\n", "all_config.yaml is not YAML"),
        (b"arch: {}\n---\narch: {}\n", "all_config.yaml, line 2, is not YAML (but found another document)"),
        (b"day: 2026-13-45\n", "all_config.yaml has an impossible value (month must be in 1..12)"),
        (b"arch: {name: trm}\n", f"config.arch.name is 'trm': {IMPORTED}"),
        (b'arch: {name: "a\\x1b[2J"}\n', f"config.arch.name is 'a\\x1b[2J': {IMPORTED}"),
    ],
    ids=range(18),
)
def test_a_file_that_is_no_configuration_gets_one_sentence(tmp_path: Path, content: bytes, said: str) -> None:
    path = saved(tmp_path)
    (tmp_path / "all_config.yaml").write_bytes(content)
    assert message(path).startswith(said)


def test_a_configuration_that_is_no_file_gets_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, None)
    (tmp_path / "all_config.yaml").mkdir()
    assert message(path) == "all_config.yaml is a folder, not a file: give the all_config.yaml of the run"
    assert message(path, tmp_path / "no").startswith("no is missing: give the all_config.yaml")
    assert message(tmp_path) == (
        f"{tmp_path} is a folder, not a file: give the weights of a run".replace(f"{tmp_path.parent}/", "")
    )
    shutil.rmtree(tmp_path / "all_config.yaml")
    saved(tmp_path)
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert message(path) == (
        "reading all_config.yaml needs the extra 'import': pip install 'equilibrium-reasoners[import]'"
    )


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"L_layers": 1},
            "tensor 'L_level.layers.1.mlp.down_proj.weight' is not one of a network with this config.arch",
        ),
        ({"hidden_size": 16}, r"tensor 'embed_tokens.embedding_weight' is (6, 8), its config.arch asks for (6, 16)"),
        ({"mlp_t": False}, "the checkpoint lacks the tensor 'L_level.layers.0.self_attn.qkv_proj.weight'"),
        ({"puzzle_emb_len": 4}, "no task has boards of 28 cells and a vocabulary of 6"),
        ({"puzzle_emb_ndim": 12}, "tensor 'puzzle_emb.weights' is (1, 8), its config.arch asks for (1, 12)"),
        ({"name": "eqr@EqRModel"}, "tensor 'H_init' is not one of a network with this config.arch (2 left over)"),
        ({"name": HRM_ALONE["name"], "H_layers": 2}, "the checkpoint lacks the tensor 'H_level.layers.0.mlp_t."),
        ({"name": HRM_ALONE["name"], "H_layers": 1}, f"config.arch has 1 H_layers and 2 L_layers: {IMPORTED}"),
        ({"name": HRM_ALONE["name"], "H_layers": None}, f"config.arch has None H_layers and 2 L_layers: {IMPORTED}"),
        ({"name": "recursive_reasoning.trm_singlez@TinyRecursiveReasoningModel_ACTV1"}, "config.arch.name is 'recurs"),
        ({"H_init_std": 1.0}, "config.arch: field 'H_init_std' is not known"),
        ({"H_cycles": "${.L_cycles}"}, "config.arch.H_cycles is ${.L_cycles}: a whole number from 1 to 65536"),
    ],
)
def test_the_configuration_of_another_model_is_refused(tmp_path: Path, fields: dict[str, Any], said: str) -> None:
    path = saved(tmp_path)
    (tmp_path / "all_config.yaml").write_text(yaml.dump({"arch": TRM_ALONE | fields}))
    assert message(path).startswith(said)


def test_the_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, HRM_ALONE)
    (tmp_path / "all_config.yaml").write_text(yaml.dump({"arch": HRM_ALONE | {"name": "trm@TRMModel"}}))
    assert re.match(
        r"tensor 'H_level\.layers\.0\.\S+' is not one of a network with this config", message(path, None, 16)
    )


def test_the_page_says_what_is_not_imported_in_the_words_of_the_message() -> None:
    assert IMPORTED in " ".join(PAGE.read_text().split()).replace("`", "")


def test_layers_of_a_module_that_a_network_lacks_are_no_matter(tmp_path: Path) -> None:
    assert to_reasoner(read_checkpoint(saved(tmp_path, TRM_ALONE | {"H_layers": 5}))).config.layers == 2


@pytest.mark.parametrize(
    ("fields", "tokens"),
    [({}, 16), ({"puzzle_emb_len": 0}, 1), ({"puzzle_emb_len": 3}, 3), ({"puzzle_emb_len": 20}, 20)],
)
def test_trm_has_sixteen_prefix_tokens_unless_it_says_another_number(fields: dict[str, int], tokens: int) -> None:
    arch = {name: value for name, value in TRM_ALONE.items() if name != "puzzle_emb_len"} | fields
    weights = alone(arch | {"puzzle_emb_len": tokens}, cells=81, vocabulary=11)
    model = to_reasoner(Checkpoint(tensors=weights, config={"arch": arch}))
    assert (model.task.name, model.config.prefix_tokens) == ("sudoku", tokens)


@pytest.mark.parametrize(
    "config",
    [
        {"data_paths": ["data/sudoku-extreme-1k-aug-1000"], "data_paths_test": []},
        {"data_path": "data/Sudoku-extreme-full"},
        {"dataset": {"name": "Sudoku-Extreme"}},
    ],
)
def test_the_folder_of_the_data_tells_the_board(tmp_path: Path, config: dict[str, Any]) -> None:
    weights = alone(HRM_ALONE, cells=81, vocabulary=11)
    torch.save(weights, tmp_path / "checkpoint")
    (tmp_path / "all_config.yaml").write_text(yaml.dump({"arch": HRM_ALONE, **config}))
    assert to_reasoner(read_checkpoint(tmp_path / "checkpoint")).task.name == "sudoku"


@pytest.mark.parametrize(
    "prefix",
    [
        *("module.", "module._orig_mod.model.inner.", "_orig_mod.module.inner.", "model.module._orig_mod.inner."),
        *("module.module.model.model.", "inner._orig_mod.", "model._fsdp_wrapped_module.inner._orig_mod._orig_mod."),
    ],
)
def test_wrappers_in_any_order_and_number_do_not_change_a_name(tmp_path: Path, prefix: str) -> None:
    assert read_checkpoint(saved(tmp_path, prefix=prefix)).tensors.keys() == alone(TRM_ALONE).keys()


def test_a_wrapper_within_a_name_does_not_change_it(tmp_path: Path) -> None:
    weights = {
        name.replace("L_level.layers.", "L_level._orig_mod.layers.").replace(".mlp.", ".module.mlp."): value
        for name, value in alone(TRM_ALONE).items()
    }
    saved(tmp_path)
    torch.save(weights, tmp_path / "step_65100")
    assert read_checkpoint(tmp_path / "step_65100").tensors.keys() == alone(TRM_ALONE).keys()


def test_what_a_network_computes_anew_is_left_out_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = saved(tmp_path)
    caches = {
        "model.inner.rotary_emb.cos_cached": torch.full((97, 4), torch.nan),
        "model.inner.rotary_emb.sin_cached": torch.zeros(97, 4),
        "model.inner.puzzle_emb.local_ids": torch.zeros(4, dtype=torch.int32),
        "carry.inner_carry.z_H": torch.zeros(2, 32, WIDTH),
    }
    torch.save({**alone(TRM_ALONE), **caches, "optimizer": {"state": {0: torch.zeros(3)}}, "step": 5}, path)
    ImportReference(file=str(path), out=str(tmp_path / "out")).run()
    assert capsys.readouterr().out.splitlines()[0] == (
        "left out what a network computes anew: 4 tensors (carry.inner_carry.z_H, puzzle_emb.local_ids, "
        "rotary_emb.cos_cached, ...)"
    )
    torch.save({**alone(TRM_ALONE), "rotary_emb.inv_freq": torch.zeros(2)}, path)
    assert read_checkpoint(path).notes == ("left out what a network computes anew: 1 tensor (rotary_emb.inv_freq)",)


def average(**changes: Any) -> dict[str, Tensor]:
    names = tensors(TRM_ARCH).keys() - {"H_init", "L_init"}
    return {name: value for name, value in tensors(TRM_ARCH, seed=1).items() if name in names}


def test_an_average_of_some_weights_is_said(tmp_path: Path) -> None:
    path, last, averaged = tmp_path / "file.pth", tensors(TRM_ARCH), average()

    def read(last: dict[str, Tensor], averaged: dict[str, Tensor]) -> Any:
        torch.save({"model": last, "ema": {"mu": 0.999, "shadow": averaged}, "config": {"arch": TRM_ARCH}}, path)
        return read_checkpoint(path)

    whole = read(last, averaged)
    assert (whole.weights, whole.notes) == ("EMA weights", ())
    lacking = read(last, {name: value for name, value in averaged.items() if name != "lm_head.weight"})
    assert lacking.notes == ("the EMA lacks 1 tensor (lm_head.weight): taken from the weights of the last step",)
    assert torch.equal(lacking.tensors["lm_head.weight"], last["lm_head.weight"])
    assert torch.equal(lacking.tensors["q_head.weight"], averaged["q_head.weight"])
    more = read({name: value for name, value in last.items() if name != "q_head.bias"}, averaged)
    assert more.notes == ("the weights of the last step lack 1 tensor (q_head.bias): taken from the EMA",)
    to_reasoner(more)
    with pytest.raises(InputError, match="tensor 'extra' is not one of a network"):
        to_reasoner(read(last, averaged | {"extra": torch.zeros(1)}))
    nothing = read(last, {})
    assert (nothing.weights, nothing.notes) == ("weights of the last step", ())
    misshapen = read(last, averaged | {"lm_head.weight": torch.zeros(5, WIDTH)})
    with pytest.raises(InputError, match=r"tensor 'lm_head.weight' is \(5, 8\), its config.arch asks for \(6, 8\)"):
        to_reasoner(misshapen)


@pytest.mark.parametrize(
    ("value", "dtype", "said"),
    [
        (torch.nan, torch.float32, "nan"),
        (torch.inf, torch.float32, "inf"),
        (-torch.inf, torch.bfloat16, "-inf"),
        (1e300, torch.float64, "inf"),
    ],
)
def test_values_that_are_not_finite_are_refused(tmp_path: Path, value: float, dtype: torch.dtype, said: str) -> None:
    path, weights = saved(tmp_path), alone(TRM_ALONE)
    bad = weights["L_level.layers.1.mlp.down_proj.weight"].to(dtype)
    bad[3, 5] = value
    torch.save(weights | {"L_level.layers.1.mlp.down_proj.weight": bad}, path)
    assert message(path) == (
        f"step_65100: tensor 'L_level.layers.1.mlp.down_proj.weight' is {said} at [3, 5], and weights must be finite: "
        "take an earlier checkpoint of the run"
    )


def test_only_the_numbers_that_are_weights_must_be_finite(tmp_path: Path) -> None:
    path, weights = saved(tmp_path), alone(TRM_ALONE)
    wide = torch.full((WIDTH, 2 * HIDDEN), torch.nan)
    wide[:, :HIDDEN] = weights["L_level.layers.0.mlp.down_proj.weight"]
    torch.save(weights | {"L_level.layers.0.mlp.down_proj.weight": wide[:, :HIDDEN]}, path)
    found = read_checkpoint(path).tensors["L_level.layers.0.mlp.down_proj.weight"]
    assert torch.equal(found, weights["L_level.layers.0.mlp.down_proj.weight"])


def test_names_of_tensors_are_printed_on_one_line(tmp_path: Path) -> None:
    path, name = saved(tmp_path), "a\x1b[2J\nb" + "c" * 500
    shown = r"a\x1b[2J\nb" + "c" * 73
    torch.save({**alone(TRM_ALONE), name: torch.zeros(2)}, path)
    assert message(path).startswith(f"tensor '{shown}' is not one of a network")
    torch.save({**alone(TRM_ALONE), name: torch.zeros(2, dtype=torch.int8)}, path)
    assert message(path).startswith(f"step_65100: tensor '{shown}' (torch.CharStorage) holds no floating-point numbers")
    torch.save({**alone(TRM_ALONE), name: torch.full((2,), torch.nan)}, path)
    assert message(path).startswith(f"step_65100: tensor '{shown}' is nan at [0]")
    torch.save({**alone(TRM_ALONE), name: torch.zeros(2), f"model.{name}": torch.zeros(2)}, path)
    assert message(path).startswith(f"step_65100 holds the tensor '{shown}' twice")


def test_a_file_of_safetensors_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file(tensors(ARCH), tmp_path / "model.safetensors")
    assert "not a file of torch.save" in message(tmp_path / "model.safetensors")


def test_a_pickle_of_many_instructions_is_left_early(monkeypatch: pytest.MonkeyPatch) -> None:
    followed = 0

    def counted(data: bytes) -> Iterator[Any]:
        nonlocal followed
        for followed, instruction in enumerate(genops(data), 1):  # noqa: B007
            yield instruction

    genops = pickletools.genops
    monkeypatch.setattr(pickletools, "genops", counted)
    monkeypatch.setattr(pickles, "MOST_INSTRUCTIONS", 1000)
    with pytest.raises(InputError, match="a pickle of more than 1,000 instructions, and no checkpoint needs as many"):
        unpickled(b"\x80\x02)" + b"\x85" * 5_000_000 + b".", "file")
    assert followed == 1001
    assert unpickled(b"\x80\x02" + b"N0" * 400 + b"N.", "file") is None


def number(value: int) -> bytes:
    """An instruction that pushes a long integer."""
    size = value.bit_length() // 8 + 1
    return (b"\x8a" + bytes([size]) if size < 256 else b"\x8b" + size.to_bytes(4, "little")) + value.to_bytes(
        size, "little"
    )


def test_an_instruction_cannot_take_long() -> None:
    # Multiples of this prime have one hash for all of them: a dict would compare each with each.
    colliding = b"".join(number(k * (2**61 - 1)) + b"N" for k in range(1, 1000))
    assert unpickled(b"\x80\x02}(" + colliding + b"K\x07Nu.", "file") == {7: None}
    with pytest.raises(InputError, match="pickle instruction LONG4, which torch"):
        unpickled(b"\x80\x02" + number(2**10_000) + b".", "file")
    with pytest.raises(InputError, match="file names a class in a way that torch"):
        unpickled(b"\x80\x02" + text("a" * 150) + text("b" * 150) + b"\x93.", "file")
