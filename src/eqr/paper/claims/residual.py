"""Claims about the residual as a judge: does it tell right rows from wrong ones, and which restart should answer?"""

import torch
from jaxtyping import Float
from torch import Tensor

from eqr.analysis import Judges, correlation_of_budgets, correlation_of_rows, from_random_starts
from eqr.data.files import Puzzles
from eqr.engine import SolveConfig
from eqr.paper.claims.base import (
    FAILS,
    HOLDS,
    UNDECIDED,
    Claim,
    Curve,
    Gain,
    Measured,
    Row,
    gain,
    mean,
    percent,
    shares,
)
from eqr.paper.claims.laboratory import LARGE, SMALL, Laboratory, TracedRows
from eqr.paper.claims.scaling import BREADTHS, broad_rows, deep_rows

RESTARTED = SolveConfig(depth=16, breadth=16, halt="fixed")
"""Runs of small models from random starts."""
COMPARED = {"TRM": "small_trm", "EqR": "small_eqr"}
RULES = ("residual", "vote", "logit_change", "halt_score")
TELLS = 0.9
"""AUROC from which a sign counts as telling right from wrong."""


def restarted_rows(lab: Laboratory, preset: str, seed: int) -> TracedRows:
    """Runs sixteen random starts of every 6x6 board to depth 16, even if the model was trained with a fixed start."""
    model = from_random_starts(lab.trained(preset, seed))
    return lab.traced(RESTARTED, f"{preset}-{seed} from random starts", model)


def judged(name: str, seed: int | str, judges: Judges, depth: int) -> Row:
    """Makes a line of the table of claim 4."""
    return {
        "model": name,
        "seed": seed,
        "depth": depth,
        "rows": judges.rows,
        "wrong rows": round(judges.rows * (1 - float(judges.right[depth - 1]))),
        "AUROC residual": float(judges.auroc["residual"][depth - 1]),
        "AUROC logit change": float(judges.auroc["logit_change"][depth - 1]),
        "AUROC halting head": float(judges.auroc["halt_logit"][depth - 1]),
        "Spearman residual, right": float(judges.spearman_exact[depth - 1]),
    }


def residual_judges(lab: Laboratory) -> Measured:
    """Tests whether a small residual means a right answer for the large model and EqR, but not for TRM."""
    traces = deep_rows(lab).traces
    large, most = correlation_of_rows(traces), traces.exact.shape[-1]
    rows = [judged("large", "", large, depth) for depth in sorted({4, 16, 64, most}) if depth <= most]
    tells: dict[str, list[float]] = {}
    for name, preset in COMPARED.items():
        for seed in lab.seeds:
            judges = correlation_of_rows(restarted_rows(lab, preset, seed).traces)
            rows.append(judged(name, seed, judges, RESTARTED.segments))
            tells.setdefault(name, []).append(rows[-1]["AUROC residual"])
    across, last = correlation_of_budgets(traces).over_depths, float(large.auroc["residual"][-1])
    trm, eqr = (mean(tells[name]) for name in COMPARED)
    good, broken = across < -0.8 and last >= TELLS, trm < TELLS <= eqr
    verdict = HOLDS if good and broken else UNDECIDED if good or broken else FAILS
    why = (
        f"Large model: over depths 1 to {most} mean residual and accuracy have a rank correlation of {across:.2f}, and "
        f"at depth {most} the residual tells right rows from wrong ones with an AUROC of {last:.3f}. Small models from "
        f"random starts at depth {RESTARTED.depth}: {trm:.3f} for TRM, {eqr:.3f} for EqR (means of "
        f"{len(lab.seeds)} seeds); in the paper TRM's does not tell, here it {'does not either' if broken else 'does'}."
    )
    return Measured(verdict=verdict, why=why, rows=rows)


def voted(name: str, seed: int | str, traced: TracedRows, puzzles: Puzzles) -> tuple[list[Row], Float[Tensor, " B"]]:
    """Makes lines of the table of claim 6; also returns, by puzzle, the gain of selection by residual over the vote."""
    rows: list[Row] = []
    for breadth in BREADTHS:
        by_rule = {rule: shares(traced.ends, puzzles, breadth, rule) for rule in RULES}
        some = traced.traces.exact[:, :, -1].reshape(len(puzzles), -1, breadth).any(2)
        row: Row = {"model": name, "seed": seed, "breadth": breadth}
        row |= {f"{rule} %": percent(share) for rule, share in by_rule.items()}
        rows.append(row | {"any start right %": percent(some)})
    return rows, by_rule["residual"] - by_rule["vote"]


def converged_beats_vote(lab: Laboratory) -> Measured:
    """Tests whether the restart that settled best is at least as good as the majority, but worse for TRM."""
    rows, change = voted("large", "", broad_rows(lab), lab.puzzles)
    gains = {"large": gain(change)}
    for name, preset in COMPARED.items():
        by_seed = []
        for seed in lab.seeds:
            more, change = voted(name, seed, restarted_rows(lab, preset, seed), lab.small_puzzles)
            rows += more
            by_seed.append(change)
        # All seeds have the same boards, so the mean over the seeds of a board is one observation.
        gains[name] = gain(torch.stack(by_seed).mean(0))
    told = "; ".join(f"{name} {change}" for name, change in gains.items())
    why = f"Of 16 starts the best settled one answers in place of the majority: {told}."
    return Measured(verdict=verdict_of(gains), why=why, rows=rows)


def verdict_of(gains: dict[str, Gain]) -> str:
    """The verdict: the claim holds if only TRM loses, by more than chance."""
    good = all(gains[name].points >= 0 for name in ("large", "EqR"))
    bad = any(gains[name].points < 0 and gains[name].sure for name in ("large", "EqR"))
    worse = gains["TRM"].points < 0 and gains["TRM"].sure
    return HOLDS if good and worse else FAILS if bad and not worse else UNDECIDED


CLAIMS = (
    Claim(
        number=4,
        title="The residual tells",
        statement="Residual and accuracy go together, per budget and per puzzle (Fig. 1); for TRM they do not.",
        protocol="The rows of claim 3; for TRM and EqR those of claim 7, 16 random starts of each 6x6 board (from its "
        "fixed start too few of TRM's rows are wrong). An AUROC of "
        f"{TELLS} or more counts as telling.",
        measure=residual_judges,
        uses=(LARGE, SMALL),
        curve=Curve(x="depth", y=("AUROC residual",), by="model", log=True),
    ),
    Claim(
        number=6,
        title="Best settled against majority",
        statement="Choosing the restart that settled best is at least as good as a majority vote; for plain TRM it is "
        "worse (Fig. 8).",
        protocol="The large model: the rows of claim 5, fewer starts as means over groups of the 16. TRM and EqR: the "
        "rows of claim 7.",
        measure=converged_beats_vote,
        uses=(LARGE, SMALL),
        curve=Curve(x="breadth", y=("residual %", "vote %"), by="model", log=True),
    ),
)
