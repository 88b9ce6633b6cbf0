"""``eqr import-reference``: converts a checkpoint of the trainer of EqR, TRM or HRM to a model folder."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from eqr.commands.flags import Folder
from eqr.errors import InputError
from eqr.paper.reference import read_checkpoint, to_reasoner
from eqr.storage.checkpoint import holds_model, save
from eqr.terminal.console import waiting


@dataclass(frozen=True, kw_only=True)
class ImportReference:
    """Read a checkpoint of the trainer of EqR, TRM or HRM and write it as a model folder.

    Nothing in the file is run: only its weights and its configuration are read.
    """

    file: tyro.conf.Positional[str]
    """The file of weights: step_N or a .pth file."""
    out: tyro.conf.Positional[Folder[str]]
    """Folder for the model; a folder that already holds a model is refused."""
    config: str | None = None
    """YAML configuration of the run; by default the one in the file, else all_config.yaml beside the file."""
    cells: int | None = None
    """Number of cells of a board, for attention models whose configuration does not name the data set."""

    def run(self) -> None:
        """Write the model folder; print a description of the model."""
        out = Path(self.out)
        if holds_model(out):
            raise InputError(f"{out} already holds a model: give a new folder")
        try:
            with waiting(f"reading {Path(self.file).name}"):
                checkpoint = read_checkpoint(Path(self.file), Path(self.config) if self.config else None)
                model = to_reasoner(checkpoint, self.cells)
                save(model, out)
        except OSError as error:
            raise InputError(f"{out} cannot be made ({error.strerror}): give another folder") from None
        for note in checkpoint.notes:
            print(note)
        names = model.config.named()
        print(
            f"read {names['task']}: {checkpoint.weights}, {names['block']} block, "
            f"width {names['channels']}, layers {names['layers']}, {names['recursion']} recursion, "
            f"{sum(weight.numel() for weight in model.parameters()):,} parameters"
        )
        print(f"written to {out}")
