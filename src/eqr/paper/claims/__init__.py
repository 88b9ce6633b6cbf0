"""The paper's claims (EqR arXiv 2605.21488), each with its measurement. A new claim goes into ``CLAIMS``."""

from eqr.paper.claims import attractors, residual, scaling, training
from eqr.paper.claims.base import UNTESTED, Claim, Measured
from eqr.paper.claims.laboratory import Laboratory, OutOfTime, trained_depth

__all__ = ["CLAIMS", "UNTESTED", "Claim", "Laboratory", "Measured", "OutOfTime", "trained_depth", "untestable"]


def untestable(number: int, title: str, statement: str, why: str) -> Claim:
    """Makes a claim that is listed but not measured; ``why`` gives the reason."""
    measured = Measured(verdict=UNTESTED, why=why, rows=[])
    return Claim(number=number, title=title, statement=statement, protocol="None.", measure=lambda lab: measured)


CLAIMS: tuple[Claim, ...] = tuple(
    sorted(
        (
            *training.CLAIMS,
            *scaling.CLAIMS,
            *residual.CLAIMS,
            *attractors.CLAIMS,
            untestable(
                10,
                "One label, many solutions",
                "On mazes with several shortest paths and one label (Maze-1k) depth does not help (C.2, Fig. 14).",
                "It takes models trained on the original Maze-1k, whose mazes this library does not generate.",
            ),
            untestable(
                11,
                "Transfer",
                "The method carries over to attention (74.7 -> 95.9%) and to Mini-ARC (55.28%) (Table 14).",
                "It takes hours on a CPU; docs/arc.md has what our own recipe reaches on Mini-ARC (24.2%).",
            ),
            untestable(
                12,
                "Sweeps of start and noise in training",
                "Start scale 0 to 16 gives 84.1 to 87.3%; learned starts do not help (Tables 10, 11, 13).",
                "Differences of a point or two need many seeds of long runs.",
            ),
        ),
        key=lambda claim: claim.number,
    )
)
