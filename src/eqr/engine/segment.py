"""One segment of many rows: the updates between two looks at an answer. Knows no slot and no puzzle."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

from jaxtyping import Float, Int
from torch import Tensor

from eqr.model import Reasoner
from eqr.model.reasoner import HearingCall
from eqr.runtime import can_compile, compiled, mixed_precision
from eqr.solvers import Memory, Solver, relative_residual
from eqr.types import Embedded, Logits, State

Compile = bool | Literal["kernel"]
"""True: the block's kernel in C++, or torch.compile if it has none;
"kernel": its kernel, or plain torch; False: plain torch."""


class Segment(NamedTuple):
    """The outcome of one segment of R rows."""

    z: State
    memory: Memory
    residual: Float[Tensor, " R"]
    """Relative residual of the last update."""
    logits: Logits
    halt_logit: Float[Tensor, " R"]


def segment(
    model: Reasoner,
    solver: Solver,
    z: State,
    x: Embedded,
    ids: Int[Tensor, "R L"],
    memory: Memory,
    noise: Float[Tensor, "R U N C D"] | None,
    call: HearingCall | None = None,
    bf16: bool = False,
) -> Segment:
    """Runs one segment of every row; ``ids`` are the puzzles, for relations that they bring with them.

    The calls in each of the U updates add the noise. A residual never contains noise. ``call`` is a faster form of the
    model's own (``Reasoner.fused``). With ``bf16`` matrix products of the updates run in bfloat16; states, residuals
    and logits stay float32.
    """
    update, relations = _in_bf16(model.update) if bf16 else model.update, model.relations(ids)
    added = noise.unbind(1) if noise is not None else (None,) * model.config.updates_per_segment
    for now in added:
        before = z
        z, fz, memory = solver.step(partial(update, x=x, noise=now, call=call, relations=relations), z, memory)
    if noise is not None:  # the residual is that of f without noise, so it takes one more evaluation
        fz = update(before, x=x, call=call, relations=relations)
    decoded, halt_logit = model.decode(z, relations), model.halt_logit(z, relations)
    return Segment(z, memory, relative_residual(fz, before), decoded, halt_logit)


def _in_bf16(update: Callable[..., State]) -> Callable[..., State]:
    def updated(z: State, **arguments: Any) -> State:
        with mixed_precision(z.device, bf16=True):
            return update(z, **arguments).to(z.dtype)

    return updated


class Form(NamedTuple):
    """``segment`` in the form in which it runs."""

    run: Callable[..., Segment]
    static: bool
    """Whether it takes parts of one size only, because torch.compile compiled it."""
    fast: bool
    """Whether it is a kernel or compiled."""


def fastest(model: Reasoner, compile: Compile, bf16: bool) -> Form:
    """Returns the fastest form of ``segment`` that ``compile`` allows; a kernel reads the weights now."""
    call = model.fused(bf16) if compile else None
    static = compile is True and call is None and can_compile(model.answer_head.device)
    run = partial(compiled(segment) if static else segment, call=call, bf16=bf16)
    return Form(run, static, static or call is not None)
