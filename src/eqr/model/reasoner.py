"""The Reasoner: embed a puzzle to x, draw a state z, update it, decode it. Knows no data, loss, depth or halting.

No method draws noise or reads global state; ``update`` adds the noise it is given.
"""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from eqr.errors import InputError, unknown
from eqr.model.blocks import BLOCKS, BlockConfig
from eqr.model.layers import RuleEmbedding, truncated_normal, weight
from eqr.model.recursion import RECURSIONS
from eqr.tasks import Task, task_named
from eqr.tasks.grid import Grid, GridConfig
from eqr.types import Calibration, Embedded, Logits, Noise, State

STARTS = ("normal", "truncated", "fixed")
HALT_HEADS = ("pooled", "first")
POSITIVE = ("channels", "layers", "token_hidden", "heads", "cycles", "updates_per_segment", "expansion")


@dataclass(frozen=True, kw_only=True)
class ModelConfig(BlockConfig):
    """Everything needed to build a Reasoner; saved beside its weights."""

    task: str = "sudoku"
    """Family and size of the puzzles, as ``task_named`` reads it: sudoku, sudoku4, maze30, ..."""
    grid: GridConfig | None = None
    """Board of the task ``grid``, and of no other."""
    block: str = "relation"
    """Key in BLOCKS."""
    layers: int = 1
    """Blocks in one stack."""
    recursion: str = "flat"
    """Key in RECURSIONS: flat, hierarchical (TRM, EqR) or two_modules (HRM)."""
    cycles: int = 6
    """Calls on the scratch stream in one update (L_cycles); ``flat`` has none."""
    updates_per_segment: int = 4
    """Updates in one segment, the unit of depth (H_cycles)."""
    damping: float = 0.0
    """Share of the old state kept by a call of the block stack (lambda of the paper)."""
    init: str = "normal"
    """Start of a row: normal or truncated (at two standard deviations), both random; or fixed, the same for all."""
    init_std: float = 1.0
    """Standard deviation of the start; of the answer stream, if there are two."""
    scratch_std: float = 1.0
    """Standard deviation of the scratch stream's start."""
    learned_positions: bool = True
    """A learned vector for each cell, for blocks that tell cells apart by nothing else (``mixer``, ``symbol``)."""
    scaled_embedding: bool = False
    """Symbol vectors are kept divided by sqrt(C), so that Adam moves them faster (as in HRM, TRM and EqR)."""
    halt_head: str = "pooled"
    """What the halting head sees: pooled (mean and maximum over all cells), or the first cell (or prefix token)."""
    halt_bias: float = -3.0
    """Bias of the untrained halting head; negative, so that nothing halts at first (arXiv 2604.21999)."""

    def __post_init__(self) -> None:
        for kind, name, known in (
            ("block", self.block, BLOCKS),
            ("recursion", self.recursion, RECURSIONS),
            ("init", self.init, STARTS),
            ("halt_head", self.halt_head, HALT_HEADS),
        ):
            if name not in known:
                raise unknown(kind, name, known)
        task = task_named(self.task, self.grid)
        if task.layout.rules and not BLOCKS[self.block].per_symbol:
            raise InputError(
                f"the {self.block} block cannot be told what colours mean: take model.block=axial, relation or symbol"
            )
        for name in POSITIVE:
            if not vars(self)[name] > 0:
                raise InputError(f"model.{name} is {vars(self)[name]}: more than 0 is needed")
        if self.rotary not in (0, 1, 2) or self.prefix_tokens < 0:
            raise InputError(
                f"model.rotary is {self.rotary}, model.prefix_tokens {self.prefix_tokens}: "
                "rotary is 0, 1 or 2, and prefix tokens are 0 or more"
            )
        if not 0 <= self.damping < 1:
            raise InputError(f"model.damping is {self.damping}: 0 or more, and less than 1, is needed")
        if self.prefix_tokens and self.block not in ("mixer", "attention"):
            raise InputError(
                f"model.prefix_tokens={self.prefix_tokens}: the {self.block} block takes none, set it to 0"
            )


class Reasoner(nn.Module):
    """A weight-tied network whose fixed points answer puzzles."""

    def __init__(self, config: ModelConfig, generator: torch.Generator | None = None) -> None:
        super().__init__()
        generator = generator or torch.Generator().manual_seed(0)
        self.config, self.task = config, task_named(config.task, config.grid)
        self.calibration: Calibration | None = None
        self.recursion = RECURSIONS[config.recursion]
        layout, block, channels = self.task.layout, BLOCKS[config.block], config.channels
        self.per_symbol = block.per_symbol
        width = layout.symbols * channels if block.per_symbol else channels
        self.state_shape = (self.recursion.streams, config.prefix_tokens + layout.cells, width)
        # Per symbol and its kind: blank, given and this symbol, given and another. Per cell: blank or the given symbol.
        kinds = 3 * (1 + max(layout.symbol_kinds, default=0)) if block.per_symbol else layout.symbols + 1
        self.embedding_scale = channels**0.5 if config.scaled_embedding else 1.0
        self.symbol_embedding = nn.Parameter(
            truncated_normal((kinds, channels), 1 / self.embedding_scale, generator)
            if config.scaled_embedding
            else torch.randn(kinds, channels, generator=generator)
        )
        self.position_embedding = (
            nn.Parameter(0.3 / self.embedding_scale * torch.randn(layout.cells, channels, generator=generator))
            if block.positions and config.learned_positions
            else None
        )
        self.rules = RuleEmbedding(layout, channels, generator) if layout.rules else None
        self.symbol_kinds = nn.Buffer(torch.tensor(layout.symbol_kinds or (0,) * layout.symbols), persistent=False)
        self.prefix = nn.Parameter(torch.zeros(config.prefix_tokens, channels)) if config.prefix_tokens else None
        self.blocks = nn.ModuleList(
            block(layout, config, generator) for _ in range(self.recursion.stacks * config.layers)
        )
        self.answer_head = weight(1 if block.per_symbol else layout.symbols, channels, generator)
        self.halt_head = nn.Parameter(torch.zeros(2 * channels if config.halt_head == "pooled" else channels))
        self.halt_bias = nn.Parameter(torch.tensor(config.halt_bias))
        if config.init == "fixed":
            self.start = nn.Buffer(self._random_start(1, generator)[0, :, :1].clone())

    def for_task(self, task: Task) -> "Reasoner":
        """This reasoner for puzzles of ``task``, by the same weights (not copies): itself if they are its own task's.

        Raises InputError if the task is of another family, or the weights are bound to the size of the board.
        """
        if task is self.task:
            return self
        akin = type(task) is type(self.task) and (not isinstance(task, Grid) or task.config == self.config.grid)
        other = Reasoner(replace(self.config, task=task.name)) if akin else self
        bound = [name for name, tensor in other.state_dict().items() if tensor.shape != self.state_dict()[name].shape]
        if bound or not akin:
            what = f"its {bound[0]} is bound to the board" if bound else "the puzzles are of another kind"
            raise InputError(
                f"this model answers {self.task.name}, not {task.name} ({what}): give {self.task.name} puzzles, "
                "or train a model whose block depends on no size, such as conv"
            )
        other.task = task  # it may bring a checker along
        other.load_state_dict(self.state_dict(keep_vars=True), assign=True)
        other.calibration = self.calibration
        return other.to(self.answer_head.device).train(self.training)

    @property
    def calls_per_update(self) -> int:
        """Calls of a block stack in one update; each has noise of its own."""
        return self.recursion.calls(self.config.cycles)

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """(U, N, C, D) of the noise of one row's segment."""
        return (self.config.updates_per_segment, self.calls_per_update, *self.state_shape[1:])

    def embed(self, ids: Int[Tensor, "R L"]) -> Embedded:
        """(R, L) ids, 0 = blank, to the injected input x (R, C, D); prefix tokens come first."""
        header, ids = torch.split(ids, [self.task.layout.rule_cells, self.task.layout.cells], 1)
        kind = ids.unsqueeze(-1)
        if self.per_symbol:
            symbols = torch.arange(1, self.task.layout.symbols + 1, device=ids.device)
            kind = torch.where(kind == 0, 0, torch.where(kind == symbols, 1, 2)) + 3 * self.symbol_kinds
        x = self.symbol_embedding[kind]
        if self.position_embedding is not None:
            x = x + self.position_embedding.unsqueeze(1)
        if self.rules is not None:
            x = x + self.rules(*self.task.named_rule(header)).unsqueeze(1)
        x = x.flatten(-2)
        if self.prefix is not None:
            x = torch.cat([self.prefix.expand(ids.shape[0], -1, -1), x], 1)
        return x * self.embedding_scale if self.config.scaled_embedding else x

    def init(self, rows: int, generator: torch.Generator) -> State:
        """Start (R, S, C, D): random (EqR section 4.1, random initialisation), or the fixed one of TRM."""
        if self.config.init == "fixed":
            return self.start.expand(rows, *self.state_shape).clone()
        return self._random_start(rows, generator)

    def _random_start(self, rows: int, generator: torch.Generator) -> State:
        shape, config = (rows, *self.state_shape), self.config
        std = torch.tensor([config.init_std, config.scratch_std], device=generator.device)[: self.recursion.streams]
        values = (
            torch.randn(shape, generator=generator, device=generator.device)
            if config.init == "normal"
            else truncated_normal(shape, 1.0, generator)
        )
        return values * std.view(-1, 1, 1)

    def update(self, z: State, x: Embedded, noise: Noise | None = None) -> State:
        """One application of the map f; its fixed points are the model's answers.

        ``noise`` (R, N, C, D), if given, is added to the outcome of each of the N = ``calls_per_update`` calls.
        """
        layers, damping = self.config.layers, self.config.damping
        added = [] if noise is None else list(noise.unbind(1))

        def call(stack: int, h: Embedded, injection: Embedded) -> Embedded:
            new = h + injection
            for number in range(stack * layers, (stack + 1) * layers):
                new = self.blocks[number](new)
            if damping:
                new = torch.lerp(new, h, damping)
            return new + added.pop(0) if added else new

        return self.recursion.update(call, z, x, self.config.cycles)

    def segment(self, z: State, x: Embedded) -> State:
        """``updates_per_segment`` updates."""
        for _ in range(self.config.updates_per_segment):
            z = self.update(z, x)
        return z

    def decode(self, z: State) -> Logits:
        """(R, L, V) scores of the symbols 1..V; a header has none, all its scores are 0."""
        return F.pad(self._board_logits(z), (0, 0, self.task.layout.rule_cells, 0))

    def _board_logits(self, z: State) -> Float[Tensor, "R B V"]:
        h = z[:, 0, self.config.prefix_tokens :]
        if self.per_symbol:
            # A matrix-vector product would round differently from batch to batch.
            return (h.view(*h.shape[:2], -1, self.config.channels) * self.answer_head).sum(-1)
        return F.linear(h, self.answer_head)

    def halt_logit(self, z: State) -> Float[Tensor, " R"]:
        """(R,) score that the decoded answer is right in every cell; above 0 means halt."""
        if self.config.halt_head == "first":
            seen = z[:, 0, 0]
        else:
            h = z[:, 0].reshape(z.shape[0], -1, self.config.channels)
            seen = torch.cat([h.mean(1), h.amax(1)], -1)
        score: Tensor = (seen * self.halt_head).sum(-1)
        return score + self.halt_bias
