"""Puzzles from files and texts, and the draws of training."""
