"""A network with another start than in its training: random, or a fixed state of zeros ("cold")."""

from dataclasses import replace

from eqr.model import Reasoner


def from_random_starts(model: Reasoner) -> Reasoner:
    """The model with random starts: itself or, if its start is fixed (as in TRM), with truncated normal starts."""
    return model if model.config.init != "fixed" else _restarted(model, "truncated")


def from_cold_start(model: Reasoner) -> Reasoner:
    """The model with every row started at zero."""
    cold = _restarted(model, "fixed")
    cold.start.zero_()
    return cold


def _restarted(model: Reasoner, init: str) -> Reasoner:
    """A model that shares the weights of ``model`` (no copies) and has another kind of start."""
    other = Reasoner(replace(model.config, init=init))
    weights = {name: value for name, value in model.state_dict(keep_vars=True).items() if name != "start"}
    other.load_state_dict(weights, strict=False, assign=True)
    other.task, other.calibration, other.settings = model.task, model.calibration, model.settings
    return other.to(model.answer_head.device).train(model.training)
