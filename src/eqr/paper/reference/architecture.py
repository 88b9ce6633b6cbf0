"""The reference's ``config.arch``: every field of it that we know, and what we make of it.

A field that is not known is refused: passed over, it would make another network of the same weights.
"""

from eqr.errors import InputError, unknown

Arch = dict[str, object]
"""The fields of a network, by name; the values are what the file holds."""
EQR, TRM = "eqr@EqRModel", "trm@TRMModel"
USED = (
    *("name", "H_cycles", "L_cycles", "L_layers", "hidden_size", "num_heads", "mlp_t", "pos_encodings"),
    *("board_height", "board_width", "seq_len", "vocab_size", "puzzle_emb_len", "puzzle_emb_ndim"),
)
FIXED = {"H_layers": 0, "rms_norm_eps": 1e-5, "rope_theta": 10_000, "causal": False}
"""Fields of which we know one value only."""
IGNORED = (
    *("short_name", "loss", "batch_size", "forward_dtype", "expansion", "halt_exploration_prob", "halt_max_steps"),
    *("no_ACT_continue", "disable_act_halt", "act_inference", "halt_threshold", "halt_confirm_steps"),
    "halt_confirm_mode",
)
"""How it was trained, when it halted, in which precision; the weights' shapes tell the expansion, as it was rounded."""
EQR_ALONE = ("lambda_", "noise_scale", "H_init_std", "L_init_std")
ROTARY: dict[object, int] = {"none": 0, None: 0, "rope": 1, "rope2d": 2}
"""Axes of the rotary positions, by ``pos_encodings``."""
MOST = 2**16
"""No size is larger."""


def architecture(config: dict[object, object]) -> Arch:
    """``config.arch``; raises InputError naming a field, or a value of it, that is not known."""
    arch = config.get("arch")
    if not isinstance(arch, dict) or "name" not in arch:
        raise InputError("the checkpoint has no config.arch with a name: is it one of the reference trainer?")
    if arch["name"] not in (EQR, TRM):
        raise unknown("config.arch.name", shown(arch["name"]), (EQR, TRM))
    known = (*USED, *FIXED, *IGNORED, *(EQR_ALONE if arch["name"] == EQR else ()))
    for name, value in arch.items():
        if name not in known:
            raise unknown("config.arch: field", shown(name), known)
        if name in FIXED and value != FIXED[name]:
            raise InputError(f"config.arch.{name} is {shown(value)}: only {FIXED[name]} can be imported")
    if not isinstance(arch.get("mlp_t", False), bool):
        raise InputError(f"config.arch.mlp_t is {shown(arch['mlp_t'])}: True or False is needed")
    positions = arch.get("pos_encodings", "")
    if not isinstance(positions, str | None) or positions not in ROTARY:
        raise unknown("config.arch.pos_encodings", shown(positions), [str(name) for name in ROTARY])
    return arch


def count(arch: Arch, name: str) -> int:
    """A size, 1 or more; raises InputError if it is missing or something else."""
    value = arch.get(name)
    if type(value) is not int or not 0 < value <= MOST:
        raise InputError(f"config.arch.{name} is {shown(value)}: a whole number from 1 to {MOST} is needed")
    return value


def number(arch: Arch, name: str, default: float) -> float:
    """A number, 0 or more; raises InputError if it is something else."""
    value = arch.get(name, default)
    if not isinstance(value, int | float) or not 0 <= value <= MOST:
        raise InputError(f"config.arch.{name} is {shown(value)}: a number from 0 to {MOST} is needed")
    return float(value)


def shown(value: object) -> str:
    """A value of a file for a message: on one line, and not what may be too deep or too long to print."""
    if isinstance(value, str):
        return repr(value[:80])[1:-1]
    if value is None or isinstance(value, float) or (isinstance(value, int) and abs(value) <= 10 * MOST):
        return str(value)
    return "something else"
