"""Models on disk. A model is a folder of model.safetensors and config.json, perhaps with calibration.json and card.md
(README.md on the hub).

The folder may come from a stranger: loading runs none of its code, and takes no more memory than its files.
"""

import json
import reprlib
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as to_bytes

from eqr.data.reading import MOST_TEXT, read_json, read_limited, read_text
from eqr.engine import SolveConfig
from eqr.errors import InputError, from_json, registered, shown, unknown
from eqr.model import ModelConfig, Reasoner
from eqr.model.blocks import BLOCKS, Block
from eqr.model.recursion import RECURSIONS
from eqr.storage.files import write_atomically, write_text_atomically
from eqr.storage.hub import fetched, is_on_hub
from eqr.storage.weights import CURE, Shapes, read_weights, refuse_misfit, without_numbers
from eqr.tasks import Task, task_named
from eqr.tasks.base import MOST_NAME
from eqr.types import MOST_DEPTH, MOST_RESTARTS, MOST_SUPPOSE, Calibration, Settings

BUNDLED = Path(__file__).parents[1] / "weights"
WEIGHTS, CONFIG, CALIBRATION = "model.safetensors", "config.json", "calibration.json"
SETTINGS = "solve"
"""Key of the best settings in config.json."""
CARD, README = "card.md", "README.md"
PUBLISHED = {WEIGHTS: 2**32, CONFIG: MOST_TEXT, CALIBRATION: MOST_TEXT, README: MOST_TEXT}
"""The files of a model on the hub, and the most bytes of each; other files there are never fetched."""


def save(model: Reasoner, folder: str | Path) -> None:
    """Writes the model folder, without what ``eqr calibrate`` measured: that describes the weights of another time."""
    folder = Path(folder)
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
    """Writes the settings with which a model answers best into its config.json.

    Raises InputError, and writes nothing, for settings that ``load`` would refuse.
    """
    _settings(asdict(settings), "the settings")
    values = _object(folder / CONFIG) | {SETTINGS: asdict(settings)}
    write_text_atomically(folder / CONFIG, json.dumps(values, indent=2) + "\n")


def holds_model(folder: Path) -> bool:
    """Returns whether ``save`` would replace a model, or half of one."""
    return any((folder / name).exists() for name in (CONFIG, WEIGHTS))


def is_bundled(name: str | Path) -> bool:
    """Returns whether ``name`` is that of a bundled model."""
    return str(name) in _bundled()


def _bundled() -> list[str]:
    return sorted(path.parent.name for path in BUNDLED.glob(f"*/{CONFIG}"))


def folder_of(name: str | Path) -> Path:
    """Returns the folder of a bundled model, of a path or of ``hf:user/name``; raises InputError if there is none."""
    if is_on_hub(name):
        return fetched(name, PUBLISHED)
    folder = BUNDLED / name if is_bundled(name) else Path(name)
    try:
        if folder.is_dir():
            return folder
    except OSError as error:  # a folder on the way may not be entered, or the name is too long
        raise InputError(f"model folder {shown(str(name))} cannot be read ({error.strerror})") from None
    raise unknown("model folder or bundled model", str(name), _bundled())


def load(
    name: str | Path,
    device: torch.device | str = "cpu",
    *,
    task: Task | None = None,
    block: type[Block] | None = None,
) -> Reasoner:
    """Loads a bundled model by name, a model folder by path, or ``hf:user/name`` from the hub, ready for inference.

    The weights are frozen, which saves copies of the state in matrix products; ``model.requires_grad_()`` prepares the
    model for a training loop of your own. Loading runs no code from the folder. A model with a custom task or block
    needs ``task`` and ``block``, or their names registered in ``eqr.TASKS`` and ``eqr.BLOCKS``.

    Raises InputError if the model is missing, truncated, or made by another program, or if it needs an unknown name.
    """
    folder = folder_of(name)
    place, path = folder / CONFIG, folder / WEIGHTS
    values = _object(place)
    settings = values.pop(SETTINGS, None)
    config = _config(values, place, task, block)
    wanted = _shapes(config, place)
    tensors = read_weights(path, wanted, CONFIG)
    model = _built(config, place)
    if wanted is None:
        refuse_misfit(path, shapes_of(model.state_dict()), shapes_of(tensors), CONFIG)
    model.load_state_dict(tensors)
    if (folder / CALIBRATION).exists():
        model.calibration = from_json(Calibration, read_json(folder / CALIBRATION, CURE), str(folder / CALIBRATION))
    model.settings = None if settings is None else _settings(settings, f"{place}, {SETTINGS!r}")
    return model.to(device).eval().requires_grad_(False)


def _shapes(config: ModelConfig, place: Path) -> Shapes | None:
    """Returns the shapes of a network's weights without making any number of them; None if its block needs numbers."""
    try:
        with without_numbers():
            return shapes_of(_built(config, place).state_dict())
    except (RuntimeError, TypeError):  # TypeError: for an array of numpy
        return None  # a custom block may read its own weights while it is built


def _built(config: ModelConfig, place: Path) -> Reasoner:
    try:
        return Reasoner(config)
    except InputError as error:
        raise InputError(f"{place}: {error}") from None


def shapes_of(tensors: Mapping[str, torch.Tensor]) -> Shapes:
    """Returns the shape of each tensor."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _settings(values: Any, place: str) -> Settings:
    """Builds the best settings from their JSON object; raises InputError for options that the engine refuses."""
    settings = from_json(Settings, values, place)
    try:
        config = SolveConfig(**vars(settings))
    except InputError as error:
        raise InputError(f"{place}: {error}") from None
    if isinstance(settings.breadth, int) and settings.breadth != 1:
        raise InputError(f"{place}: breadth is {settings.breadth}, it must be 1 or auto:K")
    for name, value, most in (
        ("depth", settings.depth, MOST_DEPTH),
        ("breadth", config.restarts, MOST_RESTARTS),
        ("suppose", settings.suppose, MOST_SUPPOSE),
        ("guesses", settings.guesses, MOST_SUPPOSE),
    ):
        if value > most:
            raise InputError(f"{place}: {name} is {value}, a model may ask for {most} at most: lower it")
    return settings


def published(name: str) -> dict[str, bytes]:
    """Returns the files of a model as the hub stores them; ``name`` is as for ``load``.

    Raises InputError if there is no model, or if a file is a link to a place outside of the model's folder.
    """
    folder, model = folder_of(name), load(name)
    # In the hub's cache a snapshot is made of links to the blobs beside it.
    home = (folder.parents[1] if is_on_hub(name) else folder).resolve()
    files = {}
    for file in (*PUBLISHED, CARD):
        if (folder / file).exists() or (folder / file).is_symlink():
            if not (folder / file).resolve().is_relative_to(home):
                raise InputError(f"{folder / file} is a link to a place outside of {folder}: copy the file there")
            files[file] = _published(folder / file)
    text = files.pop(CARD, files.get(README, b"")).decode() or _card(model)
    head = "" if text.startswith("---") else "---\nlibrary_name: eqr\ntags: [equilibrium-reasoner]\n---\n\n"
    return files | {README: (head + text).encode()}


def _published(path: Path) -> bytes:
    """Returns a file's bytes; a card must be text."""
    if path.name in (CARD, README):
        return read_text(path, "save the card as UTF-8").encode()
    return read_limited(path, CURE, path.stat().st_size)


def _card(model: Reasoner) -> str:
    """Returns the text of a card for a model that has none."""
    count, names = sum(weight.numel() for weight in model.parameters()), model.config.named()
    return (
        f"# {names['task']}\n\nAn Equilibrium Reasoner (EqR, arXiv 2605.21488) for {names['task']}: {names['block']} "
        f"block, {names['recursion']} recursion, {count:,} parameters. `eqr.load` reads it. This card does not say how "
        "the model was trained or how well it does.\n"
    )


def _object(path: Path) -> dict[str, Any]:
    values = read_json(path, CURE if path.exists() else f"{path.parent} is not a model folder")
    if not isinstance(values, dict):
        raise InputError(f"{path} holds no JSON object: {CURE}")
    return values


def _config(values: dict[str, Any], path: Path, task: Task | None, block: type[Block] | None) -> ModelConfig:
    """Builds a model's configuration from the object in ``path``; ``task`` and ``block`` replace the names there."""
    names = {key: values.pop(key, vars(ModelConfig)[key]) for key in ("task", "block", "recursion")}
    for key, name in names.items():
        if not isinstance(name, str) or len(name) > MOST_NAME:
            raise InputError(f"{path}: {key} is {reprlib.repr(name)}, it must be a name of up to {MOST_NAME} letters")
    options = values.pop("task_options", {})
    if not isinstance(options, dict):
        raise InputError(f"{path}: task_options holds no JSON object: {CURE}")
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
