"""Measures accuracy against labels, and speed."""
