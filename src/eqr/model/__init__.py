"""The network: the blocks of a stack, how an update calls the stack, and the Reasoner around them."""

from eqr.model.reasoner import ModelConfig, Reasoner

__all__ = ["ModelConfig", "Reasoner"]
