"""Figures of a sweep. Draws what it is given; the only module that knows matplotlib."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("agg")
from matplotlib import pyplot as plt
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from eqr.checkpoint import write_atomically
from eqr.report import Report
from eqr.sweep import Cell


def _save(figure: Figure, path: Path) -> None:
    write_atomically(path, lambda part: figure.savefig(part, format="png", dpi=150, bbox_inches="tight"))
    plt.close(figure)


def heat_map(cells: Sequence[Cell], quantity: str, title: str, path: Path) -> None:
    """One quantity over depth (across) and breadth (upwards), as in EqR Fig. 3; ``error`` is 1 - exact accuracy."""
    depths, breadths = (sorted({getattr(cell, axis) for cell in cells}) for axis in ("depth", "breadth"))
    values = [[0.0] * len(depths) for _ in breadths]
    for cell in cells:
        value = 1 - cell.exact_accuracy if quantity == "error" else getattr(cell, quantity)
        values[breadths.index(cell.breadth)][depths.index(cell.depth)] = value
    figure, axes = plt.subplots(figsize=(1.2 + 0.9 * len(depths), 1.2 + 0.7 * len(breadths)))
    positive = [value for row in values for value in row if value > 0]
    norm = LogNorm(min(positive), max(positive)) if quantity == "residual" and positive else None
    image = axes.imshow(values, origin="lower", aspect="auto", cmap="viridis_r", norm=norm)
    for row, line in enumerate(values):
        for column, value in enumerate(line):
            text = f"{value:.1%}" if quantity == "error" else f"{value:.1e}"
            axes.text(column, row, text, ha="center", va="center", fontsize=8, color="white", backgroundcolor="#0006")
    axes.set(title=title, xlabel="depth (segments)", ylabel="breadth (restarts)")
    axes.set_xticks(range(len(depths)), [str(depth) for depth in depths])
    axes.set_yticks(range(len(breadths)), [str(breadth) for breadth in breadths])
    figure.colorbar(image)
    _save(figure, path)


def frontier(cells: Sequence[Cell], reports: Sequence[Report], path: Path) -> None:
    """Exact accuracy against updates per puzzle (EqR Fig. 7): fixed budgets as lines, adaptive settings as stars."""
    figure, axes = plt.subplots(figsize=(7, 4.5))
    for breadth in sorted({cell.breadth for cell in cells}):
        line = sorted((cell.updates_per_puzzle, cell.exact_accuracy) for cell in cells if cell.breadth == breadth)
        axes.plot(*zip(*line, strict=True), marker="o", markersize=4, label=f"fixed depth, breadth {breadth}")
    for report in reports:
        label = f"halt {report.halt}, breadth {report.breadth}"
        axes.plot(report.updates_per_puzzle, report.exact_accuracy, marker="*", markersize=13, ls="", label=label)
    axes.set(xscale="log", xlabel="updates per puzzle", ylabel="exact accuracy")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    _save(figure, path)
