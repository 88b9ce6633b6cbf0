"""Does the answer depend on the start? Compares random starts with each other, and with a cold start."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from eqr.analysis.base import Finding, Row
from eqr.analysis.traces import Traces


@dataclass(frozen=True, kw_only=True)
class PathIndependence(Finding):
    """Means over the puzzles, at each of T depths; each puzzle has K random starts and one cold start."""

    starts: int
    """K."""
    delta: Float[Tensor, " T"]
    """Delta-PI(K) of EqR section D.3, E_x |Acc_K(x) - Acc_1(x)|: Acc_K is the share of the K starts that are right,
    Acc_1 is 1 if a single start is right, else 0. Averaged over the choice of that start, this is E_x 2 p (1 - p) with
    p = Acc_K(x)."""
    agreement: Float[Tensor, " T"]
    """Share of pairs of random starts with the same full answer; NaN if K is 1."""
    random_accuracy: Float[Tensor, " T"]
    """Exact accuracy, mean over the random starts."""
    cold_accuracy: Float[Tensor, " T"]
    """Exact accuracy from the cold start."""
    cold_agreement: float
    """Share of random starts that end with the answer of the cold start."""

    def headline(self) -> Row:
        """The figures at full depth."""
        return {
            "starts": self.starts,
            "delta_pi": float(self.delta[-1]),
            "pairs_that_agree": float(self.agreement[-1]),
            "exact_accuracy_random": float(self.random_accuracy[-1]),
            "exact_accuracy_cold": float(self.cold_accuracy[-1]),
            "agree_with_cold": self.cold_agreement,
        }

    def tables(self) -> dict[str, list[Row]]:
        """One line for each depth."""
        names = ("delta", "agreement", "random_accuracy", "cold_accuracy")
        lines = zip(*(vars(self)[name].tolist() for name in names), strict=True)
        return {"": [{"depth": t, **dict(zip(names, line, strict=True))} for t, line in enumerate(lines, 1)]}


def path_independence(random: Traces, cold: Traces) -> PathIndependence:
    """Compares K random starts with one cold start (``from_cold_start``) of the same puzzles at the same depth."""
    share = random.exact.double().mean(1)
    return PathIndependence(
        starts=random.exact.shape[1],
        delta=(2 * share * (1 - share)).mean(0),
        agreement=torch.stack([_agreeing(answers) for answers in random.answer]).mean(0),
        random_accuracy=share.mean(0),
        cold_accuracy=cold.exact.double().mean((0, 1)),
        cold_agreement=float((random.ends == cold.ends).all(-1).double().mean()),
    )


def _agreeing(answers: Int[Tensor, "K T"]) -> Float[Tensor, " T"]:
    """Share of pairs of different rows with the same answer."""
    restarts = len(answers)
    same = (answers.unsqueeze(0) == answers.unsqueeze(1)).sum((0, 1)) - restarts
    return same.double() / (restarts * (restarts - 1))
