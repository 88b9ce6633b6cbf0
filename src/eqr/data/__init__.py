"""Reads puzzles from files and texts, and draws them for training."""
