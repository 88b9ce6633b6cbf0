"""The paper's models, its claims, and checkpoints of its code."""
