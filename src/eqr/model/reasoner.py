"""The Reasoner: embeds a puzzle as x, draws a state z, updates and decodes it. Knows no data, loss, depth or halting.

No method draws noise or reads global state; ``update`` adds the noise that its caller gives.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from types import FunctionType
from typing import Any, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from eqr.errors import InputError, registered, unknown
from eqr.model.blocks import BLOCKS, Block, BlockConfig
from eqr.model.layers import AttributeEmbedding, RuleEmbedding, truncated_normal, weight
from eqr.model.recursion import RECURSIONS, Recursion, answering
from eqr.model.relations import Relations
from eqr.random import START, Streams
from eqr.tasks import Task, task_of
from eqr.types import Calibration, Embedded, Layout, Logits, Noise, Settings, State

STARTS = ("normal", "truncated", "fixed")
HALT_HEADS = ("pooled", "first")
RANGES: dict[str, tuple[float, float]] = {
    "channels": (1, 2**14),
    "layers": (1, 256),
    "expansion": (2**-6, 64),
    "token_hidden": (1, 2**16),
    "heads": (1, 1024),
    "rotary": (0, 2),
    "prefix_tokens": (0, 1024),
    "cycles": (1, 1024),
    "updates_per_segment": (1, 1024),
    "init_std": (0, 1000),
    "scratch_std": (0, 1000),
    "halt_bias": (-1000, 1000),
}
"""Least and largest value of each number. The limits leave room for any network that a machine can run, and keep the
configuration of a stranger from asking for more."""
ABSENT = -1e4
"""Score of a value that a problem does not have: far below every other, and finite."""
HearingCall = Callable[[int, Embedded, Embedded, Relations | None], Embedded]
"""``call(stack, h, injection, relations)``: one call of a block stack, which may need the relations of the puzzles."""
MOST_STATE = 2**26
"""Most numbers in the state of one row: those of ARC's largest boards, 900 cells, times 2 streams of 37,000 channels.
"""


@dataclass(frozen=True, kw_only=True)
class ModelConfig(BlockConfig):
    """Everything needed to build a Reasoner; saved beside its weights.

    Task, block and recursion are objects or names; the Reasoner looks names up when it is built.
    """

    task: Task | str = "sudoku"
    """Family and size of the puzzles: sudoku, sudoku4, maze30, ..."""
    block: type[Block] | str = "relation"
    """Block of the stack: mixer, synthesizer, attention, conv, symbol, axial or relation."""
    layers: int = 1
    """Blocks in one stack."""
    recursion: Recursion | str = "flat"
    """How an update calls the stack: flat, hierarchical (TRM, EqR) or two_modules (HRM)."""
    cycles: int = 6
    """Calls on the scratch stream in one update (L_cycles); ``flat`` has none."""
    updates_per_segment: int = 4
    """Updates in one segment, the unit of depth (H_cycles)."""
    damping: float = 0.0
    """Share of the old state kept by a call of the block stack (lambda of the paper)."""
    init: str = "normal"
    """Start of a row: normal or truncated (at two standard deviations), both random; or fixed, one for all rows."""
    init_std: float = 1.0
    """Standard deviation of the start; with two streams, of the answer stream's start."""
    scratch_std: float = 1.0
    """Standard deviation of the scratch stream's start."""
    learned_positions: bool = True
    """Adds a learned vector for each cell to the input of blocks without other positions (``mixer``, ``symbol``)."""
    scaled_embedding: bool = False
    """Stores symbol vectors divided by sqrt(C), so that Adam moves them faster (as in HRM, TRM and EqR)."""
    halt_head: str = "pooled"
    """Input of the halting head: pooled (mean and maximum over all cells), or the first cell (or prefix token)."""
    halt_bias: float = -3.0
    """Bias of the untrained halting head; negative, so that no row halts at first (arXiv 2604.21999)."""

    def __post_init__(self) -> None:
        for kind, name, known in (("init", self.init, STARTS), ("halt_head", self.halt_head, HALT_HEADS)):
            if name not in known:
                raise unknown(kind, name, known)
        for name, (least, most) in RANGES.items():
            if not least <= vars(self)[name] <= most:  # also refuses what is not a number
                raise InputError(f"model.{name} is {vars(self)[name]}: it must be {least:g} to {most:g}")
        if int(self.channels * self.expansion) < 1:
            raise InputError(
                f"model.expansion is {self.expansion}: with {self.channels} channels that leaves no hidden channel, "
                "give more of one of them"
            )
        if not 0 <= self.damping < 1:
            raise InputError(f"model.damping is {self.damping}: 0 or more, and less than 1, is needed")

    def named(self) -> dict[str, Any]:
        """Returns the fields as JSON values: objects by name, and the options of a task that has any."""
        values = {field.name: vars(self)[field.name] for field in fields(self)}
        task = self.task
        if isinstance(task, Task):
            values["task"] = task.name
            if task.options:
                values["task_options"] = dict(task.options)
        values["block"] = name_in(BLOCKS, self.block)
        values["recursion"] = name_in(RECURSIONS, self.recursion)
        return values


class Reasoner(nn.Module):
    """A weight-tied network whose fixed points answer puzzles."""

    def __init__(
        self,
        config: ModelConfig,
        generator: torch.Generator | None = None,
        *,
        task: Task | None = None,
        block: type[Block] | None = None,
    ) -> None:
        """Builds a network with random weights from ``generator`` (seed 0 by default).

        ``task`` and ``block`` replace those of ``config``. Raises InputError for an unknown name, and for a block that
        does not suit the task.
        """
        super().__init__()
        generator = generator or torch.Generator().manual_seed(0)
        self.task, kind = task_of(task or config.task), registered("block", block or config.block, BLOCKS)
        self.block: type[Block] = kind
        self.recursion = registered("recursion", config.recursion, RECURSIONS)
        self.config = config = replace(config, task=self.task, block=kind, recursion=self.recursion)
        self.calibration: Calibration | None = None
        self.settings: Settings | None = None
        layout, channels = self.task.layout, config.channels
        _refuse_misfit(kind, config, layout)
        self.per_symbol = kind.per_symbol
        width = layout.symbols * channels if kind.per_symbol else channels
        self.state_shape = (self.recursion.streams, config.prefix_tokens + layout.cells, width)
        if math.prod(self.state_shape) > MOST_STATE:
            raise InputError(
                f"a row of this network would have {math.prod(self.state_shape):,} numbers (streams x cells x width = "
                f"{' x '.join(map(str, self.state_shape))}), at most {MOST_STATE:,} are supported: use fewer channels "
                "or a smaller board"
            )
        # Per-symbol blocks have three vectors per kind of symbol: cell blank, given as this symbol, given as another.
        # Other blocks have one vector for a blank cell and one for each given symbol.
        features = 3 * (1 + max(layout.symbol_kinds, default=0)) if kind.per_symbol else layout.symbols + 1
        self.embedding_scale = channels**0.5 if config.scaled_embedding else 1.0
        self.symbol_embedding = nn.Parameter(
            truncated_normal((features, channels), 1 / self.embedding_scale, generator)
            if config.scaled_embedding
            else torch.randn(features, channels, generator=generator)
        )
        self.position_embedding = (
            nn.Parameter(0.3 / self.embedding_scale * torch.randn(layout.cells, channels, generator=generator))
            if kind.positions and config.learned_positions
            else None
        )
        self.rules = RuleEmbedding(layout, channels, generator) if layout.rules else None
        self.attributes = AttributeEmbedding(layout.frame, channels, generator) if layout.frame else None
        self.symbol_kinds = nn.Buffer(torch.tensor(layout.symbol_kinds or (0,) * layout.symbols), persistent=False)
        self.prefix = nn.Parameter(torch.zeros(config.prefix_tokens, channels)) if config.prefix_tokens else None
        self.blocks = nn.ModuleList(
            kind(layout, config, generator) for _ in range(self.recursion.stacks * config.layers)
        )
        self.answer_head = weight(1 if kind.per_symbol else layout.symbols, channels, generator)
        self.halt_head = nn.Parameter(torch.zeros(2 * channels if config.halt_head == "pooled" else channels))
        self.halt_bias = nn.Parameter(torch.tensor(config.halt_bias))
        if config.init == "fixed":
            streams, width = self.recursion.streams, self.state_shape[-1]
            start = truncated_normal((streams, 1, width), 1.0, generator)
            self.start = nn.Buffer(start * torch.tensor(self._start_std).view(-1, 1, 1))

    def for_task(self, task: Task) -> "Reasoner":
        """Returns a reasoner for ``task`` that shares this one's weights (not copies); itself if ``task`` is its own.

        Raises InputError if the task is of another family, or if weights depend on the size of the board.
        """
        if task == self.task:
            return self
        akin = self.task.akin(task)
        other = Reasoner(self.config, task=task) if akin else self
        bound = [name for name, tensor in other.state_dict().items() if tensor.shape != self.state_dict()[name].shape]
        if bound or not akin:
            reason = f"its {bound[0]} depends on the board's size" if bound else "the puzzles are of another kind"
            raise InputError(
                f"this model answers {self.task.name}, not {task.name} ({reason}): give {self.task.name} puzzles, "
                "or train a model whose block does not depend on the size, such as conv"
            )
        other.load_state_dict(self.state_dict(keep_vars=True), assign=True)
        other.calibration, other.settings = self.calibration, self.settings
        return other.to(self.answer_head.device).train(self.training)

    @property
    def calls_per_update(self) -> int:
        """Number of calls of a block stack in one update; each call has its own noise."""
        return self.recursion.calls(self.config.cycles)

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """(U, N, C, D): shape of the noise for one segment (of U updates) of one row."""
        return (self.config.updates_per_segment, self.calls_per_update, *self.state_shape[1:])

    def embed(self, ids: Int[Tensor, "R L"]) -> Embedded:
        """Embeds (R, L) ids, 0 for a blank, as the injected input x (R, C, D); prefix tokens come first."""
        relations = self.relations(ids)
        rule_cells, ids = torch.split(ids, [self.task.layout.rule_cells, self.task.layout.cells], 1)
        feature = given = ids.unsqueeze(-1)
        if self.per_symbol:  # of each kind of symbol: the cell is blank, given as this symbol, given as another
            symbols = torch.arange(1, self.task.layout.symbols + 1, device=ids.device)
            feature = torch.where(given == 0, 0, torch.where(given == symbols, 1, 2)) + 3 * self.symbol_kinds
        # The backward pass of indexing takes 30 ms of a step of paper_sudoku on an H100.
        x = F.embedding(feature, self.symbol_embedding)
        if self.position_embedding is not None:
            x = x + self.position_embedding.unsqueeze(1)
        if self.rules is not None:
            x = x + self.rules(*self.task.named_rule(rule_cells)).unsqueeze(1)
        if relations is not None and self.attributes is not None:
            x = (x + self.attributes(relations.attributes).unsqueeze(2)) * relations.present.unsqueeze(-1)
        x = x.flatten(-2)
        if self.prefix is not None:
            x = torch.cat([self.prefix.expand(ids.shape[0], -1, -1), x], 1)
        return x * self.embedding_scale if self.config.scaled_embedding else x

    def relations(self, ids: Int[Tensor, "R L"]) -> Relations | None:
        """Returns the relations that (R, L) puzzles bring with them; None if the task's own layout has them."""
        frame = self.task.layout.frame
        return None if frame is None else Relations(ids, frame)

    def init(self, streams: Streams, draw: int | Int[Tensor, " R"] = 0, ids: Int[Tensor, "R L"] | None = None) -> State:
        """Returns the start (R, S, C, D): random (EqR section 4.1, random initialisation), or fixed as in TRM.

        A random start is a function of the row's stream and the number ``draw``. Problems that bring their own
        relations need their ``ids``, since what they lack starts at 0.
        """
        z = self._start(streams, draw)
        relations = None if ids is None else self.relations(ids)
        return z if relations is None else relations.placed(z)

    def _start(self, streams: Streams, draw: int | Int[Tensor, " R"]) -> State:
        if self.config.init == "fixed":
            return self.start.expand(len(streams.keys), *self.state_shape).clone()
        z = (streams.normal if self.config.init == "normal" else streams.truncated)(START, draw, *self.state_shape)
        # By numbers: the host would wait for the copy of a tensor to the device.
        for stream, std in zip(z.unbind(1), self._start_std, strict=True):
            stream *= std
        return z

    @property
    def _start_std(self) -> list[float]:
        """Standard deviation of each stream of a start."""
        return [self.config.init_std, self.config.scratch_std][: self.recursion.streams]

    def update(
        self,
        z: State,
        x: Embedded,
        noise: Noise | None = None,
        call: HearingCall | None = None,
        relations: Relations | None = None,
    ) -> State:
        """Applies the map f once; its fixed points are the model's answers.

        ``noise`` (R, N, C, D), if given, is added to the results of the N = ``calls_per_update`` calls. ``call``
        replaces this model's own ``call`` by a faster form of it (``fused``). ``relations`` are those that the puzzles
        bring with them (``Reasoner.relations``).
        """
        plain, added = call or self.call, [] if noise is None else list(noise.unbind(1))
        if relations is not None:
            added = [relations.kept(one) for one in added]

        def noisy(stack: int, h: Embedded, injection: Embedded) -> Embedded:
            new = plain(stack, h, injection, relations)
            return new + added.pop(0) if added else new

        return self.recursion.update(noisy, z, x, self.config.cycles)

    def call(self, stack: int, h: Embedded, injection: Embedded, relations: Relations | None = None) -> Embedded:
        """Calls a stack F of blocks: ``lerp(F(h + injection), h, damping)``."""
        new = h + injection
        for number in self._numbers(stack):
            new = self.blocks[number](new) if relations is None else self.blocks[number](new, relations)
        return torch.lerp(new, h, self.config.damping) if self.config.damping else new

    def _numbers(self, stack: int) -> range:
        """The numbers of the blocks of a stack."""
        return range(stack * self.config.layers, (stack + 1) * self.config.layers)

    def fused(self, bf16: bool = False) -> HearingCall | None:
        """Returns a faster form of ``call``, or None if the blocks have none on this device.

        It may read the weights once, so it must be made anew after they change. It computes gradients where they are
        enabled, also when it is made. With ``bf16``, products have factors of bfloat16.
        """
        stacks = []
        for stack in range(self.recursion.stacks):
            blocks = [cast(Block, self.blocks[number]) for number in self._numbers(stack)]
            fused = self.block.fused(blocks, self.config.damping, bf16)
            if fused is None:
                return None
            stacks.append(fused)
        return lambda stack, h, injection, relations: stacks[stack](h, injection, relations)

    def segment(self, z: State, x: Embedded, relations: Relations | None = None) -> State:
        """Runs ``updates_per_segment`` updates."""
        for _ in range(self.config.updates_per_segment):
            z = self.update(z, x, relations=relations)
        return z

    def decode(self, z: State, relations: Relations | None = None) -> Logits:
        """Returns (R, L, V) scores of the symbols 1..V; 0 for rule cells, and far below 0 for absent symbols."""
        logits = self._board_logits(z)
        if relations is not None:
            logits = logits.masked_fill(~relations.values.unsqueeze(1), ABSENT)
        return F.pad(logits, (0, 0, self.task.layout.rule_cells, 0))

    def _board_logits(self, z: State) -> Float[Tensor, "R B V"]:
        h = answering(z)
        h = h[:, self.config.prefix_tokens :] if self.config.prefix_tokens else h
        if self.per_symbol:
            # A matrix-vector product would round differently from batch to batch.
            return (h.view(*h.shape[:2], -1, self.config.channels) * self.answer_head).sum(-1)
        return F.linear(h, self.answer_head)

    def halt_logit(self, z: State, relations: Relations | None = None) -> Float[Tensor, " R"]:
        """Returns (R,) the logit that the decoded answer is right in every cell; above 0 means halt."""
        stream = answering(z)
        h = stream.reshape(z.shape[0], -1, self.config.channels)
        if self.config.halt_head == "first":
            features = stream[:, 0]
        elif relations is None:
            features = torch.cat([h.mean(1), h.amax(1)], -1)
        else:  # what a problem lacks is 0 in the sum, and must not be the maximum
            present = relations.present.flatten(1).unsqueeze(-1)
            mean = h.sum(1) / present.sum(1).clamp(min=1)
            features = torch.cat([mean, h.masked_fill(~present, ABSENT).amax(1)], -1)
        score: Tensor = (features * self.halt_head).sum(-1)
        return score + self.halt_bias


def _refuse_misfit(block: type[Block], config: ModelConfig, layout: Layout) -> None:
    """Raises InputError if the block cannot take the rules of the task or the prefix tokens of the configuration."""
    if layout.rules and not block.per_symbol:
        raise InputError(
            f"the {name_in(BLOCKS, block)} block cannot follow rules about colours: set model.block=axial, relation or "
            "symbol"
        )
    if layout.frame and not block.takes_relations:
        raise InputError(f"the {name_in(BLOCKS, block)} block takes no relations of problems: set model.block=relation")
    if layout.frame and config.halt_head != "pooled":
        raise InputError(f"model.halt_head={config.halt_head}: problems with their own relations need pooled")
    if block.per_symbol and config.halt_head != "pooled":
        raise InputError(
            f"model.halt_head={config.halt_head}: the {name_in(BLOCKS, block)} block has a vector for each symbol of a "
            "cell and needs pooled"
        )
    if config.prefix_tokens and not block.takes_prefix:
        raise InputError(
            f"model.prefix_tokens={config.prefix_tokens}: the {name_in(BLOCKS, block)} block takes none, set it to 0"
        )


def name_in(registry: Mapping[str, object], value: object) -> str:
    """Returns the name under which a value is registered; for an unregistered value, its own name."""
    if isinstance(value, str):
        return value
    own = value.__name__ if isinstance(value, type | FunctionType) else type(value).__name__
    return next((name for name, known in registry.items() if known == value), own)
