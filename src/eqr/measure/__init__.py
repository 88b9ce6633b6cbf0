"""Answers against labels, and speed."""
