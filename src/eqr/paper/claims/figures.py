"""Draws the table of a claim. Knows the columns only from the claim's ``Curve``."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib import pyplot as plt

from eqr.measure.plots import save_figure
from eqr.paper.claims.base import Curve, Row, mean


def draw(rows: Sequence[Row], curve: Curve, title: str, path: Path) -> None:
    """Draws a line for each column of ``curve.y`` and each value of ``curve.by``; writes the PNG file ``path``."""
    figure, axes = plt.subplots(figsize=(6.4, 4))
    for kind in dict.fromkeys(row[curve.by] if curve.by else "" for row in rows):
        of_kind = [row for row in rows if not curve.by or row[curve.by] == kind]
        across = sorted({row[curve.x] for row in of_kind})
        for column in curve.y:
            upwards = [mean([row[column] for row in of_kind if row[curve.x] == x]) for x in across]
            label = f"{kind}, {column}" if kind and len(curve.y) > 1 else kind or column
            axes.plot(across, upwards, "o-", ms=4, lw=1.2, label=label)
    axes.set(title=title, xlabel=curve.x, ylabel=curve.y[0] if len(curve.y) == 1 else "")
    if curve.log:
        axes.set_xscale("log", base=2)
    axes.grid(alpha=0.3)
    if curve.by or len(curve.y) > 1:
        axes.legend(fontsize=8)
    save_figure(figure, path)
