"""Reads a checkpoint: which tensors of a file are the network's weights, and where the configuration lies.

The trainer of EqR saves weights, their average and its configuration in one file; the trainers of HRM and TRM save the
weights alone, and ``all_config.yaml`` beside them. Knows no sizes of a network.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from eqr.errors import InputError, shown
from eqr.paper.reference.configuration import BESIDE, read_config
from eqr.storage.archive import opened
from eqr.storage.pickles import Described

CURE = "give the weights of a run"
STATES = ("model", "state_dict", "model_state_dict")
"""Keys of the weights in a file that holds more than weights."""
WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module")
"""Parts of a name that parallel and compiled modules add, anywhere."""
OUTER = ("model", "inner")
"""The loss head and the halting wrapper, which hold the network."""
CACHE = re.compile(
    r"(.+\.)?((rotary_emb|carry|inner_carry|current_data)\..+|(cos|sin)_cached|inv_freq|local_weights|local_ids)"
)
"""Names of tensors that a network computes anew: rotary positions, the state of a batch, rows of the embedding."""
BUFFERS = frozenset(["H_init", "L_init", "puzzle_emb.weights"])
"""Tensors that the trainers keep out of the average, because they are no parameters."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """The parts of a checkpoint that make the model."""

    tensors: dict[str, Tensor]
    """Weights and buffers in float32, by their names in the inner network."""
    config: dict[object, object]
    """The configuration of the run; its ``arch`` describes the network."""
    weights: str = "weights as saved"
    """Which weights they are: "EMA weights", which EqR evaluates; "weights of the last step"; or "weights as saved"."""
    notes: tuple[str, ...] = ()
    """Sentences about tensors that were left out or taken from elsewhere."""


def read_checkpoint(path: Path, config: Path | None = None) -> Checkpoint:
    """Reads the weights, averaged ones if there are any, and the configuration.

    The configuration is the file ``config``, else the one in the checkpoint, else ``all_config.yaml`` beside it. Raises
    InputError if a file is something else, is damaged, or would call anything when unpickled.
    """
    with opened(path, CURE) as file:
        content = file.content()
        content = content if isinstance(content, dict) else {}
        state = next((content[key] for key in STATES if isinstance(content.get(key), dict)), content)
        average = content.get("ema")
        average = average.get("shadow", average) if isinstance(average, dict) else None
        last, caches = _named(path, state)
        averaged, others = _named(path, average)
        if not last and not averaged:
            raise InputError(f"{path} holds no weights: give the file that the trainer saved")
        chosen = _configuration(path, content.get("config"), config)
        saved = "weights as saved" if state is content else "weights of the last step"
        return Checkpoint(
            tensors=file.tensors({**last, **averaged}),
            config=chosen,
            weights="EMA weights" if averaged else saved,
            notes=(*_left_out({*caches, *others}), *(_mixed(last, averaged) if averaged else ())),
        )


def _configuration(path: Path, own: object, given: Path | None) -> dict[object, object]:
    if given is None and isinstance(own, dict):
        return own
    beside = path.parent / BESIDE
    if given is None and not beside.exists():
        raise InputError(
            f"{path} holds weights without their configuration, and no {BESIDE} lies beside it: give the "
            "configuration of the run with --config FILE"
        )
    return read_config(given or beside)


def _named(path: Path, state: object) -> tuple[dict[str, Described], set[str]]:
    """Returns the tensors of a state dict by their names in the inner network, and the names of its caches."""
    tensors: dict[str, Described] = {}
    caches: set[str] = set()
    for name, tensor in state.items() if isinstance(state, dict) else ():
        if not isinstance(name, str) or not isinstance(tensor, Described):
            continue
        inner = inner_name(name)
        if CACHE.fullmatch(inner):
            caches.add(inner)
        elif inner in tensors:
            raise InputError(f"{path} holds the tensor '{shown(inner)}' twice: it is not a checkpoint of one network")
        else:
            tensors[inner] = tensor
    return tensors, caches


def inner_name(name: str) -> str:
    """Returns the name of a tensor in the inner network: without wrappers, in whatever order they stand."""
    parts = [part for part in name.split(".") if part not in WRAPPERS]
    first = next((number for number, part in enumerate(parts) if part not in OUTER), len(parts))
    return ".".join(parts[first:])


def _left_out(caches: set[str]) -> list[str]:
    return [f"left out what a network computes anew: {_listed(caches)}"] if caches else []


def _mixed(last: dict[str, Described], averaged: dict[str, Described]) -> list[str]:
    """Sentences about an average that does not cover the parameters."""
    notes = []
    if missing := last.keys() - averaged.keys() - BUFFERS:
        notes.append(f"the EMA lacks {_listed(missing)}: taken from the weights of the last step")
    if last and (more := averaged.keys() - last.keys()):
        notes.append(f"the weights of the last step lack {_listed(more)}: taken from the EMA")
    return notes


def _listed(names: Iterable[str]) -> str:
    """The number of the names, and the first three."""
    listed = sorted(names)
    more = ", ..." if len(listed) > 3 else ""
    return f"{len(listed)} tensor{'s' * (len(listed) > 1)} ({', '.join(map(shown, listed[:3]))}{more})"
