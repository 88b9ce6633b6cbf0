"""Solve a puzzle with a file that `eqr export` wrote, by numpy and onnxruntime alone: solve.py [MODEL.onnx] PUZZLE."""

import json
import sys

import numpy as np
import onnxruntime

path, puzzle = sys.argv[1:] if len(sys.argv) == 3 else ("model.onnx", *sys.argv[1:])
session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
about = json.loads(session.get_modelmeta().custom_metadata_map["eqr"])
layout, halting, written = about["layout"], about["halting"], about["symbols"]
ids = np.array([[written.index("." if char == "0" else char) for char in puzzle]])

rng, shape = np.random.default_rng(0), (1, *about["state_shape"])
if about["start"]["kind"] == "fixed":
    z = np.broadcast_to(np.float32(about["start"]["state"]), shape).copy()
else:
    z = rng.standard_normal(shape, np.float32) * np.float32(about["start"]["std"])[:, None, None]

depth = still = 0  # segments, and those in a row after which the state hardly moved
while depth < 64 and still < halting["window"]:
    z, logits, _, residual = session.run(None, {"z": z, "ids": ids})
    depth, still = depth + 1, still + 1 if residual[0] < halting["tol"] else 0

found = np.where((ids == 0) | (not layout["clues_fixed"]), logits.argmax(-1) + 1, ids)[0]
for row in found.reshape(layout["rows"], layout["cols"]):
    print(" ".join(written[symbol] for symbol in row))
settled = "settled" if still == halting["window"] else "NOT settled"
print(f"{settled} after {depth} segments, residual {residual[0]:.1e}")
