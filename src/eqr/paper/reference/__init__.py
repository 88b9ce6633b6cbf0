"""Converts checkpoints of the reference trainer (locuslab/EqR: its EqR and TRM) to models."""

from eqr.paper.reference.mapping import to_reasoner
from eqr.paper.reference.reading import Checkpoint, read_checkpoint

__all__ = ["Checkpoint", "read_checkpoint", "to_reasoner"]
