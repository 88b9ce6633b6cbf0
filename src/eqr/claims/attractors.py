"""Claims about attractors: path independence, the landscape of a puzzle, the way to a solution."""

from collections import Counter

import torch

from eqr.analysis import from_random_starts
from eqr.claims.base import FAILS, HOLDS, UNDECIDED, UNTESTED, Claim, Laboratory, Measured, Row, mean, right
from eqr.claims.scaling import deep_rows, labels_of
from eqr.engine import SolveConfig

STARTS = 16
MANY = 96
LOOKED_AT = 8
"""Puzzles whose landscape is looked at."""
BROAD_MASS = 0.9
NARROW_MASS = 0.1


def path_independence(lab: Laboratory) -> Measured:
    """With random starts in training the start does not matter; without, it does."""
    batch, rows = lab.small_puzzles.batch(), []
    gaps: dict[str, list[float]] = {}
    for name, preset in {"TRM": "small_trm", "+ random start": "small_random", "+ noise (EqR)": "small_eqr"}.items():
        for seed in lab.seeds:
            model = from_random_starts(lab.trained(preset, seed))
            config = SolveConfig(depth=16, breadth=STARTS, halt="fixed")
            found = lab.gathered(f"{preset}-{seed} from random starts", model, lab.small_puzzles, config)
            hits = torch.stack([right(one, y) for one, y in zip(found, batch.labels, strict=True)]).double()
            gap = 100 * float((hits.mean(1) - hits[:, 0]).abs().mean())
            mixed = 100 * float(((hits.mean(1) > 0) & (hits.mean(1) < 1)).double().mean())
            gaps.setdefault(name, []).append(gap)
            rows.append(
                {
                    "variant": name,
                    "seed": seed,
                    "exact %, random starts": 100 * float(hits.mean()),
                    "Delta-PI %": gap,
                    "puzzles whose starts disagree %": mixed,
                }
            )
    ratio = mean(gaps["TRM"]) / max(1e-9, mean(gaps["+ random start"]))
    why = (
        f"Delta-PI(16), E|Acc_16 - Acc_1| by puzzle: {mean(gaps['TRM']):.2f}% for TRM, "
        f"{mean(gaps['+ random start']):.2f}% with random starts, {mean(gaps['+ noise (EqR)']):.2f}% with noise too."
    )
    return Measured(verdict=HOLDS if ratio > 10 else UNDECIDED if ratio > 1 else FAILS, why=why, rows=rows)


def landscape(lab: Laboratory) -> Measured:
    """Puzzles have attractors of several kinds."""
    chosen = lab.puzzles.where(lab.puzzles.ratings >= 0, LOOKED_AT)
    if not len(chosen):
        return Measured(verdict=UNTESTED, why="The puzzles have no ratings.", rows=[])
    config = SolveConfig(depth=64, breadth=MANY, halt="residual", tol=1e-5)
    found, rows = lab.gathered("the large model", lab.model, chosen, config), []
    for number, (one, label) in enumerate(zip(found, chosen.batch().labels, strict=True), 1):
        is_right, rests = right(one, label), one.converged
        wrong = Counter(answer.numpy().tobytes() for answer in one.answers[rests & ~is_right])
        mass, resting = float((is_right & rests).double().mean()), float(rests.double().mean())
        spurious = sum(wrong.values()) / MANY
        mode = (
            "no correct attractor"
            if not mass
            else "correct, broad"
            if mass >= BROAD_MASS
            else "correct, narrow"
            if mass <= NARROW_MASS
            else "correct + spurious"
        )
        rows.append(
            {
                "puzzle": number,
                "rating": int(chosen.ratings[number - 1]),
                "rest on the solution %": 100 * mass,
                "rest elsewhere %": 100 * spurious,
                "wander %": 100 * (1 - resting),
                "wrong resting answers": len(wrong),
                "mode": mode,
            }
        )
    modes = Counter(str(row["mode"]) for row in rows)
    why = f"{MANY} starts each of {len(rows)} puzzles: " + ", ".join(f"{mode} {n}" for mode, n in modes.items()) + "."
    return Measured(verdict=HOLDS if len(modes) >= 2 else UNDECIDED, why=why, rows=rows)


def not_monotone(lab: Laboratory) -> Measured:
    """On the way to a solution right cells turn wrong again."""
    rows: list[Row] = []
    found = deep_rows(lab)
    blanks = lab.puzzles.batch().inputs == 0
    for number, (one, label, blank) in enumerate(zip(found, labels_of(lab, found), blanks, strict=True), 1):
        hits = (one.histories[0].answers == label)[:, blank]
        if not bool(hits[-1].all()):
            continue
        solved_at = int((~hits.all(1)).nonzero().max()) + 2 if not bool(hits.all(1).all()) else 1
        lost = int((hits[:-1] & ~hits[1:]).sum())
        rows.append({"puzzle": number, "segments to the solution": solved_at, "right cells that turned wrong": lost})
    slow = [row for row in rows if row["segments to the solution"] > 2]
    if not slow:
        return Measured(verdict=UNTESTED, why="No puzzle took more than two segments.", rows=rows)
    share = 100 * mean([row["right cells that turned wrong"] > 0 for row in slow])
    why = (
        f"Of {len(slow)} puzzles solved after more than two segments, {share:.0f}% lost right cells on the way, "
        f"{mean([row['right cells that turned wrong'] for row in slow]):.1f} times on average."
    )
    return Measured(verdict=HOLDS if share >= 50 else FAILS, why=why, rows=rows[:20])


CLAIMS = (
    Claim(
        number=7,
        title="Path independence",
        statement="Random starts in training lower Delta-PI from 3.58 to 0.10% (Table 12): the start does not matter.",
        protocol="The models of claim 2, depth 16, 16 random starts each, also for TRM (trained with a fixed one).",
        measure=path_independence,
    ),
    Claim(
        number=9,
        title="Landscape modes",
        statement="Puzzles show four kinds of landscape: no correct attractor, correct and spurious ones, a narrow "
        "correct one, a broad one (Fig. 6).",
        protocol=f"The large model, {MANY} starts of the first {LOOKED_AT} puzzles to depth 64; broad is a mass of "
        f"{BROAD_MASS:.0%} or more, narrow {NARROW_MASS:.0%} or less. `eqr analyse` draws their end states.",
        measure=landscape,
    ),
    Claim(
        number=14,
        title="The way to a solution",
        statement="Decoded trajectories are not monotone: cells flip from right to wrong and back (Fig. 13).",
        protocol="The rows of claim 3, blanks of solved puzzles; the table lists the first 20.",
        measure=not_monotone,
    ),
)
