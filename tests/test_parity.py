"""The paper's models compute what the published equations say (tests/golden/recompute.py, a second implementation)."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from eqr.paper.reference import Checkpoint, to_reasoner

GOLDEN = Path(__file__).parent / "golden" / "eqr_small.npz"


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
    checkpoint = Checkpoint(tensors=tensors, config={"arch": json.loads(str(values["config"]))}, averaged=False)
    model = to_reasoner(checkpoint, cells=values["inputs"].shape[1]).to(dtype)
    ids = torch.from_numpy(values["inputs"]) - (1 if size == "sudoku" else 0)
    z = torch.stack([torch.from_numpy(values[name]) for name in ("z_H0", "z_L0")], 1).to(dtype)
    x, symbols = model.embed(ids), model.task.layout.symbols
    for tolerance, logits, halting in zip(tolerances, values["logits"], values["q_halt"], strict=True):
        z = model.segment(z, x)
        expected = torch.from_numpy(logits[..., -symbols:])
        assert (model.decode(z) - expected).abs().max() < tolerance
        assert (model.halt_logit(z) - torch.from_numpy(halting)).abs().max() < tolerance
