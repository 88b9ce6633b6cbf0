"""Which restart answers? Each rule is one pure function of the evidence of all restarts; no rule sees a label.

Halted rows go before rows that ran out of depth (``choose``). The first restart wins a tie; a value that is not a
number never wins.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from operator import index
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from eqr.engine.policy.halting import named
from eqr.errors import InputError, registered
from eqr.evidence import Evidence

Selects = Callable[[Evidence], int]


@dataclass(frozen=True, kw_only=True)
class SelectionRule:
    """A function that chooses a restart, and the properties of it that the engine needs."""

    name: str
    selects: Selects
    needs_checker: bool = False
    """Whether the rule reads ``Evidence.valid``, which needs a task with rules."""
    sees_all: bool = False
    """Whether the rule also sees rows that ran out of depth when other rows have halted."""


Selection: TypeAlias = SelectionRule | Selects | str
"""A rule, a function to make one from, or a name in SELECTION."""


def _least(values: Float[Tensor, " K"]) -> int:
    return int(_nan_last(values).argmin())


def _nan_last(values: Float[Tensor, " K"]) -> Float[Tensor, " K"]:
    return values.nan_to_num(nan=float("inf"))


def agreement(evidence: Evidence) -> list[int]:
    """Counts, for each restart, the restarts with the same full answer, itself included."""
    answers = [answer.tobytes() for answer in evidence.answers.numpy()]
    count = Counter(answers)
    return [count[answer] for answer in answers]


def by_residual(evidence: Evidence) -> int:
    """The restart with the smallest mean residual over its last segments (EqR Eq. 20)."""
    return _least(evidence.residual)


def by_logit_change(evidence: Evidence) -> int:
    """The restart with the smallest mean change of logits over its last segments (the rule of EqR's reference code)."""
    return _least(evidence.logit_change)


def by_vote(evidence: Evidence) -> int:
    """The first restart that gives the most frequent full answer (EqR section D.3)."""
    votes = agreement(evidence)
    return votes.index(max(votes))


def by_rank(evidence: Evidence) -> list[int]:
    """One restart for each distinct answer: most votes first, then smallest residual first."""
    votes = agreement(evidence)
    residuals = _nan_last(evidence.residual).tolist()
    order = sorted(range(len(votes)), key=lambda k: (-votes[k], residuals[k]))
    answers = [evidence.answers[k].numpy().tobytes() for k in order]
    return [order[answers.index(answer)] for answer in dict.fromkeys(answers)]


def by_halt_score(evidence: Evidence) -> int:
    """The restart with the highest halting logit (the rule of arXiv 2605.19943)."""
    return _least(-evidence.halt_logit)


def first(evidence: Evidence) -> int:
    """The first restart, whatever the evidence."""
    return 0


def by_verifier(evidence: Evidence) -> int:
    """The first restart whose answer the task's checker accepts: an upper bound, not a result of the network alone."""
    return int(evidence.valid.to(torch.uint8).argmax())


SELECTION: dict[str, SelectionRule | Selects] = {
    "residual": by_residual,
    "logit_change": by_logit_change,
    "vote": by_vote,
    "halt_score": by_halt_score,
    "first": first,
    "verifier": SelectionRule(name="verifier", selects=by_verifier, needs_checker=True, sees_all=True),
}


def selection_rule(rule: Selection) -> SelectionRule:
    """Makes a rule from a rule, a function or a name; raises InputError for an unknown name."""
    known = registered("selection rule", rule, SELECTION)
    name = rule if isinstance(rule, str) else named(known)
    return known if isinstance(known, SelectionRule) else SelectionRule(name=name, selects=known)


def choose(evidence: Evidence, rule: SelectionRule) -> int:
    """The restart that ``rule`` chooses: from the halted rows if there are any, unless the rule sees all rows."""
    halted = evidence.halted.nonzero().flatten()
    if rule.sees_all or not len(halted):
        return _selected(evidence, rule)
    return int(halted[_selected(evidence.only(halted), rule)])


def _selected(evidence: Evidence, rule: SelectionRule) -> int:
    restart, count = rule.selects(evidence), len(evidence.depth)
    try:
        at = index(restart)
    except TypeError:
        at = -1
    if not 0 <= at < count:
        raise InputError(f"the selection rule {rule.name} returned {restart!r}: it must return 0 to {count - 1}")
    return at
