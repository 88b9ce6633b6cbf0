"""The known fields of the reference's ``config.arch``, and their use here.

An unknown field is refused: if it were ignored, the same weights could make a different network.
"""

from eqr.errors import InputError, unknown

Arch = dict[str, object]
"""The fields of a network, by name, with the values that the file holds."""
EQR, TRM = "eqr@EqRModel", "trm@TRMModel"
USED = (
    *("name", "H_cycles", "L_cycles", "L_layers", "hidden_size", "num_heads", "mlp_t", "pos_encodings"),
    *("board_height", "board_width", "seq_len", "vocab_size", "puzzle_emb_len", "puzzle_emb_ndim"),
)
FIXED = {"H_layers": 0, "rms_norm_eps": 1e-5, "rope_theta": 10_000, "causal": False}
"""Fields with a single known value."""
IGNORED = (
    *("short_name", "loss", "batch_size", "forward_dtype", "expansion", "halt_exploration_prob", "halt_max_steps"),
    *("no_ACT_continue", "disable_act_halt", "act_inference", "halt_threshold", "halt_confirm_steps"),
    "halt_confirm_mode",
)
"""Fields about training, halting and precision; also the expansion, which the shapes of the weights tell as rounded."""
EQR_ALONE = ("lambda_", "noise_scale", "H_init_std", "L_init_std")
ROTARY: dict[object, int] = {"none": 0, None: 0, "rope": 1, "rope2d": 2}
"""Axes of the rotary positions, by ``pos_encodings``."""
MOST = 2**16
"""Largest size accepted."""


def architecture(config: dict[object, object]) -> Arch:
    """Returns ``config.arch``; raises InputError naming a field, or a field's value, that is not known."""
    arch = config.get("arch")
    if not isinstance(arch, dict) or "name" not in arch:
        raise InputError("the checkpoint has no config.arch with a name: is it from the reference trainer?")
    if arch["name"] not in (EQR, TRM):
        raise unknown("config.arch.name", shown(arch["name"]), (EQR, TRM))
    known = (*USED, *FIXED, *IGNORED, *(EQR_ALONE if arch["name"] == EQR else ()))
    for name, value in arch.items():
        if name not in known:
            raise unknown("config.arch: field", shown(name), known)
        if name in FIXED and value != FIXED[name]:
            raise InputError(f"config.arch.{name} is {shown(value)}: only {FIXED[name]} can be imported")
    if not isinstance(arch.get("mlp_t", False), bool):
        raise InputError(f"config.arch.mlp_t is {shown(arch['mlp_t'])}: it must be True or False")
    positions = arch.get("pos_encodings", "")
    if not isinstance(positions, str | None) or positions not in ROTARY:
        raise unknown("config.arch.pos_encodings", shown(positions), [str(name) for name in ROTARY])
    return arch


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


def shown(value: object) -> str:
    """A value of a file as text for a message: on one line, and "something else" if it may be too deep or too long."""
    if isinstance(value, str):
        return repr(value[:80])[1:-1]
    if value is None or isinstance(value, float) or (isinstance(value, int) and abs(value) <= 10 * MOST):
        return str(value)
    return "something else"
