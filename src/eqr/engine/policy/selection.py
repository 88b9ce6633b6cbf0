"""Which restart answers? One pure function a rule, from the evidence of all restarts; no rule sees a label.

Rows that their halting rule ended go before rows that ran out of depth (``choose``). Ties go to the first restart; a
value that is not a number never wins.
"""

from collections import Counter
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from eqr.evidence import Evidence


def _least(values: Float[Tensor, " K"]) -> int:
    return int(values.nan_to_num(nan=float("inf")).argmin())


def agreement(found: Evidence) -> list[int]:
    """For each restart, how many restarts give its full answer, itself included."""
    answers = [answer.tobytes() for answer in found.answers.numpy()]
    count = Counter(answers)
    return [count[answer] for answer in answers]


def by_residual(found: Evidence) -> int:
    """The restart that settled best: smallest mean residual over its last segments (EqR Eq. 20)."""
    return _least(found.residual)


def by_logit_change(found: Evidence) -> int:
    """Smallest mean change of the logits over the last segments: the rule of the EqR reference code."""
    return _least(found.logit_change)


def by_vote(found: Evidence) -> int:
    """The first restart that gives the most frequent full answer (EqR section D.3)."""
    votes = agreement(found)
    return votes.index(max(votes))


def by_rank(found: Evidence) -> list[int]:
    """One restart for each different answer: most votes first, the better settled of equals first."""
    votes = agreement(found)
    order = sorted(range(len(votes)), key=lambda k: (-votes[k], float(found.residual[k])))
    answers = [found.answers[k].numpy().tobytes() for k in order]
    return [order[answers.index(answer)] for answer in dict.fromkeys(answers)]


def by_halt_score(found: Evidence) -> int:
    """The restart the halting head is surest of (arXiv 2605.19943 selects by it)."""
    return _least(-found.halt_logit)


def first(found: Evidence) -> int:
    """The first restart, whatever the others did."""
    return 0


def by_verifier(found: Evidence) -> int:
    """The first restart whose answer the task's checker accepts: an upper bound, not a result of the network alone."""
    return int(found.valid.to(torch.uint8).argmax())


SELECTION: dict[str, Callable[[Evidence], int]] = {
    "residual": by_residual,
    "logit_change": by_logit_change,
    "vote": by_vote,
    "halt_score": by_halt_score,
    "first": first,
    "verifier": by_verifier,
}


def choose(found: Evidence, rule: str) -> int:
    """The restart that ``rule`` chooses among those that have halted, if any has; the verifier sees them all."""
    halted = found.halted.nonzero().flatten()
    if rule == "verifier" or not len(halted):
        return SELECTION[rule](found)
    return int(halted[SELECTION[rule](found.only(halted))])
