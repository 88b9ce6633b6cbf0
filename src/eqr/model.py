"""The Reasoner: embed a puzzle to x, draw a state z, update it, decode it. Knows no data, loss, depth or halting.

Flat recursion (S = 1), EqR arXiv 2605.21488 Eq. 1: ``update(z, x) = z + (1 - damping) * (F(z + x) - z)``.
No method adds noise or reads global state.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from eqr.blocks import BLOCKS, BlockConfig
from eqr.errors import InputError, unknown
from eqr.layers import weight
from eqr.tasks import TASKS
from eqr.types import Calibration, Embedded, Logits, State


@dataclass(frozen=True, kw_only=True)
class ModelConfig(BlockConfig):
    """Everything needed to build a Reasoner; saved beside its weights."""

    task: str = "sudoku"
    """Key in TASKS."""
    block: str = "relation"
    """Key in BLOCKS."""
    layers: int = 1
    """Blocks in one update."""
    updates_per_segment: int = 4
    """Updates in one segment, the unit of depth."""
    damping: float = 0.0
    """Share of the old state kept by an update (lambda of the paper)."""
    init_std: float = 1.0
    """Standard deviation of the random start."""
    halt_bias: float = -3.0
    """Bias of the untrained halting head; negative, so that nothing halts at first (arXiv 2604.21999)."""

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise unknown("task", self.task, TASKS)
        if self.block not in BLOCKS:
            raise unknown("block", self.block, BLOCKS)
        for name in ("channels", "layers", "token_hidden", "updates_per_segment", "expansion"):
            if not vars(self)[name] > 0:
                raise InputError(f"model.{name} is {vars(self)[name]}: more than 0 is needed")
        if not 0 <= self.damping < 1:
            raise InputError(f"model.damping is {self.damping}: 0 or more, and less than 1, is needed")


class Reasoner(nn.Module):
    """A weight-tied network whose fixed points answer puzzles."""

    def __init__(self, config: ModelConfig, generator: torch.Generator | None = None) -> None:
        super().__init__()
        generator = generator or torch.Generator().manual_seed(0)
        self.config, self.task = config, TASKS[config.task]
        self.calibration: Calibration | None = None
        layout, block, channels = self.task.layout, BLOCKS[config.block], config.channels
        self.per_symbol = block.per_symbol
        self.width = layout.symbols * channels if block.per_symbol else channels
        # Per symbol: blank, given and this symbol, given and another symbol. Per cell: blank or the given symbol.
        kinds = 3 if block.per_symbol else layout.symbols + 1
        self.symbol_embedding = nn.Parameter(torch.randn(kinds, channels, generator=generator))
        self.position_embedding = (
            nn.Parameter(0.3 * torch.randn(layout.cells, channels, generator=generator)) if block.positions else None
        )
        self.blocks = nn.ModuleList(block(layout, config, generator) for _ in range(config.layers))
        self.answer_head = weight(1 if block.per_symbol else layout.symbols, channels, generator)
        self.halt_head = nn.Parameter(torch.zeros(2 * channels))
        self.halt_bias = nn.Parameter(torch.tensor(config.halt_bias))

    def embed(self, ids: Int[Tensor, "R L"]) -> Embedded:
        """(R, L) ids, 0 = blank, to the injected input x (R, L, D)."""
        kind = ids.unsqueeze(-1)
        if self.per_symbol:
            symbols = torch.arange(1, self.task.layout.symbols + 1, device=ids.device)
            kind = torch.where(kind == 0, 0, torch.where(kind == symbols, 1, 2))
        x = self.symbol_embedding[kind]
        if self.position_embedding is not None:
            x = x + self.position_embedding.unsqueeze(1)
        return x.flatten(-2)

    def init(self, rows: int, generator: torch.Generator) -> State:
        """Random start (R, 1, L, D), normal with std ``init_std`` (EqR section 4.1, random initialisation)."""
        shape = (rows, 1, self.task.layout.cells, self.width)
        return torch.randn(shape, generator=generator, device=generator.device) * self.config.init_std

    def update(self, z: State, x: Embedded) -> State:
        """One application of the map f; its fixed points are the model's answers."""
        h = z[:, 0] + x
        for block in self.blocks:
            h = block(h)
        new = h.unsqueeze(1)
        return torch.lerp(new, z, self.config.damping) if self.config.damping else new

    def segment(self, z: State, x: Embedded) -> State:
        """``updates_per_segment`` updates."""
        for _ in range(self.config.updates_per_segment):
            z = self.update(z, x)
        return z

    def decode(self, z: State) -> Logits:
        """(R, L, V) scores of the symbols 1..V."""
        h = z[:, 0]
        if self.per_symbol:
            # A matrix-vector product would round differently from batch to batch.
            return (h.view(*h.shape[:2], -1, self.config.channels) * self.answer_head).sum(-1)
        return F.linear(h, self.answer_head)

    def halt_logit(self, z: State) -> Float[Tensor, " R"]:
        """(R,) score that the decoded answer is right in every cell; above 0 means halt."""
        h = z[:, 0].reshape(len(z), -1, self.config.channels)
        score: Tensor = (torch.cat([h.mean(1), h.amax(1)], -1) * self.halt_head).sum(-1)
        return score + self.halt_bias
