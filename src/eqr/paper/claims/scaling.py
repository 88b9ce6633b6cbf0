"""Claims about compute at test time: depth, breadth, halting, test noise. Measured with the large model."""

from dataclasses import replace

import torch

from eqr.analysis import best_settled, correlation_of_budgets
from eqr.analysis.correlation import powers
from eqr.analysis.traces import difficulty_of
from eqr.engine import SolveConfig
from eqr.measure.statistics import spearman
from eqr.paper.claims.base import FAILS, HOLDS, UNDECIDED, Claim, Curve, Measured, Row, gain, mean, percent, shares
from eqr.paper.claims.laboratory import CLOCK, LARGE, Laboratory, TracedRows

BROAD = SolveConfig(depth=64, breadth=16, halt="fixed")
BREADTHS = (1, 4, 16)
SHALLOW, DEEP = slice(0, 4), slice(15, 64)
"""Segments 1 to 4, and 16 to 64."""
TIMES = 8
"""Depth of the measurement, as a multiple of the depth in training."""
UNKNOWN_DEPTH = 32
NOISES = (0.05, 0.1, 0.2, 0.5)
NOISY = SolveConfig(depth=32, breadth=4, halt="fixed")


def deep_rows(lab: Laboratory) -> TracedRows:
    """Runs one start of every puzzle to TIMES the depth of training."""
    return lab.traced(SolveConfig(depth=TIMES * (lab.trained_depth or UNKNOWN_DEPTH), halt="fixed"))


def broad_rows(lab: Laboratory) -> TracedRows:
    """Runs sixteen starts of every puzzle to depth 64."""
    return lab.traced(BROAD)


def depth_extrapolates(lab: Laboratory) -> Measured:
    """Tests whether more depth than in training still helps."""
    traces, trained = deep_rows(lab).traces, lab.trained_depth or UNKNOWN_DEPTH
    residual, exact = traces.judged_residual()[:, 0], traces.exact[:, 0]
    most = exact.shape[1]
    rows: list[Row] = [
        {"depth": d, "exact %": percent(exact[:, d - 1]), "mean residual": float(residual[:, d - 1].mean())}
        for d in sorted({*powers(most), trained})
    ]
    gained = gain(exact[:, -1].double() - exact[:, trained - 1].double())
    before, after = (float(residual[:, d - 1].mean()) for d in (trained, most))
    falls = after < before
    verdict = HOLDS if gained.points > 0 and gained.sure and falls else UNDECIDED
    verdict = FAILS if gained.points <= 0 and not falls else verdict
    known = "the longest it was trained with" if lab.trained_depth else "how deep it was trained is not kept with it"
    why = (
        f"From depth {trained} ({known}) to {most} accuracy changes by {gained}, and the mean residual goes from "
        f"{before:.2g} to {after:.2g}."
    )
    return Measured(verdict=verdict, why=why, rows=rows)


def depth_before_breadth(lab: Laboratory) -> Measured:
    """Tests whether breadth is useless below a certain depth, and whether error and residual then fall together."""
    traces = broad_rows(lab).traces
    budgets = correlation_of_budgets(traces)
    cells = {(budget.depth, budget.breadth): budget for budget in budgets.budgets}
    rows: list[Row] = []
    for depth in powers(BROAD.segments):
        row: Row = {"depth": depth}
        for breadth in BREADTHS:
            cell = cells[depth, breadth]
            row |= {
                f"exact %, {breadth} starts": 100 * cell.exact_accuracy,
                f"residual, {breadth} starts": cell.residual,
            }
        rows.append(row)
    alone, most = (best_settled(traces, breadth)[1].double().mean(1) for breadth in (1, BROAD.restarts))
    shallow, deep = (gain((most - alone)[:, part].mean(1)) for part in (SHALLOW, DEEP))
    useless, useful = not (shallow.sure and shallow.points > 0), deep.sure and deep.points > 0
    verdict = HOLDS if useless and useful and budgets.over_all < -0.8 else FAILS if deep.points <= 0 else UNDECIDED
    why = (
        f"Sixteen starts in place of one change accuracy by {shallow} on average over depths 1 to 4 and by "
        f"{deep} over depths 16 to 64; over all budgets accuracy and residual correlate by rank at "
        f"{budgets.over_all:.2f}."
    )
    return Measured(verdict=verdict, why=why, rows=rows)


def compute_where_needed(lab: Laboratory) -> Measured:
    """Tests whether rows that halt when done save tenfold, and whether harder puzzles take longer."""
    once = replace(BROAD, halt="either", breadth=1)
    runs = {
        "64 segments, 16 starts": broad_rows(lab).ends,
        "either rule, 1 start": lab.ended(once),
        "either rule, up to 4": lab.ended(replace(once, breadth="auto:4")),
        "either rule, up to 16": lab.ended(replace(once, breadth="auto:16")),
    }
    per = lab.model.config.updates_per_segment
    rows: list[Row] = [
        {
            "settings": name,
            "exact %": percent(shares(ends, lab.puzzles)),
            "updates a puzzle": per * mean([int(evidence.depth.sum()) for evidence in ends]),
            "seconds": sum(evidence.seconds for evidence in ends),
        }
        for name, ends in runs.items()
    ]
    full = rows[0]
    near = [row for row in rows[1:] if row["exact %"] >= full["exact %"] - 1]
    best = min(near, key=lambda row: float(row["updates a puzzle"]), default=full)
    fewer, faster = (full[column] / best[column] for column in ("updates a puzzle", "seconds"))
    taken = [int(evidence.depth[0]) for evidence in runs["either rule, 1 start"]]
    difficulty, measure = difficulty_of(lab.puzzles)
    why = (
        f"Within a point of all 16 starts at full depth: {fewer:.1f} times fewer updates, {faster:.1f} times less "
        f"wall-clock ({full['seconds']:.0f} s to {best['seconds']:.0f} s for {len(lab.puzzles)} puzzles, threads: "
        f"{lab.threads}). Segments of a row and {measure} correlate by rank at "
        f"{spearman(taken, difficulty.tolist()):.2f}; {100 * mean([depth <= 5 for depth in taken]):.0f}% of "
        "the puzzles take 5 segments or fewer."
    )
    return Measured(verdict=HOLDS if fewer >= 10 else UNDECIDED if fewer > 3 else FAILS, why=why, rows=rows)


def noise_at_test_time(lab: Laboratory) -> Measured:
    """Tests whether more noise than in training helps when there are many starts."""
    quiet, rows = broad_rows(lab).traces, []
    starts = quiet.exact[:, : NOISY.restarts, NOISY.segments - 1]
    chosen = best_settled(quiet, NOISY.restarts)[1][:, 0, NOISY.segments - 1].double()
    by_noise, labels = {0.0: (starts, chosen)}, lab.puzzles.batch().labels
    for noise in NOISES:
        ends = lab.ended(replace(NOISY, noise=noise))
        hits = torch.stack([(evidence.answers == y).all(1) for evidence, y in zip(ends, labels, strict=True)])
        by_noise[noise] = (hits, shares(ends, lab.puzzles))
    for noise, (starts, chosen) in by_noise.items():
        rows.append(
            {
                "noise": noise,
                "exact %, 1 start": percent(starts),
                "exact %, best settled of 4": percent(chosen),
                "any of 4 right %": percent(starts.any(1)),
            }
        )
    gains = {noise: gain(chosen - by_noise[0.0][1]) for noise, (_, chosen) in by_noise.items() if noise}
    best = max(gains, key=lambda noise: gains[noise].points)
    why = (
        f"With 4 starts at depth 32 the best of these noises, {best:g}, changes accuracy by {gains[best]} against "
        f"none; noise 0.5 by {gains[0.5]}."
    )
    good = gains[best].points > 0
    return Measured(verdict=HOLDS if good and gains[best].sure else UNDECIDED if good else FAILS, why=why, rows=rows)


CLAIMS = (
    Claim(
        number=3,
        title="Depth beyond training",
        statement="Trained with 16 steps, accuracy rises and the residual falls up to 1,024 of them (Fig. 1, Table 4).",
        protocol=f"The large model, one start, no noise, {TIMES} times the depth of its training; smaller depths are "
        "read off.",
        measure=depth_extrapolates,
        uses=(LARGE,),
        curve=Curve(x="depth", y=("exact %",), log=True),
    ),
    Claim(
        number=5,
        title="Depth before breadth",
        statement="Breadth is useless below four segments (168 layers); then error and residual fall as one (Fig. 3).",
        protocol="The large model, 16 starts of every puzzle to depth 64; smaller budgets are read off, and fewer "
        "starts are means over groups of the 16.",
        measure=depth_before_breadth,
        uses=(LARGE,),
        curve=Curve(x="depth", y=tuple(f"exact %, {breadth} starts" for breadth in BREADTHS), log=True),
    ),
    Claim(
        number=8,
        title="Compute where it is needed",
        statement="Halting needs a tenth of the evaluations within a point (Table 5, Fig. 7); steps follow difficulty.",
        protocol="The rows of claim 5 against runs in which rows leave when the halting rule says so and a puzzle gets "
        "further starts only while it needs them. Seconds are the engine's wall-clock, to be compared with "
        "each other only.",
        measure=compute_where_needed,
        uses=(LARGE, CLOCK),
        curve=Curve(x="updates a puzzle", y=("exact %",), by="settings", log=True),
    ),
    Claim(
        number=13,
        title="Noise at test time",
        statement="The headline was measured with 50 times the training noise, 0.5; the paper has no sweep of it.",
        protocol="The large model, depth 32, 4 starts of every puzzle; those without noise are the first of claim 5.",
        measure=noise_at_test_time,
        uses=(LARGE,),
        curve=Curve(x="noise", y=("exact %, 1 start", "exact %, best settled of 4", "any of 4 right %")),
    ),
)
