"""``eqr export``: writes a model as an ONNX file."""

from dataclasses import dataclass, field

from eqr.commands.options import Named, Threads
from eqr.commands.out import new_file
from eqr.runtime import CPU
from eqr.storage.onnx import difference, export
from eqr.tasks import task_named
from eqr.terminal.console import waiting


@dataclass(frozen=True, kw_only=True)
class Export:
    """Write a model as an ONNX file, for programs without PyTorch (docs/export.md)."""

    model: Named = field(default_factory=Named)
    out: str = "model.onnx"
    """File to write."""
    task: str | None = None
    """Board of the file, such as maze30, for models that answer boards of any size; by default the model's own."""
    machine: Threads = field(default_factory=Threads)

    def run(self) -> None:
        """Write the file, run it once beside the model, and print the shapes and the difference."""
        out = new_file("--out", self.out)
        self.machine.set()
        model = self.model.load(CPU)
        if self.task:
            model = model.for_task(task_named(self.task, model.task.options))
        with waiting(f"writing {out.name}"):
            export(model, out)
            differs = difference(model, out)
        streams, cells, width = model.state_shape
        shapes = f"z (R, {streams}, {cells}, {width}), ids (R, {model.task.layout.width})"
        print(f"written to {out}: {model.task.name}, {out.stat().st_size:,} bytes, inputs {shapes}")
        print(f"one segment under onnxruntime: logits differ by {differs:.1e} at most")
