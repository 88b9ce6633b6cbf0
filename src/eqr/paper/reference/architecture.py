"""The known fields of the reference's ``config.arch``, and their use here.

An unknown field is refused: if it were ignored, the same weights could make a different network.
"""

from typing import NamedTuple

from eqr.errors import InputError, shown, unknown

Arch = dict[str, object]
"""The fields of a network, by name, with the values that the file holds."""
MOST = 2**16
"""Largest size accepted."""


class Network(NamedTuple):
    """The properties in which the networks differ."""

    random_start: bool = False
    """EqR: rows start at random, and calls are damped. The others start at two saved vectors."""
    modules: tuple[str, ...] = ("L_level",)
    """Names of the modules with weights of their own, the one for the scratch stream first."""
    prefix: int = 0
    """Prefix tokens if ``puzzle_emb_len`` is missing; 0 for as many as the puzzle embedding fills."""


TRM = Network()
HRM = Network(modules=("L_level", "H_level"))
NETWORKS = {
    "eqr@EqRModel": Network(random_start=True),
    "trm@TRMModel": TRM,
    "trm@TinyRecursiveReasoningModel_ACTV1": TRM,
    "recursive_reasoning.trm@TinyRecursiveReasoningModel_ACTV1": Network(prefix=16),
    "hrm@HRMModel": HRM,
    "hrm.hrm_act_v1@HierarchicalReasoningModel_ACTV1": HRM,
    "recursive_reasoning.hrm@HierarchicalReasoningModel_ACTV1": HRM,
}
"""The networks by ``config.arch.name``: of EqR's trainer, of TRM's, of HRM's."""
IMPORTED = "only the networks of EqR, TRM and HRM are imported, and HRM's only with as many H_layers as L_layers"
"""docs/paper.md says it in the same words."""
USED = (
    *("name", "H_cycles", "L_cycles", "L_layers", "hidden_size", "num_heads", "mlp_t", "pos_encodings"),
    *("board_height", "board_width", "seq_len", "vocab_size", "puzzle_emb_len", "puzzle_emb_ndim"),
)
FIXED = {"rms_norm_eps": 1e-5, "rope_theta": 10_000, "causal": False}
"""Fields with a single known value."""
IGNORED = (
    *("short_name", "loss", "batch_size", "forward_dtype", "expansion", "halt_exploration_prob", "halt_max_steps"),
    *("no_ACT_continue", "disable_act_halt", "act_inference", "halt_threshold", "halt_confirm_steps"),
    *("halt_confirm_mode", "num_puzzle_identifiers", "H_layers"),
)
"""Fields about training, halting and precision; also sizes that the shapes of the weights tell, and the number of
H_layers, which only HRM reads.
"""
EQR_ALONE = ("lambda_", "noise_scale", "H_init_std", "L_init_std")
ROTARY: dict[object, int] = {"none": 0, None: 0, "rope": 1, "rope2d": 2}
"""Axes of the rotary positions, by ``pos_encodings``."""


def architecture(config: dict[object, object]) -> tuple[Arch, Network]:
    """Returns ``config.arch`` and its network; raises InputError naming a field or a value that cannot be imported."""
    arch = config.get("arch")
    if not isinstance(arch, dict) or "name" not in arch:
        raise InputError("the configuration has no arch with a name: is it of the trainer of EqR, TRM or HRM?")
    name = arch["name"]
    if not isinstance(name, str) or name not in NETWORKS:
        raise InputError(f"config.arch.name is '{shown(name)}': {IMPORTED}")
    network = NETWORKS[name]
    known = (*USED, *FIXED, *IGNORED, *(EQR_ALONE if network.random_start else ()))
    for field, value in arch.items():
        if field not in known:
            raise unknown("config.arch: field", shown(field), known)
        if field in FIXED and value != FIXED[field]:
            raise InputError(f"config.arch.{field} is {shown(value)}: only {FIXED[field]} can be imported")
    if len(network.modules) > 1 and arch.get("H_layers") != arch.get("L_layers"):
        layers = f"{shown(arch.get('H_layers'))} H_layers and {shown(arch.get('L_layers'))} L_layers"
        raise InputError(f"config.arch has {layers}: {IMPORTED}")
    if not isinstance(arch.get("mlp_t", False), bool):
        raise InputError(f"config.arch.mlp_t is {shown(arch['mlp_t'])}: it must be True or False")
    positions = arch.get("pos_encodings", "")
    if not isinstance(positions, str | None) or positions not in ROTARY:
        raise InputError(f"config.arch.pos_encodings is '{shown(positions)}': only none, rope and rope2d are imported")
    return arch, network


def count(arch: Arch, name: str) -> int:
    """Returns the size ``name``, 1 or more; raises InputError if the field is missing or has another value."""
    value = arch.get(name)
    if type(value) is not int or not 0 < value <= MOST:
        raise InputError(f"config.arch.{name} is {shown(value)}: a whole number from 1 to {MOST} is needed")
    return value


def number(arch: Arch, name: str, default: float) -> float:
    """Returns the number ``name``, 0 or more; raises InputError if the field has another value."""
    value = arch.get(name, default)
    if not isinstance(value, int | float) or not 0 <= value <= MOST:
        raise InputError(f"config.arch.{name} is {shown(value)}: a number from 0 to {MOST} is needed")
    return float(value)
