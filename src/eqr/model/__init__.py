"""The network: blocks of one stack, how an update calls them, and the Reasoner around them."""

from eqr.model.reasoner import ModelConfig, Reasoner

__all__ = ["ModelConfig", "Reasoner"]
