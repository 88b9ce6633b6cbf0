"""Claims about attractors: path independence, the landscape of a puzzle, the trajectory to a solution."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np

from eqr.analysis import PathIndependence, explore, from_cold_start, steps
from eqr.analysis import path_independence as independence_of
from eqr.analysis.basins import BROAD, MODES, SPURIOUS
from eqr.engine import SolveConfig
from eqr.paper.claims.base import FAILS, HOLDS, UNDECIDED, UNTESTED, Claim, Measured, Row, mean, percent
from eqr.paper.claims.laboratory import LARGE, SMALL, Laboratory
from eqr.paper.claims.residual import RESTARTED, restarted_rows
from eqr.paper.claims.scaling import deep_rows
from eqr.paper.claims.training import SHAPING

MANY = 48
"""Starts of each puzzle whose landscape is explored."""
LOOKED_AT = 16
"""Number of puzzles whose landscapes are explored."""
SHOWN = 20
"""Most lines in the table of claim 14."""
COLD = replace(RESTARTED, breadth=1)


def independence(lab: Laboratory, preset: str, seed: int) -> PathIndependence:
    """Compares sixteen random starts of each board with each other and with a cold start."""
    random = restarted_rows(lab, preset, seed)
    cold = lab.traced(COLD, f"{preset}-{seed} from a cold start", from_cold_start(lab.trained(preset, seed)))
    return independence_of(random.traces, cold.traces)


def path_independence(lab: Laboratory) -> Measured:
    """Tests whether the start matters only for models that were not trained with random starts."""
    rows: list[Row] = []
    deltas: dict[str, float] = {}
    for name, preset in SHAPING.items():
        by_seed = {seed: independence(lab, preset, seed) for seed in lab.seeds}
        deltas[name] = 100 * mean([float(outcome.delta[-1]) for outcome in by_seed.values()])
        rows += [
            {
                "variant": name,
                "seed": seed,
                "Delta-PI %": 100 * float(outcome.delta[-1]),
                "exact %, random starts": 100 * float(outcome.random_accuracy[-1]),
                "exact %, cold start": 100 * float(outcome.cold_accuracy[-1]),
                "pairs of starts with one answer %": 100 * float(outcome.agreement[-1]),
            }
            for seed, outcome in by_seed.items()
        ]
    fixed, random, noisy = deltas.values()
    ratio = fixed / random if random else math.inf
    why = (
        f"Delta-PI(16), E|Acc_16 - Acc_1| by puzzle, over which start is the one: {fixed:.2f}% for TRM, {random:.2f}% "
        f"with random starts, {noisy:.2f}% with noise too. {ratio:.1f} times less with random starts; the paper has 36 "
        "times, and more than 10 counts as holding."
    )
    return Measured(verdict=HOLDS if ratio > 10 else UNDECIDED if ratio > 1 else FAILS, why=why, rows=rows)


def landscape(lab: Laboratory) -> Measured:
    """Tests whether puzzles have attractors of several kinds."""
    chosen, rows = lab.puzzles.where(np.full(len(lab.puzzles), True), LOOKED_AT), []
    batch, kinds = chosen.batch(), Counter[str]()
    for at, (puzzle, label) in enumerate(zip(batch.inputs, batch.labels, strict=True)):
        lab.in_time()
        lab.said(f"puzzle {at + 1} from {MANY} starts")
        landscape = explore(lab.model, puzzle, label, MANY, SolveConfig(depth=64))[0]
        rest = landscape.period > 0
        kinds[landscape.mode] += 1
        rows.append(
            {
                "puzzle": at + 1,
                "rating": int(chosen.ratings[at]) if chosen.ratings[at] >= 0 else "",
                "right %": percent(landscape.right),
                "right, at rest %": percent(landscape.right & rest),
                "wrong, at rest %": percent(~landscape.right & rest),
                "wander %": percent(~rest),
                "landscape": f"({landscape.mode}) {MODES[landscape.mode]}",
            }
        )
    seen = ", ".join(f"({mode}) {MODES[mode]} {kinds[mode]}" for mode in MODES)
    why = f"{MANY} starts each of {len(rows)} puzzles: {seen}."
    verdict = HOLDS if len(kinds) == len(MODES) else UNDECIDED if len(kinds) > 1 else FAILS
    return Measured(verdict=verdict, why=why, rows=rows)


def not_monotone(lab: Laboratory) -> Measured:
    """Tests whether right cells turn wrong again on the way to a solution."""
    traces = deep_rows(lab).traces
    taken, lost = steps(traces).right_at[:, 0].tolist(), traces.lost.sum(-1)[:, 0].tolist()
    rows: list[Row] = [
        {"puzzle": number, "segments to the solution": segments, "right cells that turned wrong": cells}
        for number, (segments, cells) in enumerate(zip(taken, lost, strict=True), 1)
        if segments
    ]
    slow = [row for row in rows if row["segments to the solution"] > 2]
    if not slow:
        return Measured(verdict=UNTESTED, why="No puzzle took more than two segments.", rows=rows)
    share = 100 * mean([row["right cells that turned wrong"] > 0 for row in slow])
    why = (
        f"Of {len(slow)} puzzles solved after more than two segments, {share:.0f}% lost right cells on the way, "
        f"{mean([row['right cells that turned wrong'] for row in slow]):.1f} times on average."
    )
    return Measured(verdict=HOLDS if share >= 50 else FAILS, why=why, rows=rows[:SHOWN])


CLAIMS = (
    Claim(
        number=7,
        title="Path independence",
        statement="Random starts in training lower Delta-PI from 3.58 to 0.10% (Table 12): the start does not matter.",
        protocol="The models of claim 2, depth 16, 16 random starts each, also for TRM (trained with a fixed one), and "
        "one start at zero.",
        measure=path_independence,
        uses=(SMALL,),
    ),
    Claim(
        number=9,
        title="Landscape modes",
        statement="Puzzles show four kinds of landscape: no correct attractor, correct and spurious ones, a narrow "
        "correct one, a broad one (Fig. 6).",
        protocol=f"The large model, {MANY} starts of the first {LOOKED_AT} puzzles to depth 64, told apart as by `eqr "
        f"analyse`: broad if {BROAD:.0%} of the starts are right, spurious if {SPURIOUS:.0%} rest on wrong answers. To "
        "hold, all four kinds must be seen.",
        measure=landscape,
        uses=(LARGE,),
    ),
    Claim(
        number=14,
        title="The way to a solution",
        statement="Decoded trajectories are not monotone: cells flip from right to wrong and back (Fig. 13).",
        protocol=f"The rows of claim 3, solved puzzles; the table lists the first {SHOWN}.",
        measure=not_monotone,
        uses=(LARGE,),
    ),
)
