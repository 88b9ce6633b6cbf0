"""The paper's models compute what the published equations say (tests/golden/recompute.py, a second implementation)."""

import importlib.util
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from test_reference_alone import HRM_ALONE, TRM_ALONE, alone
from torch import Tensor

from eqr.paper.reference import Checkpoint, read_checkpoint, to_reasoner
from eqr.random import Streams

GOLDEN = Path(__file__).parent / "golden" / "eqr_small.npz"
SPEC = importlib.util.spec_from_file_location("recompute", GOLDEN.with_name("recompute.py"))
assert SPEC
assert SPEC.loader
recompute = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(recompute)


@pytest.mark.parametrize("size", ["sudoku", "maze"])
@pytest.mark.parametrize(("dtype", "tolerances"), [(torch.double, [1e-5] * 3), (torch.float, [1e-4, 5e-2, 5e-1])])
@torch.no_grad()
def test_three_segments_are_those_of_the_published_equations(
    size: str, dtype: torch.dtype, tolerances: list[float]
) -> None:
    # A random network magnifies every rounding error about 40 times a segment: only the first one, or double precision,
    # can tell a wrong equation from rounding.
    with np.load(GOLDEN) as golden:
        values = {name.removeprefix(f"{size}/"): golden[name] for name in golden.files if name.startswith(size)}
    tensors = {n.removeprefix("state_dict/inner."): torch.from_numpy(v) for n, v in values.items() if "state_dict" in n}
    checkpoint = Checkpoint(tensors=tensors, config={"arch": json.loads(str(values["config"]))})
    model = to_reasoner(checkpoint, cells=values["inputs"].shape[1]).to(dtype)
    ids = torch.from_numpy(values["inputs"]) - (1 if size == "sudoku" else 0)
    z = torch.stack([torch.from_numpy(values[name]) for name in ("z_H0", "z_L0")], 1).to(dtype)
    x, symbols = model.embed(ids), model.task.layout.symbols
    for tolerance, logits, halting in zip(tolerances, values["logits"], values["q_halt"], strict=True):
        z = model.segment(z, x)
        expected = torch.from_numpy(logits[..., -symbols:])
        assert (model.decode(z) - expected).abs().max() < tolerance
        assert (model.halt_logit(z) - torch.from_numpy(halting)).abs().max() < tolerance


def published(
    weights: dict[str, Tensor], arch: dict[str, Any], tokens: int, inputs: Any
) -> tuple[list[Any], list[Any]]:
    """Logits and halting logits of TRM (arXiv 2510.04871) or HRM (arXiv 2506.21734) after each of 2 segments.

    A plain second implementation in float64, with the parts of recompute.py; shares no code with the package.
    """
    w = {name: weight.double().numpy() for name, weight in weights.items()}
    width, upper = arch["hidden_size"], "H_level" if arch["H_layers"] else "L_level"
    prefix = np.zeros(tokens * width)
    prefix[: arch["puzzle_emb_ndim"]] = w["puzzle_emb.weights"][0]
    board = w["embed_tokens.embedding_weight"][inputs]
    x = math.sqrt(width) * np.concatenate([np.tile(prefix.reshape(tokens, width), (len(inputs), 1, 1)), board], 1)
    high, low = (np.tile(w[name], (*x.shape[:2], 1)) for name in ("H_init", "L_init"))

    def call(module: str, h: Any, injection: Any) -> Any:
        h = h + injection
        for name in (f"{module}.layers.{layer}" for layer in range(arch["L_layers"])):
            if arch.get("mlp_t"):
                turned = h.transpose(0, 2, 1)
                h = recompute.rms(turned + recompute.swiglu(turned, w, f"{name}.mlp_t")).transpose(0, 2, 1)
            else:
                h = recompute.rms(h + recompute.attention(h, w, f"{name}.self_attn", arch["num_heads"]))
            h = recompute.rms(h + recompute.swiglu(h, w, f"{name}.mlp"))
        return h

    logits, halting = [], []
    for _ in range(2):
        for _ in range(arch["H_cycles"]):
            for _ in range(arch["L_cycles"]):
                low = call("L_level", low, high + x)
            high = call(upper, high, low)
        logits.append(high[:, tokens:] @ w["lm_head.weight"].T)
        halting.append(high[:, 0] @ w["q_head.weight"][0] + w["q_head.bias"][0])
    return logits, halting


@pytest.mark.parametrize(
    ("arch", "tokens"),
    [
        (TRM_ALONE, 16),
        (TRM_ALONE | {"puzzle_emb_len": 0, "puzzle_emb_ndim": 12}, 2),
        (TRM_ALONE | {"mlp_t": False, "pos_encodings": "rope", "L_layers": 1}, 16),
        (HRM_ALONE, 1),
        (HRM_ALONE | {"H_layers": 2, "L_layers": 2, "H_cycles": 1, "L_cycles": 3, "puzzle_emb_ndim": 20}, 3),
    ],
    ids=["trm", "trm, two tokens", "trm, attention", "hrm", "hrm, two layers"],
)
@torch.no_grad()
def test_weights_alone_compute_the_published_equations(tmp_path: Path, arch: dict[str, Any], tokens: int) -> None:
    weights = {name: value * value.shape[-1] ** -0.5 for name, value in alone(arch).items()}
    torch.save({f"_orig_mod.model.inner.{name}": value for name, value in weights.items()}, tmp_path / "step_10")
    (tmp_path / "all_config.yaml").write_text(yaml.dump({"arch": arch, "data_paths": ["data/mine"]}))
    model = to_reasoner(read_checkpoint(tmp_path / "step_10"), cells=16).double()
    ids = torch.randint(0, 5, (3, 16), generator=torch.Generator().manual_seed(0))
    z, x = model.init(Streams.numbered(0, range(3))), model.embed(ids)
    for logits, halting in zip(
        *published(weights, arch, tokens, ids.numpy() + 1), strict=True
    ):  # their id 0 is padding
        z = model.segment(z, x)
        assert (model.decode(z) - torch.from_numpy(logits[..., -4:])).abs().max() < 1e-5
        assert (model.halt_logit(z) - torch.from_numpy(halting)).abs().max() < 1e-5
        assert logits.std() > 0.1
