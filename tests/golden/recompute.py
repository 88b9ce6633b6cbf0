"""Writes eqr_small.npz: two small random models in the names of the reference, and what they compute over 3 segments.

A plain second implementation of the published equations (EqR arXiv 2605.21488, D.4), in float64, that shares no code
with the package: a block after the other, cells of a mixer by transposing, attention by its formula. Run it from
anywhere; the numbers it writes depend on nothing but this file. With ``--check REFERENCE.npz`` it compares
itself with outputs of the reference implementation in the same names (float32; they agree until rounding has grown).
"""

import json
import math
import sys
from pathlib import Path

import numpy as np

SIZES = {
    "sudoku": {"mlp_t": True, "L_layers": 2, "L_cycles": 6, "vocab_size": 11, "seq_len": 81, "pos_encodings": "none"},
    "maze": {"mlp_t": False, "L_layers": 1, "L_cycles": 4, "vocab_size": 6, "seq_len": 100, "pos_encodings": "rope"},
}
COMMON = {"H_cycles": 3, "H_layers": 0, "hidden_size": 16, "num_heads": 2, "lambda_": 0.95, "name": "eqr@EqRModel"}
HIDDEN = 24


def silu(x):
    return x / (1 + np.exp(-x))


def rms(x):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5)


def swiglu(x, weights, name):
    gate, up = np.split(x @ weights[f"{name}.gate_up_proj.weight"].T, 2, -1)
    return (silu(gate) * up) @ weights[f"{name}.down_proj.weight"].T


def rotated(x):
    """Rotary positions of (rows, cells, heads, channels)."""
    cells, channels = x.shape[1], x.shape[-1]
    frequency = 10000.0 ** (-np.arange(0, channels, 2) / channels)
    angle = np.concatenate([np.outer(np.arange(cells), frequency)] * 2, -1)[:, None]
    left, right = np.split(x, 2, -1)
    return x * np.cos(angle) + np.concatenate([-right, left], -1) * np.sin(angle)


def attention(x, weights, name, heads):
    rows, cells, width = x.shape
    parts = (x @ weights[f"{name}.qkv_proj.weight"].T).reshape(rows, cells, 3, heads, width // heads)
    query, key, value = rotated(parts[:, :, 0]), rotated(parts[:, :, 1]), parts[:, :, 2]
    scores = np.einsum("rihc,rjhc->rhij", query, key) / math.sqrt(width // heads)
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    shares /= shares.sum(-1, keepdims=True)
    seen = np.einsum("rhij,rjhc->rihc", shares, value).reshape(rows, cells, width)
    return seen @ weights[f"{name}.o_proj.weight"].T


def segments(weights, config, inputs, high, low):
    """Logits and halting logits after each of 3 segments."""
    weights = {name: weight.astype(float) for name, weight in weights.items()}
    high, low = high.astype(float), low.astype(float)
    x = math.sqrt(config["hidden_size"]) * weights["inner.embed_tokens.embedding_weight"][inputs]

    def call(h, injection):
        new = h + injection
        for layer in range(config["L_layers"]):
            name = f"inner.L_level.layers.{layer}"
            if config["mlp_t"]:
                turned = new.transpose(0, 2, 1)
                new = rms(turned + swiglu(turned, weights, f"{name}.mlp_t")).transpose(0, 2, 1)
            else:
                new = rms(new + attention(new, weights, f"{name}.self_attn", config["num_heads"]))
            new = rms(new + swiglu(new, weights, f"{name}.mlp"))
        return (1 - config["lambda_"]) * h + config["lambda_"] * new

    logits, halting = [], []
    for _ in range(3):
        for _ in range(config["H_cycles"]):
            for _ in range(config["L_cycles"]):
                low = call(low, high + x)
            high = call(high, low)
        logits.append(high @ weights["inner.lm_head.weight"].T)
        halting.append(high[:, 0] @ weights["inner.q_head.weight"][0] + weights["inner.q_head.bias"][0])
    return np.stack(logits), np.stack(halting)


def random_weights(config, rng):
    width, cells, symbols = config["hidden_size"], config["seq_len"], config["vocab_size"]
    shapes = {"inner.embed_tokens.embedding_weight": (symbols, width), "inner.lm_head.weight": (symbols, width)}
    shapes |= {"inner.q_head.weight": (2, width), "inner.q_head.bias": (2,)}
    for layer in range(config["L_layers"]):
        name = f"inner.L_level.layers.{layer}"
        if config["mlp_t"]:
            shapes |= {f"{name}.mlp_t.gate_up_proj.weight": (2 * HIDDEN, cells)}
            shapes |= {f"{name}.mlp_t.down_proj.weight": (cells, HIDDEN)}
        else:
            shapes |= {f"{name}.self_attn.qkv_proj.weight": (3 * width, width)}
            shapes |= {f"{name}.self_attn.o_proj.weight": (width, width)}
        shapes |= {f"{name}.mlp.gate_up_proj.weight": (2 * HIDDEN, width)}
        shapes |= {f"{name}.mlp.down_proj.weight": (width, HIDDEN)}
    return {k: (rng.standard_normal(s) * s[-1] ** -0.5).astype(np.float32) for k, s in shapes.items()}


def check(path):
    reference = np.load(path)
    for size in SIZES:
        names = [name for name in reference.files if name.startswith(f"{size}/state_dict/")]
        weights = {name.split("/")[2]: reference[name] for name in names}
        config = json.loads(str(reference[f"{size}/config"]))
        given = (reference[f"{size}/{name}"] for name in ("inputs", "z_H0", "z_L0"))
        logits, _ = segments(weights, config, *given)
        difference = abs(logits - reference[f"{size}/logits"]).max((1, 2, 3))
        print(size, "largest difference of the logits, by segment:", *difference)


def write(path):
    rng, arrays = np.random.Generator(np.random.PCG64(0)), {}
    for size, own in SIZES.items():
        config = COMMON | own
        weights = random_weights(config, rng)
        state = (2, config["seq_len"], config["hidden_size"])
        high, low = (rng.standard_normal(state).astype(np.float32) for _ in range(2))
        inputs = rng.integers(1, config["vocab_size"], state[:2])
        logits, halting = segments(weights, config, inputs, high, low)
        arrays |= {f"{size}/state_dict/{name}": weight for name, weight in weights.items()}
        values = {"config": json.dumps(config), "inputs": inputs, "z_H0": high, "z_L0": low}
        values |= {"logits": logits, "q_halt": halting}
        arrays |= {f"{size}/{name}": value for name, value in values.items()}
    np.savez_compressed(path, **arrays)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--check"]:
        check(sys.argv[2])
    else:
        write(Path(__file__).with_name("eqr_small.npz"))
