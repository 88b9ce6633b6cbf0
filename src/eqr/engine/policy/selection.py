"""Which restart answers? Each rule is one pure function of the evidence of all restarts; no rule sees a label.

Rows that their halting rule ended go before rows that ran out of depth (``choose``). Ties go to the first restart; a
value that is not a number never wins.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from eqr.engine.policy.halting import named
from eqr.errors import unknown
from eqr.evidence import Evidence

Selects = Callable[[Evidence], int]


@dataclass(frozen=True, kw_only=True)
class SelectionRule:
    """A function that chooses a restart, and what the engine must know of it."""

    name: str
    selects: Selects
    needs_checker: bool = False
    """Whether it looks at ``Evidence.valid``, which takes a task with rules."""
    sees_all: bool = False
    """Whether it also sees rows that ran out of depth beside rows that halted."""


Selection: TypeAlias = SelectionRule | Selects | str
"""A rule, a function that is to be one, or a name in SELECTION."""


def _least(values: Float[Tensor, " K"]) -> int:
    return int(values.nan_to_num(nan=float("inf")).argmin())


def agreement(evidence: Evidence) -> list[int]:
    """For each restart, how many restarts give its full answer, itself included."""
    answers = [answer.tobytes() for answer in evidence.answers.numpy()]
    count = Counter(answers)
    return [count[answer] for answer in answers]


def by_residual(evidence: Evidence) -> int:
    """The restart that settled best: smallest mean residual over its last segments (EqR Eq. 20)."""
    return _least(evidence.residual)


def by_logit_change(evidence: Evidence) -> int:
    """Smallest mean change of the logits over the last segments: the rule of the EqR reference code."""
    return _least(evidence.logit_change)


def by_vote(evidence: Evidence) -> int:
    """The first restart that gives the most frequent full answer (EqR section D.3)."""
    votes = agreement(evidence)
    return votes.index(max(votes))


def by_rank(evidence: Evidence) -> list[int]:
    """One restart for each different answer: most votes first, the better settled of equals first."""
    votes = agreement(evidence)
    order = sorted(range(len(votes)), key=lambda k: (-votes[k], float(evidence.residual[k])))
    answers = [evidence.answers[k].numpy().tobytes() for k in order]
    return [order[answers.index(answer)] for answer in dict.fromkeys(answers)]


def by_halt_score(evidence: Evidence) -> int:
    """The restart the halting head is surest of (arXiv 2605.19943 selects by it)."""
    return _least(-evidence.halt_logit)


def first(evidence: Evidence) -> int:
    """The first restart, whatever the others did."""
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
    """The rule that is given or named; a plain function becomes a rule. Raises InputError for an unknown name."""
    name = ""
    if isinstance(rule, str):
        if rule not in SELECTION:
            raise unknown("selection rule", rule, SELECTION, plugins=True)
        name, rule = rule, SELECTION[rule]
    return rule if isinstance(rule, SelectionRule) else SelectionRule(name=name or named(rule), selects=rule)


def choose(evidence: Evidence, rule: SelectionRule) -> int:
    """The restart that ``rule`` chooses among those that halted, if any did and the rule does not see all."""
    halted = evidence.halted.nonzero().flatten()
    if rule.sees_all or not len(halted):
        return rule.selects(evidence)
    return int(halted[rule.selects(evidence.only(halted))])
