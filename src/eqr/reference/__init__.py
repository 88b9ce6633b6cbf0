"""Checkpoints of the reference trainer (locuslab/EqR: its EqR and TRM) as models of ours."""

from eqr.reference.mapping import to_reasoner
from eqr.reference.reading import Checkpoint, read_checkpoint

__all__ = ["Checkpoint", "read_checkpoint", "to_reasoner"]
