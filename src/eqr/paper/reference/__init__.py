"""Converts checkpoints of the trainers of EqR, TRM and HRM to models.

To the right: ``pickles`` -> ``archive`` (tensors of a file) and ``configuration`` -> ``reading`` (a checkpoint) ->
``architecture`` (its network) -> ``mapping`` (a Reasoner).
"""

from eqr.paper.reference.mapping import to_reasoner
from eqr.paper.reference.reading import Checkpoint, read_checkpoint

__all__ = ["Checkpoint", "read_checkpoint", "to_reasoner"]
