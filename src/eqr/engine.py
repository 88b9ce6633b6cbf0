"""Puzzles x restarts -> rows -> settled answers. Knows no file and no label.

Every row's start (and noise) is drawn from a stream keyed by (seed, the puzzle itself, restart), so neither the other
puzzles, nor their order, nor the number of rows iterated together change an answer. Rows leave as they halt.
"""

import hashlib
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from eqr.errors import InputError, unknown
from eqr.halting import HALTING, settled
from eqr.model import Reasoner
from eqr.selection import SELECTION
from eqr.solvers import Picard
from eqr.types import Solution, Trajectories


@dataclass(frozen=True, kw_only=True)
class SolveConfig:
    """How much compute a puzzle gets, and which restart answers."""

    depth: int = 64
    """Segments a row may use at most."""
    breadth: int = 1
    """Random restarts of each puzzle."""
    select: str = "residual"
    """Which restart answers: residual."""
    halt: str = "residual"
    """When a row stops: residual (it settled) or fixed (never before ``depth``)."""
    tol: float = 1e-3
    """Relative residual below which a row counts as settled."""
    window: int = 3
    """Segments over which the residual must stay below ``tol``, and is averaged for selection."""
    noise: float = 0.0
    """Standard deviation of the noise added after each update."""
    seed: int = 0
    """Seed of starts and noise."""
    rows: int = 16
    """Rows iterated together: few stay in cache, many feed a GPU. On the CPU it changes no answer."""

    def __post_init__(self) -> None:
        for name, value, least in (
            ("depth", self.depth, 1),
            ("breadth", self.breadth, 1),
            ("window", self.window, 1),
            ("rows", self.rows, 1),
            ("tol", self.tol, 0),
            ("noise", self.noise, 0),
        ):
            if not value >= least:
                raise InputError(f"{name} is {value}: it must be {least} or more")
        if self.halt not in HALTING:
            raise unknown("halting rule", self.halt, HALTING)
        if self.select not in SELECTION:
            raise unknown("selection rule", self.select, SELECTION)


def row_generator(seed: int, puzzle: Int[Tensor, " L"], restart: int) -> torch.Generator:
    """The random stream of one row, a function of the seed, the puzzle's ids and the restart's number alone."""
    key = hashlib.blake2b(digest_size=8, key=f"{seed}/{restart}".encode())
    key.update(bytes(puzzle.tolist()))
    return torch.Generator().manual_seed(int.from_bytes(key.digest(), "little") >> 1)


def run(model: Reasoner, inputs: Int[Tensor, "B L"], config: SolveConfig) -> Trajectories:
    """Iterate every restart of every puzzle until it halts; ``config.rows`` rows at a time."""
    inputs = inputs.cpu()
    puzzles = inputs.repeat_interleave(config.breadth, 0)
    restarts = [restart for _ in range(len(inputs)) for restart in range(config.breadth)]
    parts = [
        _run_rows(model, puzzles[start : start + config.rows], restarts[start : start + config.rows], config)
        for start in range(0, len(puzzles), config.rows)
    ]
    together = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    return Trajectories(**{name: rows.view(-1, config.breadth, *rows.shape[1:]) for name, rows in together.items()})


@torch.inference_mode()
def _run_rows(
    model: Reasoner, inputs: Int[Tensor, "R L"], restarts: list[int], config: SolveConfig
) -> dict[str, Tensor]:
    """One group of rows to the end; evidence in the order of the rows, on the CPU."""
    device = model.answer_head.device
    generators = [row_generator(config.seed, puzzle, k) for puzzle, k in zip(inputs, restarts, strict=True)]
    z = torch.cat([model.init(1, generator) for generator in generators]).to(device)
    x = model.embed(inputs.to(device))
    count = len(inputs)
    recent = torch.full((count, config.window), float("inf"), device=device)
    evidence = {
        "answers": torch.zeros_like(inputs),
        "residual": torch.zeros(count),
        "halt_logit": torch.zeros(count),
        "depth": torch.zeros(count, dtype=torch.long),
        "converged": torch.zeros(count, dtype=torch.bool),
    }
    active = torch.arange(count)
    solver, rule = Picard(noise=config.noise), HALTING[config.halt]
    for depth in range(1, config.depth + 1):
        z, residual = solver.step(model, z, x, generators)
        recent = torch.cat([recent[:, 1:], residual.unsqueeze(1)], 1)
        leaves = rule(recent, config.tol) | (depth == config.depth)
        if not leaves.any():
            continue
        gone = active[leaves.cpu()]
        evidence["answers"][gone] = (model.decode(z[leaves]).argmax(-1) + 1).cpu()
        # Rows that ran for fewer segments than the window are judged by those they have.
        evidence["residual"][gone] = recent[leaves][:, -depth:].mean(-1).cpu()
        evidence["halt_logit"][gone] = model.halt_logit(z[leaves]).cpu()
        evidence["depth"][gone] = depth
        evidence["converged"][gone] = settled(recent[leaves], config.tol).cpu()
        stays = ~leaves
        z, x, recent, active = z[stays], x[stays], recent[stays], active[stays.cpu()]
        generators = [g for g, stay in zip(generators, stays.tolist(), strict=True) if stay]
        if not len(active):
            break
    evidence["answers"] = torch.where(inputs > 0, inputs, evidence["answers"])
    return evidence


def solve(model: Reasoner, inputs: Int[Tensor, "B L"], config: SolveConfig | None = None) -> list[Solution]:
    """Answer each puzzle of ``inputs`` (B, L), 0 = blank. An answer that breaks a rule is marked ``valid=False``."""
    config = config or SolveConfig()
    if not len(inputs):
        return []
    inputs = inputs.cpu()
    found = run(model, inputs, config)
    chosen = SELECTION[config.select](found)
    answers = found.answers[torch.arange(len(inputs)), chosen]
    valid = model.task.is_solved(inputs, answers)
    return [
        Solution(
            answer=answers[b],
            valid=bool(valid[b]),
            converged=bool(found.converged[b, k]),
            residual=float(found.residual[b, k]),
            depth=int(found.depth[b, k]),
            restart=k,
        )
        for b, k in enumerate(chosen.tolist())
    ]


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """One row after one segment."""

    depth: int
    answer: Int[Tensor, " L"]
    """Decoded symbol ids, clues included."""
    confidence: Float[Tensor, " L"]
    """Probability of the decoded symbol."""
    residual: float


@torch.inference_mode()
def trace(model: Reasoner, puzzle: Int[Tensor, " L"], solution: Solution, config: SolveConfig) -> list[Snapshot]:
    """The trajectory that led to ``solution``, segment by segment; ``config`` is the one it was solved with."""
    device = model.answer_head.device
    generator = row_generator(config.seed, puzzle, solution.restart)
    z, x = model.init(1, generator).to(device), model.embed(puzzle.unsqueeze(0).to(device))
    solver = Picard(noise=config.noise)
    shots = []
    for depth in range(1, solution.depth + 1):
        z, residual = solver.step(model, z, x, [generator])
        confidence, symbol = model.decode(z).softmax(-1)[0].cpu().max(-1)
        answer = torch.where(puzzle > 0, puzzle, symbol + 1)
        shots.append(Snapshot(depth=depth, answer=answer, confidence=confidence, residual=float(residual)))
    return shots
