"""Importing checkpoints of EqR's trainer, in files made here, and files that are hostile or damaged.

Weights alone are tested in test_reference_alone.py, outputs in test_parity.py.
"""

import copyreg
import io
import os
import pickle
import random
import sys
import tarfile
import types
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import make_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from eqr.commands.import_reference import ImportReference
from eqr.errors import InputError
from eqr.paper.reference import Checkpoint, read_checkpoint, to_reasoner
from eqr.paper.reference.architecture import IMPORTED
from eqr.random import Streams
from eqr.storage.checkpoint import load

WIDTH, HIDDEN, TOKEN_HIDDEN = 8, 24, 20
ARCH = {
    "name": "eqr@EqRModel",
    "short_name": "EqR",
    "loss": {"name": "losses@ACTLossHead", "loss_type": "stablemax_cross_entropy"},
    "halt_exploration_prob": 0.1,
    "halt_max_steps": 16,
    "H_cycles": 3,
    "L_cycles": 2,
    "H_layers": 0,
    "L_layers": 2,
    "hidden_size": WIDTH,
    "num_heads": 2,
    "expansion": 4,
    "pos_encodings": "rope",
    "board_height": 9,
    "board_width": 9,
    "forward_dtype": "bfloat16",
    "mlp_t": True,
    "lambda_": 0.95,
    "noise_scale": 0.01,
    "H_init_std": 1.0,
    "L_init_std": 0.5,
}
TRM_ARCH = {key: value for key, value in ARCH.items() if key not in ("lambda_", "noise_scale")} | {
    "name": "trm@TRMModel",
    "no_ACT_continue": True,
}
del TRM_ARCH["H_init_std"], TRM_ARCH["L_init_std"]


def tensors(arch: dict[str, Any], cells: int = 16, vocabulary: int = 6, seed: int = 0) -> dict[str, Tensor]:
    """The tensors of a network of the reference for sudoku4, by the names in its inner network."""
    generator = torch.Generator().manual_seed(seed)
    ndim, width = arch.get("puzzle_emb_ndim", 0), arch["hidden_size"]
    tokens = cells + (arch.get("puzzle_emb_len", 0) or -(ndim // -width))
    shapes: dict[str, tuple[int, ...]] = {
        "embed_tokens.embedding_weight": (vocabulary, width),
        "lm_head.weight": (vocabulary, width),
        "q_head.weight": (2, width),
        "q_head.bias": (2,),
    }
    for layer in range(arch["L_layers"]):
        parts = {"mlp.gate_up_proj": (2 * HIDDEN, width), "mlp.down_proj": (width, HIDDEN)}
        if arch["mlp_t"]:
            parts |= {"mlp_t.gate_up_proj": (2 * TOKEN_HIDDEN, tokens), "mlp_t.down_proj": (tokens, TOKEN_HIDDEN)}
        else:
            parts |= {"self_attn.qkv_proj": (3 * width, width), "self_attn.o_proj": (width, width)}
        shapes |= {f"L_level.layers.{layer}.{part}.weight": shape for part, shape in parts.items()}
    if ndim:
        shapes["puzzle_emb.weights"] = (1, ndim)
    if arch["name"].startswith("trm"):
        shapes |= {"H_init": (width,), "L_init": (width,)}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def checkpoint(arch: dict[str, Any], **changes: Any) -> Checkpoint:
    return Checkpoint(tensors=tensors(arch), config={"arch": arch, **changes})


def content(prefix: str = "_orig_mod.model.inner.", arch: dict[str, Any] = ARCH) -> dict[str, Any]:
    """What the reference trainer saves, but for objects of its own classes."""
    plain = tensors(arch)
    parameters = [nn.Parameter(value.clone()) for value in plain.values()]
    optimizer = torch.optim.AdamW(parameters)
    sum(parameter.sum() for parameter in parameters).backward()
    optimizer.step()
    state = OrderedDict((prefix + name, value) for name, value in plain.items())
    state._metadata = OrderedDict({"": {"version": 1}})  # type: ignore[attr-defined]  # as Module.state_dict has it
    buffers = ("H_init", "L_init", "puzzle_emb.weights")  # the reference averages parameters alone
    average = {prefix + name: value for name, value in tensors(arch, seed=1).items() if name not in buffers}
    return {
        "step": 10,
        "model": state,
        "ema": {"mu": 0.999, "shadow": average},
        "optimizers": [optimizer.state_dict()],
        "optimizer_lrs": [np.float64(1e-4)],
        "rng": {"torch": torch.get_rng_state(), "cuda": None},
        "numpy": np.random.get_state(),
        "python": random.getstate(),
        "train_dataset": {"rng_state": np.random.Philox(0).state, "generator": np.random.default_rng(0)},
        "config": {"arch": arch, "dataset": {"name": "Sudoku-1k", "evaluators": []}, "lr": 1e-4},
    }


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "step_10.pth"
    torch.save(content(), path)
    return path


def with_pickle(file: Path, payload: bytes) -> Path:
    """The file with another pickle in it."""
    out = file.with_name("changed.pth")
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            new.writestr(name, payload if name.endswith("/data.pkl") else old.read(name))
    return out


def test_every_weight_finds_its_place(file: Path) -> None:
    model, theirs = to_reasoner(read_checkpoint(file)), tensors(ARCH, seed=1)
    config = model.config.named()
    assert config | {"task": "sudoku4", "block": "mixer", "channels": 8, "layers": 2} == config
    assert config | {"cycles": 2, "updates_per_segment": 3, "damping": 0.05} == config
    assert config | {"init": "truncated", "init_std": 1.0, "scratch_std": 0.5} == config
    ours = model.state_dict()
    assert torch.equal(ours["symbol_embedding"], theirs["embed_tokens.embedding_weight"][1:])
    assert torch.equal(ours["answer_head"], theirs["lm_head.weight"][2:])
    assert torch.equal(ours["halt_head"], theirs["q_head.weight"][0])
    assert torch.equal(ours["halt_bias"], theirs["q_head.bias"][0])
    names = {
        "token_in": "mlp_t.gate_up_proj",
        "token_out": "mlp_t.down_proj",
        "channel_in": "mlp.gate_up_proj",
        "channel_out": "mlp.down_proj",
    }
    for layer in range(2):
        for name, other in names.items():
            assert torch.equal(ours[f"blocks.{layer}.{name}"], theirs[f"L_level.layers.{layer}.{other}.weight"])
    assert len(ours) == 4 + 2 * len(names)


def test_ema_weights_are_taken(file: Path) -> None:
    name = "lm_head.weight"
    found = read_checkpoint(file)
    assert found.weights == "EMA weights"
    assert torch.equal(found.tensors[name], tensors(ARCH, seed=1)[name])
    without = content()
    del without["ema"]
    torch.save(without, file)
    found = read_checkpoint(file)
    assert found.weights == "weights of the last step"
    assert torch.equal(found.tensors[name], tensors(ARCH)[name])


@pytest.mark.parametrize("prefix", ["", "inner.", "model.inner.", "model._orig_mod.inner.", "_orig_mod.model.inner."])
def test_wrappers_do_not_change_a_name(tmp_path: Path, prefix: str) -> None:
    torch.save(content(prefix), tmp_path / "file.pth")
    assert read_checkpoint(tmp_path / "file.pth").tensors.keys() == tensors(ARCH).keys()


def test_a_fixed_start_comes_from_beside_the_average(tmp_path: Path) -> None:
    path, theirs = tmp_path / "trm.pth", tensors(TRM_ARCH)
    torch.save(content(arch=TRM_ARCH), path)
    model = to_reasoner(read_checkpoint(path))
    assert (model.config.init, model.config.damping) == ("fixed", 0)
    z = model.init(Streams.numbered(0, range(2)))
    assert z.shape == (2, 2, 16, WIDTH)
    assert torch.equal(z[1, 0, 3], theirs["H_init"])
    assert torch.equal(z[1, 1, 3], theirs["L_init"])
    assert torch.equal(model.answer_head, tensors(TRM_ARCH, seed=1)["lm_head.weight"][2:])


@pytest.mark.parametrize(("fields", "tokens"), [({"puzzle_emb_len": 3}, 3), ({}, 2)])
def test_the_puzzle_embedding_becomes_prefix_tokens(fields: dict[str, int], tokens: int) -> None:
    arch = ARCH | {"puzzle_emb_ndim": 12} | fields
    given = checkpoint(arch)
    model = to_reasoner(given)
    filled = torch.zeros(tokens * WIDTH)
    filled[:12] = given.tensors["puzzle_emb.weights"][0]
    x = model.embed(torch.zeros(1, 16, dtype=torch.long))
    assert x.shape == (1, tokens + 16, WIDTH)
    assert torch.allclose(x[0, :tokens], filled.view(tokens, WIDTH) * WIDTH**0.5)
    given.tensors["puzzle_emb.weights"] = torch.zeros(2, 12)
    with pytest.raises(InputError, match="the checkpoint has 2 puzzle embeddings, one for each puzzle"):
        to_reasoner(given)


@pytest.mark.parametrize(("kind", "axes"), [("none", 0), (None, 0), ("rope", 1), ("rope2d", 2)])
def test_mazes_need_their_cells_told(kind: str | None, axes: int) -> None:
    arch = ARCH | {"mlp_t": False, "pos_encodings": kind, "board_height": None, "board_width": None}
    given = checkpoint(arch)
    model = to_reasoner(given, cells=100)
    names = model.config.named()
    assert (names["task"], names["block"], names["rotary"]) == ("maze10", "attention", axes)
    assert torch.equal(model.symbol_embedding, given.tensors["embed_tokens.embedding_weight"])
    assert torch.equal(model.answer_head, given.tensors["lm_head.weight"][1:])
    with pytest.raises(InputError, match="does not tell how many cells a board has: give --cells"):
        to_reasoner(given)
    thirty = Checkpoint(tensors=given.tensors, config={"arch": arch, "dataset": {"name": "Maze-30x30-unique-1k"}})
    assert to_reasoner(thirty).task.name == "maze30"


def test_hidden_sizes_are_those_of_the_weights_whatever_the_width() -> None:
    for width in (36, 42, 44, 49):
        model = to_reasoner(checkpoint(ARCH | {"hidden_size": width, "L_layers": 1}))
        assert model.state_dict()["blocks.0.channel_out"].shape == (width, HIDDEN)


def test_weights_of_low_precision_are_widened(tmp_path: Path) -> None:
    low = content()
    low["ema"]["shadow"] = {name: value.bfloat16() for name, value in low["ema"]["shadow"].items()}
    torch.save(low, tmp_path / "low.pth")
    model = to_reasoner(read_checkpoint(tmp_path / "low.pth"))
    assert {value.dtype for value in model.state_dict().values()} == {torch.float32}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"H_layer": 0}, "field 'H_layer' is not known: did you mean 'H_layers'"),
        ({"name": "transformer@Baseline"}, f"config.arch.name is 'transformer@Baseline': {IMPORTED}"),
        ({"name": 5}, f"config.arch.name is '5': {IMPORTED}"),
        ({"rms_norm_eps": 1e-6}, "config.arch.rms_norm_eps is 1e-06: only 1e-05"),
        ({"rope_theta": 500.0}, "config.arch.rope_theta is 500.0: only 10000"),
        ({"causal": True}, "config.arch.causal is True: only False"),
        ({"pos_encodings": "learned"}, "config.arch.pos_encodings is 'learned': only none, rope and rope2d"),
        ({"pos_encodings": ["rope"]}, "config.arch.pos_encodings is 'something else': only none"),
        ({"mlp_t": 1}, "config.arch.mlp_t is 1: it must be True or False"),
        ({"hidden_size": "8"}, "config.arch.hidden_size is 8: a whole number"),
        ({"L_layers": 10**300}, "config.arch.L_layers is something else: a whole number"),
        ({"L_layers": 3}, "lacks the tensor 'L_level.layers.2"),
        ({"hidden_size": 4}, r"tensor 'embed_tokens.embedding_weight' is \(6, 8\), its config.arch asks for \(6, 4\)"),
        ({"lambda_": float("nan")}, "config.arch.lambda_ is nan: a number"),
        ({"lambda_": 1.5}, "model.damping is -0.5"),
        ({"vocab_size": 11}, "config.arch.vocab_size is 11, but 6 are embedded"),
        ({"seq_len": 81}, "config.arch.seq_len 81 does not fit the checkpoint's boards of 16 cells"),
        ({"puzzle_emb_ndim": 8}, "no task has boards of 15 cells"),
        ({"puzzle_emb_len": -1}, "config.arch.puzzle_emb_len is -1"),
    ],
)
def test_an_unknown_architecture_field_is_named(fields: dict[str, Any], said: str) -> None:
    given = Checkpoint(tensors=tensors(ARCH), config={"arch": ARCH | fields})
    with pytest.raises(InputError, match=said):
        to_reasoner(given)


def test_fields_of_eqr_are_unknown_to_trm() -> None:
    given = Checkpoint(tensors=tensors(TRM_ARCH), config={"arch": TRM_ARCH | {"lambda_": 0.95}})
    with pytest.raises(InputError, match="field 'lambda_' is not known"):
        to_reasoner(given)


def test_positions_on_another_board_are_refused() -> None:
    arch = ARCH | {"mlp_t": False, "pos_encodings": "rope2d", "board_height": 5, "board_width": 20}
    with pytest.raises(InputError, match=r"a board of 5 x 20 cells, maze10 has one of 10 x 10"):
        to_reasoner(checkpoint(arch), cells=100)


def test_a_leftover_or_missing_tensor_is_named() -> None:
    for name in tensors(TRM_ARCH):
        given = checkpoint(TRM_ARCH)
        del given.tensors[name]
        with pytest.raises(InputError, match=rf"lacks the (tensor|matrix) '{name}'|does not tell how many cells"):
            to_reasoner(given)
    given = checkpoint(ARCH)
    given.tensors["embed_pos.embedding_weight"] = torch.zeros(16, WIDTH)
    with pytest.raises(InputError, match=r"tensor 'embed_pos.embedding_weight' is not one of a network with this"):
        to_reasoner(given)


def test_a_board_that_is_no_task_is_told() -> None:
    given = Checkpoint(tensors=tensors(ARCH, cells=17), config={"arch": ARCH})
    with pytest.raises(InputError, match="no task has boards of 17 cells and a vocabulary of 6"):
        to_reasoner(given)
    with pytest.raises(InputError, match="--cells 81 does not fit the checkpoint's boards of 16 cells"):
        to_reasoner(checkpoint(ARCH), cells=81)


def test_foreign_classes_are_inert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark, path = tmp_path / "mark", tmp_path / "foreign.pth"
    foreign = types.ModuleType("models_of_the_reference")
    latent = make_dataclass("LatentCarry", ["z_H", "z_L"])
    carry = make_dataclass("ModelCarry", ["inner_carry", "steps"])
    touching = type("Touching", (), {"__setstate__": lambda self, state: mark.touch()})
    for kind in (latent, carry, touching):
        kind.__module__ = foreign.__name__
        setattr(foreign, kind.__name__, kind)
    inner = latent(torch.randn(4, 16, WIDTH), torch.randn(4, 16, WIDTH))
    lively = touching()
    lively.state = 1
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, foreign.__name__, foreign)
        torch.save({**content(), "carry": carry(inner, torch.zeros(4)), "lively": lively}, path)
        torch.load(path, weights_only=False)
        assert mark.exists()  # the class is a live one
        mark.unlink()
    # Whoever imports the module from here on leaves a mark too.
    (tmp_path / f"{foreign.__name__}.py").write_text(f"import pathlib\npathlib.Path({str(mark)!r}).touch()\n")
    monkeypatch.syspath_prepend(tmp_path)
    to_reasoner(read_checkpoint(path))
    assert not mark.exists()


class Reduced:
    """Pickled as a call."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


def text(value: str) -> bytes:
    return b"X" + len(value).to_bytes(4, "little") + value.encode()


def short(value: str) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value.encode()


def nested(command: str) -> bytes:
    inner = io.BytesIO()
    torch.save(Reduced(os.system, command), inner)
    return pickle.dumps(Reduced(torch.storage._load_from_bytes, inner.getvalue()), 2)


ATTACKS: dict[str, tuple[Callable[[str], bytes], str]] = {
    "a call": (lambda c: pickle.dumps(Reduced(os.system, c), 2), r"would call posix\.system"),
    "a call in protocol 5": (lambda c: pickle.dumps(Reduced(os.system, c), 5), r"would call posix\.system"),
    "a call in protocol 0": (lambda c: pickle.dumps(Reduced(os.system, c), 0), "pickle instruction PUT"),
    "eval": (
        lambda c: b"\x80\x02c__builtin__\neval\n" + text(f"__import__('os').system({c!r})") + b"\x85R.",
        r"would call __builtin__\.eval",
    ),
    "a dotted name": (
        lambda c: b"\x80\x04" + short("posixpath") + short("os.system") + b"\x93" + text(c) + b"\x85R.",
        r"would call posixpath\.os\.system",
    ),
    "attributes": (
        lambda c: (
            b"\x80\x02cbuiltins\ngetattr\ncos\npath\n" + text("os") + b"\x86Rq\x000cbuiltins\ngetattr\nh\x00"
            b"" + text("system") + b"\x86R" + text(c) + b"\x85R."
        ),
        r"would call builtins\.getattr",
    ),
    "an instance": (lambda c: b"\x80\x02(" + text(c) + b"ios\nsystem\n.", r"would call os\.system"),
    "an object": (lambda c: b"\x80\x02(cos\nsystem\n" + text(c) + b"o.", "pickle instruction OBJ"),
    "an extension": (lambda c: b"\x80\x02\x82\xf0" + text(c) + b"\x85R.", "pickle instruction EXT1"),
    "a pickle in a pickle": (nested, r"would call torch\.storage\._load_from_bytes"),
    "a partial call": (
        lambda c: b"\x80\x02cfunctools\npartial\ncos\nsystem\n\x85R" + text(c) + b"\x85R.",
        r"would call functools\.partial",
    ),
    "a call after a harmless one": (
        lambda c: b"\x80\x02ccollections\ndefaultdict\ncos\nsystem\n\x85R0cos\nsystem\n" + text(c) + b"\x85R.",
        r"would call os\.system",
    ),
    "a class of classes": (
        lambda c: (
            b"\x80\x02cbuiltins\nmap\ncos\nsystem\n]" + text(c) + b"a\x86\x81cbuiltins\nlist\n0cbuiltins\nlist\n"
            b"cbuiltins\nmap\ncos\nsystem\n]" + text(c) + b"a\x86\x81\x85R."
        ),
        r"would call builtins\.list",
    ),
}


@pytest.fixture
def extension() -> Iterator[None]:
    copyreg.add_extension("os", "system", 0xF0)
    yield
    copyreg.remove_extension("os", "system", 0xF0)


@pytest.mark.usefixtures("extension")
@pytest.mark.parametrize("attack", ATTACKS)
def test_a_file_that_would_run_code_is_refused_unrun(tmp_path: Path, file: Path, attack: str) -> None:
    mark = tmp_path / "mark"
    make, said = ATTACKS[attack]
    payload = make(f"touch {mark}")
    pickle.loads(payload)
    assert mark.exists(), "the attack works on pickle"
    mark.unlink()
    with pytest.raises(InputError, match=f"{said}.*refused, nothing of it was run"):
        read_checkpoint(with_pickle(file, payload))
    assert not mark.exists()


STORAGE = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x30tQ"


@pytest.mark.parametrize(
    "payload",
    [
        b"ctorch._utils\n_rebuild_tensor_v2\n(cos\nsystem\nK\x00K\x01\x85K\x01\x85\x89)tR.",
        b"ctorch._utils\n_rebuild_tensor_v2\n" + STORAGE + b"R.",
        b"ctorch._utils\n_rebuild_parameter\ncos\nsystem\n\x85R.",
        b"ccollections\nOrderedDict\n]](K\x01K\x02ea\x85R.",
        b"cfoo\nFoo\n)\x81)R.",  # calls an instance
        b")\x85)R.",  # calls a tuple
        b"cos\nsystem\x1b[2J\n)R.",
    ],
)
def test_calls_with_strange_arguments_are_refused(file: Path, payload: bytes) -> None:
    with pytest.raises(InputError, match=r"would call [ -~]*: refused"):
        read_checkpoint(with_pickle(file, b"\x80\x02" + payload))


def doubled(depth: int) -> bytes:
    """A tuple of tuples of tuples: short to write, for ever to hash, to compare or to print."""
    return b")" + b"q\x00h\x00\x86" * depth


@pytest.mark.parametrize(
    "payload",
    [
        b"}" + doubled(60) + b"K\x01s.",
        b"}" + text("config") + b"}" + text("arch") + b"}" + text("name") + doubled(60) + b"ssss.",
        b"}" + b")" + b"\x85" * 100_000 + b"K\x01s.",
        b"Nr\xff\xff\xff\xff.",  # a memo of four thousand million places
        b"\x8e" + b"\xff" * 7 + b"\x7f.",  # bytes without end
        b"\x96" + b"\xff" * 7 + b"\x7f.",
        b"\x8a\xff.",
        b"X\x04\x00\x00\x00\xff\xff\xff\xff.",
        b"0.",
        b"h\x07.",
        b"t.",
        b"}K\x01ae.",
        b"}(K\x01u.",
        b"cos",
        b"N",
        b"",
        b"N.",
        b"Q.",
        b"NQ.",
        b"X\x01\x00\x00\x001Q.",
        b"(X\x07\x00\x00\x00storagecos\nsystem\nX\x01\x00\x00\x000NK\x01tQ.",
    ],
    ids=range(21),
)
def test_a_damaged_pickle_gets_one_sentence(file: Path, payload: bytes) -> None:
    with pytest.raises(InputError) as caught:
        to_reasoner(read_checkpoint(with_pickle(file, b"\x80\x02" + payload)))
    assert str(caught.value).isprintable()


def described(length: int, offset: int, shape: tuple[int, ...], stride: tuple[int, ...], key: str = "0") -> bytes:
    """The pickle of a checkpoint whose one weight is described so."""

    class Pickler(pickle._Pickler):  # type: ignore[name-defined,misc]
        def persistent_id(self, value: object) -> object:
            return ("storage", torch.FloatStorage, key, "cpu", length) if value is Reduced else None

    out = io.BytesIO()
    call = Reduced(torch._utils._rebuild_tensor_v2, Reduced, offset, shape, stride, False, OrderedDict())
    Pickler(out, 2).dump({"config": {"arch": ARCH}, "model": {"lm_head.weight": call}})
    return out.getvalue()


@pytest.mark.parametrize(
    ("length", "offset", "shape", "stride", "key"),
    [
        (10**12, 0, (10**12,), (1,), "0"),
        (10**300, 0, (1,), (1,), "0"),
        (-48, 0, (6, 8), (8, 1), "0"),
        (48, 0, (10**9, 10**9), (0, 0), "0"),
        (48, 0, (10**9, 48), (0, 1), "0"),
        (48, 0, (8, 6), (1, 9), "0"),
        (48, 1, (6, 8), (8, 1), "0"),
        (48, -1, (6, 8), (8, 1), "0"),
        (48, 0, (-6, -8), (8, 1), "0"),
        (48, 0, (0, 8), (8, 1), "0"),
        (48, 0, (6, 8), (8,), "0"),
        (48, 0, (2,) * 100_000, (1,) * 100_000, "0"),
        (48, 0, (6, "8"), (8, 1), "0"),
        (48, 0, (6, 8), (8, 1), "../data.pkl"),
        (48, 0, (6, 8), (8, 1), "77"),
    ],
    ids=range(15),
)
def test_a_tensor_costs_no_more_than_its_bytes(
    file: Path, length: int, offset: int, shape: tuple[Any, ...], stride: tuple[int, ...], key: str
) -> None:
    good = with_pickle(file, described(48, 0, (6, 8), (8, 1)))
    assert read_checkpoint(good).tensors["lm_head.weight"].shape == (6, 8)
    said = r"tensor 'lm_head\.weight'|declares more numbers|lacks its part|a tensor's storage|describes a tensor"
    with pytest.raises(InputError, match=said):
        read_checkpoint(with_pickle(file, described(length, offset, shape, stride, key)))


@pytest.mark.parametrize("kind", ["views of one storage", "transposed"])
def test_weights_may_be_views_of_one_storage_or_transposed(tmp_path: Path, kind: str) -> None:
    plain = tensors(ARCH, seed=1)
    if kind == "transposed":
        laid = {name: value.T.contiguous().T if value.ndim == 2 else value for name, value in plain.items()}
    else:
        flat = torch.cat([value.flatten() for value in plain.values()])
        parts = flat.split([value.numel() for value in plain.values()])
        laid = {name: part.view_as(value) for (name, value), part in zip(plain.items(), parts, strict=True)}
    torch.save({"model": laid, "config": {"arch": ARCH, "dataset": "sudoku"}}, tmp_path / "file.pth")
    found = read_checkpoint(tmp_path / "file.pth").tensors
    assert found.keys() == plain.keys()
    assert all(torch.equal(found[name], value) for name, value in plain.items())


def test_a_compressed_file_is_refused(file: Path) -> None:
    small = file.with_name("small.pth")
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(small, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    with pytest.raises(InputError, match="is compressed"):
        read_checkpoint(small)


def test_truncated_and_foreign_files_get_one_sentence(tmp_path: Path, file: Path) -> None:
    other, mark, whole = tmp_path / "other.pth", tmp_path / "mark", file.read_bytes()
    legacy, plain, tarred, zipped = io.BytesIO(), io.BytesIO(), io.BytesIO(), io.BytesIO()
    torch.save(Reduced(os.system, f"touch {mark}"), legacy, _use_new_zipfile_serialization=False)
    pickle.dump(Reduced(os.system, f"touch {mark}"), plain)
    with tarfile.open(fileobj=tarred, mode="w") as archive:
        archive.add(__file__, "storages")
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("notes.txt", "no pickle here")
    texts = b"", b"PK\x03\x04", b"<!DOCTYPE html><html>404</html>", whole[: len(whole) // 2], whole[:-30]
    for data in (*texts, *(stream.getvalue() for stream in (legacy, plain, tarred, zipped))):
        other.write_bytes(data)
        with pytest.raises(InputError, match=r"truncated or not a file of torch\.save|not one of torch\.save"):
            read_checkpoint(other)
    for path in (tmp_path, tmp_path / "missing.pth"):
        with pytest.raises(InputError, match=r"is a folder, not a file|is missing"):
            read_checkpoint(path)
    for state in (
        [],
        {"model": {}},
        {"config": {"arch": ARCH}},
        {"config": {"arch": ARCH}, "ema": 1, "model": {"a": 1}},
    ):
        torch.save(state, other)
        with pytest.raises(InputError, match=r"holds no (configuration|weights)"):
            read_checkpoint(other)
    assert not mark.exists()


def test_weights_must_be_numbers_under_one_name_each(tmp_path: Path) -> None:
    path, weight = tmp_path / "file.pth", torch.zeros(2, 2)
    torch.save({"config": {"arch": ARCH}, "model": {"lm_head.weight": weight.long()}}, path)
    with pytest.raises(InputError, match=r"'lm_head\.weight' \(torch\.LongStorage\) holds no floating-point numbers"):
        read_checkpoint(path)
    torch.save({"config": {"arch": ARCH}, "model": {"lm_head.weight": weight, "model.lm_head.weight": weight}}, path)
    with pytest.raises(InputError, match=r"'lm_head\.weight' twice"):
        read_checkpoint(path)


def test_no_damage_is_worse_than_an_error(file: Path) -> None:
    whole, rng = file.read_bytes(), random.Random(0)
    with zipfile.ZipFile(file) as archive:
        pickled = archive.read("step_10/data.pkl")
    for trial in range(200):
        data = bytearray(pickled if trial % 2 else whole)
        # Headers and directories are at the ends.
        near = rng.choice([range(len(data)), range(min(3000, len(data))), range(max(0, len(data) - 3000), len(data))])
        for _ in range(rng.choice([1, 2, 8])):
            data[rng.choice(near)] = rng.randrange(256)
        changed = with_pickle(file, bytes(data)) if trial % 2 else file.with_name("changed.pth")
        if not trial % 2:
            changed.write_bytes(data)
        with suppress(InputError):
            to_reasoner(read_checkpoint(changed))


def test_the_command_writes_a_model_folder(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = file.with_name("imported")
    ImportReference(file=str(file), out=str(out)).run()
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("read sudoku4: EMA weights, mixer block, width 8, layers 2, hierarchical recursion, ")
    assert second == f"written to {out}"
    original = to_reasoner(read_checkpoint(file)).state_dict()
    assert all(torch.equal(value, original[name]) for name, value in load(out).state_dict().items())
    with pytest.raises(InputError, match="already holds a model"):
        ImportReference(file=str(file), out=str(out)).run()
    with pytest.raises(InputError, match="cannot be made"):
        ImportReference(file=str(file), out=str(file)).run()
