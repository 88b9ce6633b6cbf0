"""Models and training states on disk. A model is a folder of model.safetensors and config.json, perhaps with
calibration.json and card.md (README.md on the hub); a run adds state.pt.

Only tensors and plain containers are ever unpickled.
"""

import json
import os
import pickle
import sys
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, replace
from errno import ENOSPC
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes

from eqr.engine import SolveConfig
from eqr.errors import InputError, from_json, registered, unknown
from eqr.model import ModelConfig, Reasoner
from eqr.model.blocks import BLOCKS, Block
from eqr.model.recursion import RECURSIONS
from eqr.storage.files import write_atomically, write_text_atomically
from eqr.storage.hub import fetched, is_on_hub
from eqr.tasks import Task, task_named
from eqr.types import Calibration, Settings

BUNDLED = Path(__file__).parents[1] / "weights"
WEIGHTS, CONFIG, STATE, CALIBRATION = "model.safetensors", "config.json", "state.pt", "calibration.json"
SETTINGS = "solve"
"""Key of the best settings in config.json."""
PREVIOUS = "state.previous.pt"
CARD, README = "card.md", "README.md"
PUBLISHED = (WEIGHTS, CONFIG, CALIBRATION, README)
"""The files of a model on the hub; other files there are never fetched."""


def save(model: Reasoner, folder: Path) -> None:
    """Writes the model folder, without what ``eqr calibrate`` measured: that describes the weights of another time."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CALIBRATION).unlink(missing_ok=True)
    tensors = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    write_atomically(folder / WEIGHTS, lambda path: path.write_bytes(to_bytes(tensors)))
    text = json.dumps(model.config.named(), indent=2) + "\n"
    write_text_atomically(folder / CONFIG, text)


def save_calibration(calibration: Calibration, folder: Path) -> None:
    """Writes a model's measured thresholds into its folder."""
    write_text_atomically(folder / CALIBRATION, json.dumps(asdict(calibration), indent=2) + "\n")


def save_settings(settings: Settings, folder: Path) -> None:
    """Writes the settings with which a model answers best into its config.json."""
    values = _object(folder / CONFIG) | {SETTINGS: asdict(settings)}
    write_text_atomically(folder / CONFIG, json.dumps(values, indent=2) + "\n")


def folder_of(name: str | Path) -> Path:
    """Returns the folder of a bundled model, of a path or of ``hf:user/name``; raises InputError if there is none."""
    if is_on_hub(name):
        return fetched(name, PUBLISHED)
    bundled = sorted(path.parent.name for path in BUNDLED.glob(f"*/{CONFIG}"))
    folder = BUNDLED / name if str(name) in bundled else Path(name)
    if not folder.is_dir():
        raise unknown("model folder or bundled model", str(name), bundled)
    return folder


def load(
    name: str | Path,
    device: torch.device | str = "cpu",
    *,
    task: Task | None = None,
    block: type[Block] | None = None,
) -> Reasoner:
    """Loads a bundled model by name, a model folder by path, or ``hf:user/name`` from the hub, ready for inference.

    Loading runs no code from the folder. A model with a custom task or block needs ``task`` and ``block``, or their
    names registered in ``eqr.TASKS`` and ``eqr.BLOCKS``.

    Raises InputError if the model is missing, truncated, or made by another program, or if it needs an unknown name.
    """
    folder = folder_of(name)
    values = _object(folder / CONFIG)
    settings = values.pop(SETTINGS, None)
    model = Reasoner(_config(values, folder / CONFIG, task, block))
    path = folder / WEIGHTS
    try:
        tensors = load_file(path)
    except FileNotFoundError:
        raise InputError(f"{path} is missing: {folder} is not a complete model folder") from None
    except SafetensorError as error:
        raise InputError(f"{path} is truncated or not a safetensors file ({error}): copy or train it again") from None
    wrong = misfit(model, tensors)
    if wrong:
        raise InputError(f"{path} does not fit its {CONFIG} (first difference: {wrong}): they are of different models")
    model.load_state_dict(tensors)
    if (folder / CALIBRATION).exists():
        model.calibration = from_json(Calibration, _read_json(folder / CALIBRATION), str(folder / CALIBRATION))
    model.settings = None if settings is None else _settings(settings, f"{folder / CONFIG}, {SETTINGS!r}")
    return model.to(device).eval()


def _settings(values: Any, place: str) -> Settings:
    """Builds the best settings from their JSON object; raises InputError for options that the engine refuses."""
    settings = from_json(Settings, values, place)
    try:
        SolveConfig(**vars(settings))
    except InputError as error:
        raise InputError(f"{place}: {error}") from None
    if isinstance(settings.breadth, int) and settings.breadth != 1:
        raise InputError(f"{place}: breadth is {settings.breadth}, it must be 1 or auto:K")
    return settings


def published(folder: Path) -> dict[str, bytes]:
    """Returns the files of a model folder as the hub stores them; raises InputError if the folder holds no model."""
    model = load(folder)
    files = {name: (folder / name).read_bytes() for name in PUBLISHED if (folder / name).exists()}
    card = folder / CARD
    text = card.read_text(encoding="utf-8") if card.exists() else files.get(README, b"").decode() or _card(model)
    head = "" if text.startswith("---") else "---\nlibrary_name: eqr\ntags: [equilibrium-reasoner]\n---\n\n"
    return files | {README: (head + text).encode()}


def _card(model: Reasoner) -> str:
    """Returns the text of a card for a model that has none."""
    count, names = sum(weight.numel() for weight in model.parameters()), model.config.named()
    return (
        f"# {names['task']}\n\nAn Equilibrium Reasoner (EqR, arXiv 2605.21488) for {names['task']}: {names['block']} "
        f"block, {names['recursion']} recursion, {count:,} parameters. `eqr.load` reads it. This card does not say how "
        "the model was trained or how well it does.\n"
    )


def misfit(model: Reasoner, tensors: Mapping[str, torch.Tensor]) -> str | None:
    """Returns the first name under which ``tensors`` and the model's weights differ in presence or shape, if any."""
    ours, theirs = ({name: value.shape for name, value in of.items()} for of in (model.state_dict(), tensors))
    return min((name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)), default=None)


def _read_json(path: Path) -> Any:
    """Returns a JSON file's content; raises InputError saying what is wrong with the file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} is missing: {path.parent} is not a model folder") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not JSON ({error}): copy or train the model again") from None


def _object(path: Path) -> dict[str, Any]:
    values = _read_json(path)
    if not isinstance(values, dict):
        raise InputError(f"{path} holds no JSON object: copy or train the model again")
    return values


def _config(values: dict[str, Any], path: Path, task: Task | None, block: type[Block] | None) -> ModelConfig:
    """Builds a model's configuration from the object in ``path``; ``task`` and ``block`` replace the names there."""
    names = {key: values.pop(key, vars(ModelConfig)[key]) for key in ("task", "block", "recursion")}
    for key, name in names.items():
        if not isinstance(name, str):
            raise InputError(f"{path}: {key} is {name!r}, it must be of type str")
    options = values.pop("task_options", {})
    if not isinstance(options, dict):
        raise InputError(f"{path}: task_options holds no JSON object: copy or train the model again")
    try:
        return replace(
            from_json(ModelConfig, values, str(path)),
            task=task or task_named(names["task"], options),
            block=block or registered("block", names["block"], BLOCKS),
            recursion=registered("recursion", names["recursion"], RECURSIONS),
        )
    except InputError as error:
        if str(path) in str(error):
            raise
        yours = "in Python, bring your own: eqr.load(FOLDER, task=..., block=...)"
        raise InputError(f"{path}: {error}; {yours}") from None


def save_state(state: dict[str, Any], folder: Path) -> None:
    """Writes a training state, tensors and plain containers only; keeps the previous state beside it."""

    def write(part: Path) -> None:
        try:
            torch.save(state, part)
        except RuntimeError as error:  # torch's writer wraps the system's error
            raise OSError(ENOSPC, f"{os.strerror(ENOSPC)}? {str(error)[:80]}") from error

    # A damaged state must not replace the good state kept beside it.
    good = (folder / STATE).exists() and _damage(folder / STATE) is None
    write_atomically(folder / STATE, write, keep=folder / PREVIOUS if good else None)


def _damage(path: Path) -> str | None:
    """Checks a file that torch.save wrote by the checksum of each part; returns what is wrong, None if nothing is."""
    try:
        with zipfile.ZipFile(path) as archive:
            part = archive.testzip()
    except (zipfile.BadZipFile, zipfile.LargeZipFile, ValueError, NotImplementedError, EOFError, zlib.error) as error:
        return str(error)
    return f"the checksum of {part} is wrong" if part else None


def has_state(folder: Path) -> bool:
    """Returns whether ``folder`` holds a run."""
    return (folder / STATE).exists() or (folder / PREVIOUS).exists()


def load_state(folder: Path) -> dict[str, Any]:
    """Reads the last training state; if it is missing or damaged, prints a notice and reads the state before it.

    Raises InputError if neither can be read.
    """
    try:
        return _read_state(folder / STATE)
    except InputError as error:
        if not (folder / PREVIOUS).exists():
            raise
        state = _read_state(folder / PREVIOUS)
        print(f"notice: {error}; continuing from the state before it, step {state['step']}", file=sys.stderr)
        return state


def _read_state(path: Path) -> dict[str, Any]:
    try:
        damage = _damage(path)
        if damage is not None:
            raise InputError(f"{path} is damaged or not a training state ({damage[:80]})")
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"cannot read {path} ({error.strerror})") from None
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise InputError(f"{path} is not a training state of this program ({str(error)[:80]})") from None
    if not isinstance(state, dict) or "identity" not in state:
        raise InputError(f"{path} is not a training state of this program")
    return state
