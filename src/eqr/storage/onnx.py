"""A Reasoner as an ONNX file, for programs without PyTorch: one graph that runs a segment and decodes the new state.

The depth loop stays outside the graph, where rows can leave it; ``examples/onnx/solve.py`` has such a loop. The file's
metadata holds, as JSON, the facts that the loop needs: the model's task, its start, and when a row has settled. Knows
no puzzle and no command.
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
from eqr.engine.segment import segment
from eqr.errors import DISTRIBUTION, InputError, missing_extra
from eqr.model import Reasoner
from eqr.random import Streams
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
"""Limit on the numbers in a matrix; an ONNX file cannot hold more bytes than that."""
ROWS = 2
"""Rows of the example that the graph is traced with; a number of 1 could be taken for a constant."""


class Segment(nn.Module):
    """The computation of the graph."""

    def __init__(self, model: Reasoner) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, z: State, ids: Int[Tensor, "R L"]
    ) -> tuple[State, Logits, Float[Tensor, " R"], Float[Tensor, " R"]]:
        """Returns the state after a segment, its logits and halting logit, and the residual of the last update."""
        x = self.model.embed(ids)
        moved = segment(self.model, Picard(), z, x, ids, (), None)
        return moved.z, moved.logits, moved.halt_logit, moved.residual


def export(model: Reasoner, path: Path) -> None:
    """Writes the ONNX file, which takes any number of rows.

    Raises InputError if the libraries are missing, and for problems that bring their own relations.
    """
    if model.task.layout.frame:
        raise InputError("problems with relations of their own cannot be exported: an ONNX file is for one board")
    try:
        from onnx_ir.passes.common import DeduplicateInitializersPass  # comes with onnxscript, which torch exports with
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
        node.metadata_props.clear()  # names each node's line of source, with the paths of the exporting machine
    DeduplicateInitializersPass(LARGEST)(program.model)  # otherwise each update has its own copy of the matrices
    program.model.metadata_props[METADATA] = json.dumps(description(model))
    write_atomically(path, program.save)


def example(model: Reasoner) -> tuple[State, Int[Tensor, "R L"]]:
    """Returns starts and random boards as inputs of the graph, the same at each call."""
    generator = torch.Generator().manual_seed(0)
    layout = model.task.layout
    boards = torch.randint(0, layout.symbols + 1, (ROWS, layout.cells), generator=generator)
    return model.init(Streams.numbered(0, range(ROWS))), F.pad(boards, (layout.rule_cells, 0))


def difference(model: Reasoner, path: Path) -> float:
    """Returns the largest difference, on ``example``, between the file's logits under onnxruntime and the model's."""
    try:
        import onnxruntime
    except ImportError:
        raise missing_extra("an ONNX file", "export") from None
    z, ids = example(model)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (exported,) = session.run(["logits"], {"z": z.numpy(), "ids": ids.numpy()})
    with torch.inference_mode():
        _, logits, _, _ = Segment(model)(z, ids)
    return float((torch.from_numpy(exported) - logits).abs().max())


def description(model: Reasoner) -> dict[str, object]:
    """Returns the facts that the loop around the graph needs, as plain values."""
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
    """Returns the character of each id, id 0 first."""
    boards = (torch.full((task.layout.width,), symbol) for symbol in range(task.layout.symbols + 1))
    return "".join(task.format(board)[0] for board in boards)


@contextmanager
def _quiet() -> Iterator[None]:
    """Hides the exporter's notices about its own deprecated calls and about libraries that a Reasoner does not need."""
    log = logging.getLogger("torch.onnx._internal.exporter._registration")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(before)
