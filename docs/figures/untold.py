"""Draws docs/figures/untold.png, cell error against training FLOP of networks that are told nothing of Sudoku, and
prints the table of docs/record.md.

Run it from the repository's root: `python docs/figures/untold.py`. It reads docs/figures/untold.jsonl, one run a line:

- ``candidate``, ``settings``, ``seed``, ``steps``;
- ``flop``: of the matrix products of training (forward, and twice that for the gradient; burn-in forward alone);
- ``loss``: the training loss of the log, (step, loss) in at most 40 places;
- ``extra``, ``no_guess``, ``hard``: 256 rows of train_extra_2k; 128 generated puzzles without guesses, and with 8 or
  more. After 16 and 64 updates from one start: the cell loss, the share of blank cells that are right, and the exact
  accuracy. Runs without ``hard`` were measured on 128 rows of train_extra_2k and on 128 puzzles without guesses of the
  training pool, of which a run of 1e13 FLOP had drawn a fifth at most, each once or twice and under another symmetry.
"""

import json
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt

from eqr.measure.plots import save_figure

HERE = Path(__file__).parent
SETS = {"no_guess": "generated, without guesses", "extra": "Sudoku-Extreme (train_extra_2k)"}
UPDATES = ("16", "64")
STAGES = "synthesizer, full decay, then ", "synthesizer, large"
"""First words of the candidates that go on from the run before, to the bundled models."""
RIGHT, EXACT = 1, 2
"""Places in the figures of a set."""


def error(run: dict[str, Any], name: str) -> float:
    """Share of wrong blank cells, at the better of the two depths."""
    return float(1 - max(run[name][updates][RIGHT] for updates in UPDATES))


def table(runs: list[dict[str, Any]]) -> str:
    """The runs as Markdown: each set's share of right blank cells and exact accuracy, at the better of two depths."""
    lines = ["| candidate | FLOP | seed | steps | no_guess: cells, exact | hard | extra |", "|---" * 7 + "|"]
    for run in runs:
        figures = []
        for name in ("no_guess", "hard", "extra"):
            if name not in run:
                figures.append("-")
                continue
            cells, exact = (max(run[name][updates][place] for updates in UPDATES) for place in (RIGHT, EXACT))
            figures.append(f"{cells:.1%}, {exact:.1%}")
        parts = [run["candidate"], f"{run['flop']:.3g}", run["seed"], f"{run['steps']:,}", *figures]
        lines.append("| " + " | ".join(map(str, parts)) + " |")
    return "\n".join(lines)


def draw(runs: list[dict[str, Any]]) -> None:
    """One panel a set; a point for each run of candidates of several sizes, with a line fitted to the logarithms;
    a star for each stage that leads to the bundled models."""
    figure, panels = plt.subplots(1, len(SETS), figsize=(6 * len(SETS), 4.5), sharey=True)
    for axes, (name, title) in zip(panels, SETS.items(), strict=True):
        for candidate, group in groupby(runs, key=lambda run: run["candidate"]):
            points = np.array([(run["flop"], error(run, name)) for run in group])
            if len(set(points[:, 0])) < 2:
                continue
            drawn = axes.scatter(*points.T, label=candidate, s=24)
            slope, height = np.polyfit(*np.log(points).T, 1)
            ends = np.array([points[:, 0].min(), points[:, 0].max()])
            axes.plot(ends, np.exp(height) * ends**slope, color=drawn.get_facecolor()[0], lw=1)
        stages = sorted((run["flop"], error(run, name)) for run in runs if run["candidate"].startswith(STAGES))
        shown = np.array([stage for stage in stages if stage[1]])  # no error has no logarithm
        axes.plot(*shown.T, "k*--", lw=1, label="the later stages of the bundled models")
        axes.set(xscale="log", yscale="log", title=title, xlabel="training FLOP")
    panels[0].set_ylabel("share of blank cells wrong")
    panels[-1].legend(fontsize=7, loc="lower left")
    save_figure(figure, HERE / "untold.png")


if __name__ == "__main__":
    lines = (HERE / "untold.jsonl").read_text().splitlines()
    found = sorted(map(json.loads, lines), key=lambda run: (run["candidate"], run["flop"], run["seed"]))
    print(table(found))
    draw(found)
