"""Segmented online training: slots of puzzles and states, one optimizer step a segment."""
