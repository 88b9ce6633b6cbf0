"""``eqr push``: sends a model to the Hugging Face hub, or writes the same files to a folder."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from eqr.commands.out import output_folder
from eqr.errors import InputError
from eqr.storage.checkpoint import PUBLISHED, holds_model, published
from eqr.storage.files import write_atomically
from eqr.storage.hub import is_on_hub, push
from eqr.terminal.console import waiting


@dataclass(frozen=True, kw_only=True)
class Push:
    """Send a model to the Hugging Face hub: weights, configuration, calibration, and the model card as README.md."""

    model: str
    """Model folder, bundled model, or hf:user/name."""
    to: str
    """hf:user/name, made if needed; or a new folder, to see the files that would be sent."""
    private: bool = False
    """If the repository is new, make it private."""

    def run(self) -> None:
        """Send the files; print their sizes and where they are."""
        files = published(self.model)
        if is_on_hub(self.to):
            with waiting(f"sending {self.to}"):
                where = push(files, self.to, PUBLISHED, self.private)
        else:
            where = self.to
            _write(files, Path(self.to))
        for name, content in files.items():
            print(f"{name}: {len(content):,} bytes")
        print(f"sent to {where}")


def _write(files: dict[str, bytes], folder: Path) -> None:
    if holds_model(folder):
        raise InputError(f"--to {folder} already holds a model: give a new folder or hf:user/name")
    made = output_folder("--to", str(folder))
    for name, content in files.items():
        write_atomically(made / name, partial(Path.write_bytes, data=content))
