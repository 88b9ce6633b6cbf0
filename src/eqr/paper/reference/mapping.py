"""Maps the reference's network to a Reasoner: sizes come from configuration and weights, tensors by name.

A tensor without a counterpart is refused. Ours differ in how ids are numbered, and lack the second halting score (to
continue): the first is the logit that the answer is right.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from eqr.errors import InputError, shown
from eqr.model import ModelConfig, Reasoner
from eqr.model.blocks import BLOCKS
from eqr.model.reasoner import name_in
from eqr.paper.reference.architecture import ROTARY, Arch, Network, architecture, count, number
from eqr.paper.reference.reading import Checkpoint
from eqr.tasks import Task, task_named

BOARDS = {"sudoku": 81, "maze": 900}
"""Cells of a board in the reference's data sets, by a word in the set's name."""
EMBEDDING, PUZZLE = "embed_tokens.embedding_weight", "puzzle_emb.weights"
TOKENS_IN, CHANNELS_IN = (f"L_level.layers.0.{part}.gate_up_proj.weight" for part in ("mlp_t", "mlp"))
CHANNEL_MIXING = {"channel_in": "mlp.gate_up_proj", "channel_out": "mlp.down_proj"}
KNOWN = ("sudoku", "sudoku6", "sudoku4", "maze")
"""Tasks that a checkpoint may answer."""
WEIGHTS = {
    "mixer": {"token_in": "mlp_t.gate_up_proj", "token_out": "mlp_t.down_proj"} | CHANNEL_MIXING,
    "attention": {"qkv": "self_attn.qkv_proj", "out": "self_attn.o_proj"} | CHANNEL_MIXING,
}
"""Names of a block's matrices: ours, and the reference's."""


def to_reasoner(checkpoint: Checkpoint, cells: int | None = None) -> Reasoner:
    """Converts a checkpoint to a Reasoner, ready for inference; ``cells`` of a board are needed if the file lacks them.

    Raises InputError naming a field of ``config.arch`` or a tensor that is unknown, missing or of another shape.
    """
    (arch, network), tensors = architecture(checkpoint.config), checkpoint.tensors
    mixer, channels = arch.get("mlp_t", False) is True, count(arch, "hidden_size")
    prefix = _prefix(arch, network, channels)
    task = _task(arch, _cells(checkpoint, arch, prefix, cells), _rows(tensors, EMBEDDING))
    config = ModelConfig(
        task=task.name,
        block="mixer" if mixer else "attention",
        channels=channels,
        layers=count(arch, "L_layers"),
        expansion=_expansion(_rows(tensors, CHANNELS_IN) // 2, channels),
        token_hidden=_rows(tensors, TOKENS_IN) // 2 if mixer else ModelConfig.token_hidden,
        prefix_tokens=prefix,
        heads=count(arch, "num_heads"),
        rotary=0 if mixer else _rotary(arch, task),
        learned_positions=False,
        recursion="two_modules" if len(network.modules) > 1 else "hierarchical",
        cycles=count(arch, "L_cycles"),
        updates_per_segment=count(arch, "H_cycles"),
        damping=round(1 - number(arch, "lambda_", 0.95), 12) if network.random_start else 0.0,
        init="truncated" if network.random_start else "fixed",
        init_std=number(arch, "H_init_std", 1.0),
        scratch_std=number(arch, "L_init_std", 1.0),
        halt_head="first",
        scaled_embedding=True,
        halt_bias=-5.0,  # the reference's value for an untrained head
    )
    places = _places(config, network)
    _refuse_other_tensors(tensors, _shapes(config, task, arch, places))
    model = Reasoner(config)
    model.load_state_dict(_state(config, task, tensors, places))
    return model.eval()


def _prefix(arch: Arch, network: Network, channels: int) -> int:
    """Number of prefix tokens: as configured, else as many as the network has or as the puzzle embedding fills."""
    if arch.get("puzzle_emb_len"):
        return count(arch, "puzzle_emb_len")
    if not arch.get("puzzle_emb_ndim"):
        return 0
    filled = math.ceil(count(arch, "puzzle_emb_ndim") / channels)
    return filled if "puzzle_emb_len" in arch else network.prefix or filled


def _cells(checkpoint: Checkpoint, arch: Arch, prefix: int, given: int | None) -> int:
    """Cells of a board, from the mixer's weights, else the option ``given``, else the data set's name."""
    mixing = checkpoint.tensors.get(TOKENS_IN)
    known = [cells for kind, cells in BOARDS.items() if kind in _dataset(checkpoint.config)]
    if mixing is not None and mixing.ndim == 2:
        cells = mixing.shape[1] - prefix
    elif given is not None or known:
        cells = known[0] if given is None else given
    else:
        raise InputError("the checkpoint does not tell how many cells a board has: give --cells")
    if given not in (None, cells) or arch.get("seq_len", cells) not in (cells, cells + prefix):
        source = f"--cells {given}" if given not in (None, cells) else f"config.arch.seq_len {shown(arch['seq_len'])}"
        raise InputError(f"{source} does not fit the checkpoint's boards of {cells} cells")
    return cells


def _dataset(config: dict[object, object]) -> str:
    """Returns the name of the data set (EqR), or of its first folder (HRM, TRM); empty if neither is given."""
    dataset = config.get("dataset")
    names = dataset.get("name") if isinstance(dataset, dict) else dataset
    for value in (names, config.get("data_path"), config.get("data_paths")):
        for name in value if isinstance(value, list) else [value]:
            if isinstance(name, str):
                return name.lower()
    return ""


def _task(arch: Arch, cells: int, vocabulary: int) -> Task:
    """The task with boards of ``cells`` and this vocabulary: padding, a blank if clues are fixed, and the symbols."""
    if arch.get("vocab_size", vocabulary) != vocabulary:
        raise InputError(f"config.arch.vocab_size is {shown(arch['vocab_size'])}, but {vocabulary} are embedded")
    tasks = [task_named(name).sized(cells) for name in KNOWN]
    known = {task.name: (task.layout.cells, _vocabulary(task)) for task in tasks}
    for task in tasks:
        if (task.layout.cells, _vocabulary(task)) == (cells, vocabulary):
            return task
    raise InputError(
        f"no task has boards of {cells} cells and a vocabulary of {vocabulary} as the checkpoint has (known are "
        f"{', '.join(f'{name} with {sizes[0]} and {sizes[1]}' for name, sizes in known.items())}): "
        f"an attention model may need --cells"
    )


def _vocabulary(task: Task) -> int:
    return task.layout.symbols + 1 + task.layout.clues_fixed


def _rotary(arch: Arch, task: Task) -> int:
    """Axes of the rotary positions; raises InputError if the positions belong to a board of another shape."""
    kind, layout = arch["pos_encodings"], task.layout
    board = arch.get("board_height"), arch.get("board_width")
    if None in board:  # the reference then assumes a square board
        board = (math.isqrt(layout.cells),) * 2
    if kind == "rope2d" and board != (layout.rows, layout.cols):
        raise InputError(
            f"config.arch has a board of {shown(board[0])} x {shown(board[1])} cells, {task.name} has one of "
            f"{layout.rows} x {layout.cols}: its positions cannot be imported"
        )
    return ROTARY[kind]


def _expansion(hidden: int, channels: int) -> float:
    """The factor for which ``int(channels * factor)`` is ``hidden``."""
    factor = hidden / channels
    return factor if int(channels * factor) == hidden else math.nextafter(factor, math.inf)


def _places(config: ModelConfig, network: Network) -> dict[str, str]:
    """The reference's name of each of our blocks' matrices; the blocks of a module follow those of the one before."""
    parts = WEIGHTS[name_in(BLOCKS, config.block)]
    layers = [(module, layer) for module in network.modules for layer in range(config.layers)]
    return {
        f"blocks.{number}.{ours}": f"{module}.layers.{layer}.{theirs}.weight"
        for number, (module, layer) in enumerate(layers)
        for ours, theirs in parts.items()
    }


def _shapes(config: ModelConfig, task: Task, arch: Arch, places: dict[str, str]) -> dict[str, tuple[int, ...]]:
    """Shapes of all tensors that the reference saves for this network."""
    width, hidden, token_hidden = config.channels, int(config.channels * config.expansion), config.token_hidden
    tokens, symbols = config.prefix_tokens + task.layout.cells, (_vocabulary(task), width)
    shapes: dict[str, tuple[int, ...]] = {EMBEDDING: symbols, "lm_head.weight": symbols}
    shapes |= {"q_head.weight": (2, width), "q_head.bias": (2,)}
    if config.init == "fixed":
        shapes |= {"H_init": (width,), "L_init": (width,)}
    if config.prefix_tokens:
        shapes[PUZZLE] = (1, count(arch, "puzzle_emb_ndim"))
    mixing = {
        "token_in": (2 * token_hidden, tokens),
        "token_out": (tokens, token_hidden),
        "qkv": (3 * width, width),
        "out": (width, width),
        "channel_in": (2 * hidden, width),
        "channel_out": (width, hidden),
    }
    return shapes | {theirs: mixing[ours.rpartition(".")[2]] for ours, theirs in places.items()}


def _refuse_other_tensors(tensors: dict[str, Tensor], shapes: dict[str, tuple[int, ...]]) -> None:
    puzzles = tensors.get(PUZZLE)
    if PUZZLE in shapes and puzzles is not None and puzzles.ndim == 2 and len(puzzles) > 1:
        raise InputError(
            f"the checkpoint has {len(puzzles)} puzzle embeddings, one for each puzzle of its training: only networks "
            f"with one for all puzzles are imported"
        )
    for name, shape in shapes.items():
        if name not in tensors:
            raise InputError(f"the checkpoint lacks the tensor {name!r}, which its config.arch asks for")
        if tuple(tensors[name].shape) != shape:
            raise InputError(f"tensor {name!r} is {tuple(tensors[name].shape)}, its config.arch asks for {shape}")
    left = sorted(tensors.keys() - shapes.keys())
    if left:
        raise InputError(
            f"tensor '{shown(left[0])}' is not one of a network with this config.arch ({len(left)} left over)"
        )


def _state(config: ModelConfig, task: Task, tensors: dict[str, Tensor], places: dict[str, str]) -> dict[str, Tensor]:
    """The state dict of a Reasoner. Its id 0 is blank; the reference's id 0 is padding, and id 1 is blank if clues are
    fixed.
    """
    embedding = tensors[EMBEDDING]
    state = {
        "symbol_embedding": embedding[1:] if task.layout.clues_fixed else embedding,
        "answer_head": tensors["lm_head.weight"][-task.layout.symbols :],
        "halt_head": tensors["q_head.weight"][0],
        "halt_bias": tensors["q_head.bias"][0],
    }
    if config.prefix_tokens:
        puzzle = tensors[PUZZLE][0]
        filled = F.pad(puzzle, (0, config.prefix_tokens * config.channels - len(puzzle)))
        state["prefix"] = filled.view(config.prefix_tokens, config.channels)
    if config.init == "fixed":
        state["start"] = torch.stack([tensors["H_init"], tensors["L_init"]]).unsqueeze(1)
    return state | {ours: tensors[theirs] for ours, theirs in places.items()}


def _rows(tensors: dict[str, Tensor], name: str) -> int:
    """Rows of a matrix."""
    if name not in tensors or tensors[name].ndim != 2:
        raise InputError(f"the checkpoint lacks the matrix {name!r}")
    return tensors[name].shape[0]
