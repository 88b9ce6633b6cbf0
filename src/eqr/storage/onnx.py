"""A Reasoner as an ONNX file, for programs without PyTorch: one segment, and what it ends in, as one graph.

The depth loop stays outside, where rows can leave it; ``examples/onnx/solve.py`` has one. What such a loop must know of
the model (its task, its start, when a row has settled) is JSON in the file's metadata. Knows no puzzle and no command.
"""

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from eqr.engine import SolveConfig
from eqr.engine.rows import segment
from eqr.errors import DISTRIBUTION, missing_extra
from eqr.model import Reasoner
from eqr.solvers import Picard
from eqr.storage.files import write_atomically
from eqr.tasks import Task
from eqr.types import Logits, State

METADATA = "eqr"
"""Key of the description in the file's metadata."""
INPUTS = ("z", "ids")
OUTPUTS = ("z_next", "logits", "halt_logit", "residual")
"""Names in the graph; one name cannot be both an input and an output."""
LARGEST = 2**31
"""Numbers in a matrix at most; an ONNX file holds no more bytes than that."""
ROWS = 2
"""Rows of the example that the graph is traced with: with one row its number could be taken for a constant."""


class Segment(nn.Module):
    """What the graph computes."""

    def __init__(self, model: Reasoner) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, z: State, ids: Int[Tensor, "R L"]
    ) -> tuple[State, Logits, Float[Tensor, " R"], Float[Tensor, " R"]]:
        """The state after a segment, its logits and halting logit, and the residual of the last update."""
        x = self.model.embed(ids)
        z, _, residual, logits, halt_logit = segment(self.model, Picard(), z, x, (), None)
        return z, logits, halt_logit, residual


def export(model: Reasoner, path: Path) -> None:
    """Write the ONNX file; the number of rows is open in it. Raises InputError if the libraries are missing."""
    try:
        from onnx_ir.passes.common import DeduplicateInitializersPass  # of onnxscript, which torch exports by
    except ImportError:
        raise missing_extra("an ONNX file", "export") from None
    rows = torch.export.Dim("R", min=1)
    shapes = {name: {0: rows} for name in INPUTS}
    with _quiet():
        graph = torch.export.export(Segment(model), example(model), dynamic_shapes=shapes)
        program = torch.onnx.export(
            graph, dynamo=True, verbose=False, input_names=INPUTS, output_names=OUTPUTS, dynamic_shapes=shapes
        )
    assert program is not None
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # where in our source each one comes from, with this machine's paths
    DeduplicateInitializersPass(LARGEST)(program.model)  # else each update has matrices of its own
    program.model.metadata_props[METADATA] = json.dumps(description(model))
    write_atomically(path, program.save)


def example(model: Reasoner) -> tuple[State, Int[Tensor, "R L"]]:
    """Starts and random boards: inputs of the graph, the same at each call."""
    generator = torch.Generator().manual_seed(0)
    layout = model.task.layout
    boards = torch.randint(0, layout.symbols + 1, (ROWS, layout.cells), generator=generator)
    return model.init(ROWS, generator), F.pad(boards, (layout.rule_cells, 0))


def difference(model: Reasoner, path: Path) -> float:
    """Largest difference, on ``example``, between the logits of the file under onnxruntime and the model's own."""
    try:
        import onnxruntime
    except ImportError:
        raise missing_extra("an ONNX file", "export") from None
    z, ids = example(model)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(["logits"], {"z": z.numpy(), "ids": ids.numpy()})
    with torch.inference_mode():
        _, logits, _, _ = Segment(model)(z, ids)
    return float((torch.from_numpy(found) - logits).abs().max())


def description(model: Reasoner) -> dict[str, object]:
    """What the loop around the graph must know, as plain values."""
    config = model.config
    start: dict[str, object] = {"kind": config.init}
    if config.init == "fixed":
        start["state"] = model.start.tolist()
    else:
        start["std"] = [config.init_std, config.scratch_std][: model.recursion.streams]
    thresholds = SolveConfig().thresholds(model.calibration)
    return {
        "eqr_version": version(DISTRIBUTION),
        "task": model.task.name,
        "symbols": written(model.task),
        "layout": asdict(model.task.layout),
        "state_shape": list(model.state_shape),
        "start": start,
        "updates_per_segment": config.updates_per_segment,
        "halting": {**thresholds._asdict(), "window": SolveConfig().window},
    }


def written(task: Task) -> str:
    """The character that each id is written as, id 0 first."""
    boards = (torch.full((task.layout.width,), symbol) for symbol in range(task.layout.symbols + 1))
    return "".join(task.format(board)[0] for board in boards)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's notices: of its own deprecated calls, and of libraries that a Reasoner has no use for."""
    log = logging.getLogger("torch.onnx._internal.exporter._registration")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(before)
