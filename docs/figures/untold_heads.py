"""Draws docs/figures/untold_heads.png, which cells hear which in a network that is told nothing of Sudoku, and prints
how much of each head rows, columns and boxes explain.

Run it from the repository's root: `python docs/figures/untold_heads.py [MODEL]`; by default the model is the bundled
`sudoku_untold`. Each panel is a head: the weights with which one cell hears the 81 cells of the board. The table has
the least squares fit of all 81 x 81 weights on "the same cell, row, column, box": R^2, and the coefficients.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from numpy.typing import NDArray

import eqr
from eqr.measure.plots import save_figure

CELL = (2, 3)
"""Row and column, from 0, of the cell whose weights are drawn."""


def membership() -> NDArray[np.float64]:
    """(6561, 5): for each pair of cells, whether they are one cell, share a row, a column, a box; and 1."""
    row, col = np.divmod(np.arange(81), 9)
    box = row // 3 * 3 + col // 3
    pairs = [np.eye(81), *(of[:, None] == of[None] for of in (row, col, box)), np.ones((81, 81))]
    return np.stack([np.asarray(pair, float).ravel() for pair in pairs], 1)


def fitted(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """R^2 and the coefficients of the fit of (81, 81) weights on ``membership``."""
    known, flat = membership(), weights.ravel()
    found = np.linalg.lstsq(known, flat, rcond=None)[0]
    return 1 - np.var(flat - known @ found) / np.var(flat), found


if __name__ == "__main__":
    model = eqr.load(sys.argv[1] if len(sys.argv) > 1 else "sudoku_untold")
    weights = {name: p.detach().numpy() for name, p in model.named_parameters() if name.endswith(".cells")}
    heads = [
        (f"block {block + 1}, head {h + 1}", of)
        for block, all in enumerate(weights.values())
        for h, of in enumerate(all)
    ]
    figure, panels = plt.subplots(len(weights), len(heads) // len(weights), figsize=(10, 5.4))
    print("| head | R^2 | same cell | row | column | box |\n|---|---|---|---|---|---|")
    for axes, (name, of) in zip(panels.flat, heads, strict=True):
        share, found = fitted(of)
        print(f"| {name} | {share:.2f} | " + " | ".join(f"{value:+.3f}" for value in found[:4]) + " |")
        heard = of[9 * CELL[0] + CELL[1]].reshape(9, 9)
        most = np.abs(heard).max()
        axes.imshow(heard, cmap="RdBu", vmin=-most, vmax=most)
        axes.set(xticks=[2.5, 5.5], yticks=[2.5, 5.5], xticklabels=[], yticklabels=[])
        axes.grid(color="black", lw=0.5)
        axes.plot(*CELL[::-1], "k.", ms=4)
        axes.set_title(f"{name}, R$^2$ {share:.2f}", fontsize=8)
    save_figure(figure, Path(__file__).with_suffix(".png"))
