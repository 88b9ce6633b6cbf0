"""Solve a puzzle with a file that `eqr export` wrote, with numpy and onnxruntime only: solve.py [MODEL.onnx] PUZZLE."""

import json
import sys

import numpy as np
import onnxruntime

path, puzzle = sys.argv[1:] if len(sys.argv) == 3 else ("model.onnx", *sys.argv[1:])
session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
facts = json.loads(session.get_modelmeta().custom_metadata_map["eqr"])
layout, halting, written = facts["layout"], facts["halting"], facts["symbols"]
ids = np.array([[written.index("." if char == "0" else char) for char in puzzle]])

rng, shape = np.random.default_rng(0), (1, *facts["state_shape"])
if facts["start"]["kind"] == "fixed":
    z = np.broadcast_to(np.float32(facts["start"]["state"]), shape).copy()
else:
    z = rng.standard_normal(shape, np.float32) * np.float32(facts["start"]["std"])[:, None, None]

depth = still = 0  # segments so far; consecutive segments with a residual below tol
while depth < 64 and still < halting["window"]:
    z, logits, _, residual = session.run(None, {"z": z, "ids": ids})
    depth, still = depth + 1, still + 1 if residual[0] < halting["tol"] else 0

answer = np.where((ids == 0) | (not layout["clues_fixed"]), logits.argmax(-1) + 1, ids)[0]
for row in answer.reshape(layout["rows"], layout["cols"]):
    print(" ".join(written[symbol] for symbol in row))
settled = "settled" if still == halting["window"] else "NOT settled"
print(f"{settled} after {depth} segments, residual {residual[0]:.1e}")
