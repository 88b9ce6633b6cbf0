"""``eqr import-reference``: converts a checkpoint of the reference trainer to a model folder."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from eqr.commands.flags import Folder
from eqr.errors import InputError
from eqr.paper.reference import read_checkpoint, to_reasoner
from eqr.storage.checkpoint import CONFIG, WEIGHTS, save


@dataclass(frozen=True, kw_only=True)
class ImportReference:
    """Read a checkpoint of the reference trainer (locuslab/EqR: EqR and TRM) and write it as a model folder.

    Nothing in the file is run: only its weights and its configuration are read.
    """

    file: tyro.conf.Positional[str]
    """The .pth file."""
    out: tyro.conf.Positional[Folder[str]]
    """Folder for the model; a folder that already holds a model is refused."""
    cells: int | None = None
    """Number of cells of a board, for attention models whose configuration does not name the data set."""

    def run(self) -> None:
        """Write the model folder; print a description of the model."""
        out = Path(self.out)
        if any((out / name).exists() for name in (CONFIG, WEIGHTS)):
            raise InputError(f"{out} already holds a model: give a new folder")
        checkpoint = read_checkpoint(Path(self.file))
        model = to_reasoner(checkpoint, self.cells)
        try:
            save(model, out)
        except OSError as error:
            raise InputError(f"{out} cannot be made ({error.strerror}): give another folder") from None
        names = model.config.named()
        print(
            f"read {names['task']}: {'EMA' if checkpoint.averaged else 'plain'} weights, {names['block']} block, "
            f"width {names['channels']}, layers {names['layers']}, {names['recursion']} recursion, "
            f"{sum(weight.numel() for weight in model.parameters()):,} parameters"
        )
        print(f"written to {out}")
