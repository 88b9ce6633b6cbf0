"""Draws the figures of a sweep, and saves figures as PNG. Computes nothing."""

from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("agg")
from matplotlib import pyplot as plt
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from eqr.measure.sweep import Cell
from eqr.storage.files import write_atomically


def save_figure(figure: Figure, path: Path) -> None:
    """Writes ``figure`` as PNG and closes it."""
    write_atomically(path, lambda part: figure.savefig(part, format="png", dpi=150, bbox_inches="tight"))
    plt.close(figure)


def error_map(cells: Sequence[Cell], title: str, path: Path) -> None:
    """Draws 1 - exact accuracy over depth and breadth, as in EqR Fig. 3."""
    _heat_map(cells, lambda cell: 1 - cell.exact_accuracy, "{:.1%}", False, title, path)


def residual_map(cells: Sequence[Cell], title: str, path: Path) -> None:
    """Draws the residual of the selected restart over depth and breadth, as in EqR Fig. 3."""
    _heat_map(cells, lambda cell: cell.residual, "{:.1e}", True, title, path)


def _heat_map(
    cells: Sequence[Cell], value: Callable[[Cell], float], label: str, log: bool, title: str, path: Path
) -> None:
    """Draws a value over depth (across) and breadth (upwards)."""
    cells = [cell for cell in cells if cell.halt == "fixed"]
    depths = sorted({cell.depth for cell in cells})
    breadths = sorted({int(cell.breadth) for cell in cells})
    values = [[0.0] * len(depths) for _ in breadths]
    for cell in cells:
        values[breadths.index(int(cell.breadth))][depths.index(cell.depth)] = value(cell)
    figure, axes = plt.subplots(figsize=(1.2 + 0.9 * len(depths), 1.2 + 0.7 * len(breadths)))
    positive = [number for row in values for number in row if number > 0]
    norm = LogNorm(min(positive), max(positive)) if log and positive else None
    image = axes.imshow(values, origin="lower", aspect="auto", cmap="viridis_r", norm=norm)
    for row, line in enumerate(values):
        for column, number in enumerate(line):
            axes.text(
                column,
                row,
                label.format(number),
                ha="center",
                va="center",
                fontsize=8,
                color="white",
                backgroundcolor="#0006",
            )
    axes.set(title=title, xlabel="depth (segments)", ylabel="breadth (restarts)")
    axes.set_xticks(range(len(depths)), [str(depth) for depth in depths])
    axes.set_yticks(range(len(breadths)), [str(breadth) for breadth in breadths])
    figure.colorbar(image)
    save_figure(figure, path)


def frontier(cells: Sequence[Cell], path: Path) -> None:
    """Draws exact accuracy against updates per puzzle (EqR Fig. 7): a line over depth per halting rule and breadth."""
    figure, axes = plt.subplots(figsize=(7, 4.5))
    for halt, breadth in dict.fromkeys((cell.halt, cell.breadth) for cell in cells):
        line = [cell for cell in cells if (cell.halt, cell.breadth) == (halt, breadth)]
        points = ([cell.updates_per_puzzle for cell in line], [cell.exact_accuracy for cell in line])
        fixed = halt == "fixed"
        axes.plot(*points, "o-" if fixed else "*--", ms=4 if fixed else 9, lw=1, label=f"{halt}, breadth {breadth}")
    axes.set(xscale="log", xlabel="updates per puzzle", ylabel="exact accuracy")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7)
    save_figure(figure, path)
