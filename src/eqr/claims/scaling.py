"""Claims about compute at test time: depth, breadth, halting, test noise. Measured on the large model."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import torch

from eqr.claims.base import FAILS, HOLDS, UNDECIDED, Claim, Curve, Laboratory, Measured, Row, mean, right
from eqr.engine import SolveConfig, select
from eqr.statistics import auroc, spearman
from eqr.sweep import cut, halts_at
from eqr.types import Evidence

DEEP = SolveConfig(depth=256, halt="fixed")
BROAD = SolveConfig(depth=64, breadth=16, halt="fixed")
DEPTHS = (1, 2, 4, 8, 16, 32, 64)
BREADTHS = (1, 4, 16)
NOISES = (0.0, 0.01, 0.05, 0.1, 0.2, 0.5)


def deep_rows(lab: Laboratory) -> list[Evidence]:
    """One start of every puzzle to depth 256, with its history."""
    return lab.gathered("the large model", lab.model, lab.puzzles, DEEP, record=True)


def broad_rows(lab: Laboratory) -> list[Evidence]:
    """Sixteen starts of the first quarter of the puzzles to depth 64, with their histories."""
    return lab.gathered("the large model", lab.model, lab.few, BROAD, record=True)


def labels_of(lab: Laboratory, found: Sequence[Evidence]) -> torch.Tensor:
    """The answers of as many puzzles as there is evidence of."""
    return lab.puzzles.batch().labels[: len(found)]


def at_budget(lab: Laboratory, found: Sequence[Evidence], config: SolveConfig) -> list[Evidence]:
    """What a run with the smaller ``config`` would have given."""
    inputs = lab.puzzles.batch().inputs
    smaller = []
    for one, puzzle in zip(found, inputs, strict=False):
        halts = [None if config.halt == "fixed" else halts_at(row, lab.model, config) for row in one.histories]
        smaller.append(cut(one.histories, halts, lab.model, puzzle, config))
    return smaller


def score(lab: Laboratory, found: Sequence[Evidence], rule: str = "residual") -> tuple[float, float]:
    """Exact accuracy in per cent of the restarts that ``rule`` selects, and their mean residual."""
    chosen = [select(one, rule).restart for one in found]
    hits = [bool(right(one, y)[k]) for one, y, k in zip(found, labels_of(lab, found), chosen, strict=True)]
    return 100 * mean(hits), mean([float(one.residual[k]) for one, k in zip(found, chosen, strict=True)])


def any_right(lab: Laboratory, found: Sequence[Evidence]) -> float:
    """Per cent of puzzles of which some restart is right."""
    return 100 * mean([bool(right(one, y).any()) for one, y in zip(found, labels_of(lab, found), strict=True)])


def depth_extrapolates(lab: Laboratory) -> Measured:
    """More depth than trained with still helps."""
    found, rows = deep_rows(lab), []
    for depth in (1, 4, 16, 32, 64, 128, 256):
        accuracy, residual = score(lab, at_budget(lab, found, replace(DEEP, depth=depth)))
        rows.append({"depth": depth, "exact %": accuracy, "mean residual": residual})
    by_depth = {row["depth"]: row for row in rows}
    gain = by_depth[256]["exact %"] - by_depth[32]["exact %"]
    falls = by_depth[256]["mean residual"] < by_depth[32]["mean residual"]
    verdict = HOLDS if gain > 0 and falls else FAILS if gain <= 0 and not falls else UNDECIDED
    why = (
        f"From depth 32, the longest it was trained with, to 256 accuracy changes by {gain:+.1f} points, and the mean "
        f"residual goes from {by_depth[32]['mean residual']:.2g} to {by_depth[256]['mean residual']:.2g}."
    )
    return Measured(verdict=verdict, why=why, rows=rows)


def residual_judges(lab: Laboratory) -> Measured:
    """A small residual means a right answer."""
    found, rows = deep_rows(lab), []
    for depth in (4, 16, 64, 256):
        cells = at_budget(lab, found, replace(DEEP, depth=depth))
        hits = [bool(right(one, y)[0]) for one, y in zip(cells, labels_of(lab, cells), strict=True)]
        residuals = [float(one.residual[0]) for one in cells]
        rows.append(
            {
                "depth": depth,
                "exact %": 100 * mean(hits),
                "AUROC residual": auroc([-r for r in residuals], hits),
                "AUROC logit change": auroc([-float(one.logit_change[0]) for one in cells], hits),
                "AUROC halting head": auroc([float(one.halt_logit[0]) for one in cells], hits),
                "Spearman residual, right": spearman(residuals, [float(hit) for hit in hits]),
            }
        )
    budgets = [score(lab, at_budget(lab, found, replace(DEEP, depth=depth))) for depth in (1, 2, 4, 8, 16, 32, 64)]
    across = spearman([residual for _, residual in budgets], [accuracy for accuracy, _ in budgets])
    last = next(row for row in rows if row["depth"] == 64)["AUROC residual"]
    verdict = HOLDS if across < -0.8 and last >= 0.9 else FAILS if across > -0.5 or last < 0.6 else UNDECIDED
    why = (
        f"Over depths 1 to 64 mean residual and accuracy have a rank correlation of {across:.2f}; at depth 64 the "
        f"residual tells right rows from wrong ones with an AUROC of {last:.3f}."
    )
    return Measured(verdict=verdict, why=why, rows=rows)


def depth_before_breadth(lab: Laboratory) -> Measured:
    """Breadth is useless below a depth, then error and residual fall together."""
    found, rows = broad_rows(lab), []
    for depth in DEPTHS:
        row: Row = {"depth": depth}
        for breadth in BREADTHS:
            accuracy, residual = score(lab, at_budget(lab, found, replace(BROAD, depth=depth, breadth=breadth)))
            row |= {f"exact %, {breadth} starts": accuracy, f"residual, {breadth} starts": residual}
        rows.append(row)
    gains = {row["depth"]: row[f"exact %, {max(BREADTHS)} starts"] - row["exact %, 1 starts"] for row in rows}
    cells = [(row[f"exact %, {b} starts"], row[f"residual, {b} starts"]) for row in rows for b in BREADTHS]
    together = spearman([a for a, _ in cells], [r for _, r in cells])
    shallow, deep = mean([gains[1], gains[2], gains[4]]), mean([gains[16], gains[32], gains[64]])
    verdict = HOLDS if shallow <= 0 < deep and together < -0.8 else FAILS if deep <= 0 else UNDECIDED
    why = (
        f"Sixteen starts in place of one change accuracy by {shallow:+.1f} points on average at depths 1 to 4 and by "
        f"{deep:+.1f} at depths 16 to 64; over all cells accuracy and residual correlate by rank at {together:.2f}."
    )
    return Measured(verdict=verdict, why=why, rows=rows)


def converged_beats_vote(lab: Laboratory) -> Measured:
    """The restart that settled best is at least as good as the majority."""
    found, rows = broad_rows(lab), []
    for breadth in (1, 4, 16):
        cells = at_budget(lab, found, replace(BROAD, breadth=breadth))
        rules = ("residual", "vote", "logit_change", "halt_score")
        accuracy = {f"{rule} %": score(lab, cells, rule)[0] for rule in rules}
        rows.append({"breadth": breadth, **accuracy, "any restart right %": any_right(lab, cells)})
    last = rows[-1]
    gain, lost = last["residual %"] - last["vote %"], last["any restart right %"] - last["residual %"]
    why = (
        f"Of 16 starts the best settled one is right for {last['residual %']:.1f}% of the puzzles, the majority for "
        f"{last['vote %']:.1f}%; an oracle would gain another {lost:.1f} points."
    )
    return Measured(verdict=HOLDS if gain >= 0 else FAILS, why=why, rows=rows)


def compute_where_needed(lab: Laboratory) -> Measured:
    """Rows that leave when done save tenfold, and harder puzzles take longer."""
    rows: list[Row] = []
    found = broad_rows(lab)
    per = lab.model.config.updates_per_segment
    for name, config in {
        "64 segments, 16 starts": BROAD,
        "either rule, 1 start": replace(BROAD, halt="either", breadth=1),
        "either rule, up to 4": replace(BROAD, halt="either", breadth="auto:4"),
        "either rule, up to 16": replace(BROAD, halt="either", breadth="auto:16"),
    }.items():
        cells = at_budget(lab, found, config)
        updates = per * mean([int(one.depth.sum()) for one in cells])
        rows.append({"settings": name, "exact %": score(lab, cells)[0], "updates a puzzle": updates})
    full = rows[0]
    near = [row for row in rows[1:] if row["exact %"] >= full["exact %"] - 1]
    best = max((full["updates a puzzle"] / row["updates a puzzle"] for row in near), default=1.0)
    once = at_budget(lab, deep_rows(lab), replace(DEEP, halt="either", depth=64))
    ratings = lab.puzzles.ratings.tolist()
    hardness = spearman([float(one.depth[0]) for one in once], ratings) if len(set(ratings)) > 1 else math.nan
    quick = 100 * mean([int(one.depth[0]) <= 5 for one in once])
    why = (
        f"Within a point of all 16 starts at full depth: {best:.1f} times fewer updates. Segments of a row and the "
        f"puzzle's rating correlate by rank at {hardness:.2f}; {quick:.0f}% of the puzzles take 5 segments or fewer."
    )
    return Measured(verdict=HOLDS if best >= 10 else UNDECIDED if best > 3 else FAILS, why=why, rows=rows)


def noise_at_test_time(lab: Laboratory) -> Measured:
    """More noise than trained with helps when there are many starts."""
    rows: list[Row] = []
    for noise in NOISES:
        config = SolveConfig(depth=32, breadth=4, halt="fixed", noise=noise)
        found = lab.gathered("the large model", lab.model, lab.few, config)
        alone = [one.only(torch.tensor([0])) for one in found]
        rows.append(
            {
                "noise": noise,
                "exact %, 1 start": score(lab, alone)[0],
                "exact %, best settled of 4": score(lab, found)[0],
                "any of 4 right %": any_right(lab, found),
            }
        )
    best = max(rows, key=lambda row: cast(float, row["exact %, best settled of 4"]))
    quiet = rows[0]
    gain = best["exact %, best settled of 4"] - quiet["exact %, best settled of 4"]
    told = (
        f"noise {best['noise']:g} gains {gain:.1f} points over none" if gain > 0 else "no noise does better than none"
    )
    why = f"With 4 starts at depth 32 {told}; noise 0.5 has {rows[-1]['exact %, best settled of 4']:.1f}%."
    return Measured(verdict=HOLDS if gain > 0 else FAILS, why=why, rows=rows)


CLAIMS = (
    Claim(
        number=3,
        title="Depth beyond training",
        statement="Trained with 16 steps, accuracy rises and the residual falls up to 1,024 of them (Fig. 1, Table 4).",
        protocol="The large model, one start, no noise, depths up to 256 read off one run.",
        measure=depth_extrapolates,
        curve=Curve(x="depth", y=("exact %",), log=True),
    ),
    Claim(
        number=4,
        title="The residual tells",
        statement="Residual and accuracy go together, per budget and per puzzle (Fig. 1).",
        protocol="The rows of claim 3. TRM's broken correlation, the second half of the claim, is not tested: here "
        "too few of its rows are wrong.",
        measure=residual_judges,
        curve=Curve(x="depth", y=("AUROC residual", "AUROC logit change", "AUROC halting head"), log=True),
    ),
    Claim(
        number=5,
        title="Depth before breadth",
        statement="Breadth is useless below four segments (168 layers); then error and residual fall as one (Fig. 3).",
        protocol="The large model, first quarter of the puzzles, 16 starts to depth 64; smaller budgets are read off.",
        measure=depth_before_breadth,
        curve=Curve(x="depth", y=tuple(f"exact %, {breadth} starts" for breadth in BREADTHS), log=True),
    ),
    Claim(
        number=6,
        title="Best settled against majority",
        statement="Choosing the restart that settled best is at least as good as a majority vote (Fig. 8).",
        protocol="The rows of claim 5. That it is worse for plain TRM is not tested.",
        measure=converged_beats_vote,
        curve=Curve(x="breadth", y=("residual %", "vote %", "any restart right %"), log=True),
    ),
    Claim(
        number=8,
        title="Compute where it is needed",
        statement="Halting needs a tenth of the evaluations within a point (Table 5, Fig. 7); steps follow difficulty.",
        protocol="The rows of claims 3 and 5, cut where the halting rule ends them and breadth suffices.",
        measure=compute_where_needed,
        curve=Curve(x="updates a puzzle", y=("exact %",), by="settings", log=True),
    ),
    Claim(
        number=13,
        title="Noise at test time",
        statement="The headline was measured with 50 times the training noise, 0.5; the paper has no sweep of it.",
        protocol="The large model (trained without noise), the first quarter of the puzzles, depth 32, 4 starts.",
        measure=noise_at_test_time,
        curve=Curve(x="noise", y=("exact %, 1 start", "exact %, best settled of 4", "any of 4 right %")),
    ),
)
