"""Figures of findings, one function for each kind. Only draws."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator, PercentFormatter

from eqr.analysis.basins import MODES, Basins
from eqr.analysis.correlation import SIGNS, Budgets, Judges, powers
from eqr.analysis.decoded import Trajectory
from eqr.analysis.difficulty import Steps
from eqr.analysis.frames import frame
from eqr.analysis.independence import PathIndependence
from eqr.analysis.jacobian import Spectrum
from eqr.analysis.residuals import ResidualDepth
from eqr.measure.plots import save_figure
from eqr.storage.files import write_atomically
from eqr.tasks import Task

RIGHT, WRONG, MOVING = "#2a9d57", "#c8553d", "#8d99ae"
OTHERS = ("#c8553d", "#3d6fc8", "#e0a030", "#8a4fb0", "#50b8b8", "#a0522d")
"""Colours of the heaviest wrong answers; further wrong answers are grey."""
MARKS = {1: ("o", "fixed point"), 2: ("s", "cycle"), 0: ("x", "wandering")}
SHOWN = 6
"""Most boards in a strip."""


def save_both(figure: Figure, stem: Path) -> None:
    """Writes ``stem``.svg and ``stem``.png; equal figures give equal bytes."""
    with rc_context({"svg.hashsalt": "eqr"}):
        svg = stem.with_name(f"{stem.name}.svg")
        write_atomically(
            svg, lambda part: figure.savefig(part, format="svg", bbox_inches="tight", metadata={"Date": None})
        )
    save_figure(figure, stem.with_name(f"{stem.name}.png"))


def _over_depth(axes: Axes, title: str) -> None:
    """Formats the x axis as depth, in powers of two."""
    axes.set(xscale="log", xlabel="depth (segments)", title=title)
    axes.xaxis.set_major_locator(LogLocator(2))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(_plain)
    axes.grid(alpha=0.3)


_plain = FuncFormatter(lambda value, _: f"{value:g}")


def residual_depth(finding: ResidualDepth, title: str) -> Figure:
    """Median and quartiles of the residual against depth, for right and for wrong rows."""
    figure, axes = plt.subplots(figsize=(6, 4))
    depths = range(1, finding.solved.shape[1] + 1)
    for band, rows, colour, name in (
        (finding.solved, finding.solved_rows, RIGHT, "right"),
        (finding.unsolved, finding.unsolved_rows, WRONG, "wrong"),
    ):
        if rows:
            lower, median, upper = band.tolist()
            axes.fill_between(depths, lower, upper, color=colour, alpha=0.2, lw=0)
            axes.plot(depths, median, color=colour, label=f"{name} at the end ({rows} rows)")
    axes.set(yscale="log", ylabel="residual |f(z) - z| / |z|")
    _over_depth(axes, title)
    axes.legend(fontsize=8)
    return figure


def correlation_budgets(finding: Budgets, title: str) -> Figure:
    """Exact accuracy against residual: one point for each budget, coloured by depth (EqR Fig. 1)."""
    figure, axes = plt.subplots(figsize=(6, 4))
    for breadth in sorted({budget.breadth for budget in finding.budgets}):
        line = [budget for budget in finding.budgets if budget.breadth == breadth]
        residuals, accuracies = [b.residual for b in line], [b.exact_accuracy for b in line]
        axes.plot(residuals, accuracies, color="#ccc", lw=0.8, zorder=1)
        points = axes.scatter(
            residuals,
            accuracies,
            c=[math.log2(b.depth) for b in line],
            s=20 + 12 * math.log2(breadth),
            vmin=0,
            vmax=math.log2(max(b.depth for b in finding.budgets)) or 1,
            zorder=2,
        )
    axes.set(xscale="log", xlabel="mean residual of the restart that answers", ylabel="exact accuracy", title=title)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.grid(alpha=0.3)
    figure.colorbar(points, label="log2 depth; larger dots: more breadth")
    return figure


def correlation_rows(finding: Judges, title: str) -> Figure:
    """AUROC of each sign against depth."""
    figure, axes = plt.subplots(figsize=(6, 4))
    depths = range(1, len(finding.right) + 1)
    names = {"residual": "residual", "logit_change": "change of logits", "halt_logit": "halting head"}
    for sign, style in zip(SIGNS, ("-", "--", ":"), strict=True):
        axes.plot(depths, finding.auroc[sign].tolist(), style, lw=2, label=f"AUROC, {names[sign]}")
    axes.plot(depths, finding.right.tolist(), color="#bbb", lw=1, label="share of rows that are right")
    axes.set(ylim=(0, 1.03))
    _over_depth(axes, title)
    axes.legend(fontsize=8)
    return figure


def steps(finding: Steps, title: str) -> Figure:
    """Segments to the right answer against difficulty: a dot for each row that ends right, and medians of groups."""
    figure, axes = plt.subplots(figsize=(6, 4))
    there = finding.right_at > 0
    hard = finding.difficulty.unsqueeze(1).expand_as(finding.right_at)[there]
    axes.plot(hard.tolist(), finding.right_at[there].tolist(), ".", color=RIGHT, alpha=0.3, ms=5, label="a restart")
    for group in finding.groups:
        if math.isfinite(group.steps):
            label = "median of a group" if group is finding.groups[0] else None
            axes.plot([group.least, group.most], [group.steps] * 2, color="black", lw=2, marker="|", label=label)
    axes.set(yscale="log", xlabel=finding.measure, ylabel="segments to the right answer", title=title)
    if finding.measure == "rating":  # from 0, over magnitudes
        axes.set_xscale("symlog")
        axes.set_xlim(-0.5, None)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(_plain)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure


def basins(finding: Basins, title: str) -> Figure:
    """End states along two principal components, coloured by answer, beside the mass of each answer."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), width_ratios=(3, 2))
    colours = _colours_of(finding)
    kinds = finding.period.clamp(max=2)
    for kind, (mark, name) in MARKS.items():
        here = kinds == kind
        if here.any():
            dots = [colours[basin] for basin in finding.basin[here].tolist()]
            left.scatter(*finding.coordinates[here].T.tolist(), c=dots, marker=mark, s=22, alpha=0.7, label=name)
    shares = finding.explained.tolist()
    left.set(xlabel=f"component 1 ({shares[0]:.0%} of variance)", ylabel=f"component 2 ({shares[1]:.0%})")
    left.legend(fontsize=8)
    left.set_title(f"end states of {len(finding.right)} starts", fontsize=9)
    shown = finding.basins[:8]
    bars = [*(basin.mass for basin in shown), sum(basin.mass for basin in finding.basins[8:])]
    names = [
        *(f"{'right' if basin.right else 'wrong'}, residual {basin.residual:.0e}" for basin in shown),
        f"{max(0, len(finding.basins) - 8)} other answers",
    ]
    right.barh(range(len(bars)), bars, color=[*colours[: len(shown)], "#bbb"])
    right.set_yticks(range(len(bars)), names, fontsize=7)
    right.invert_yaxis()
    right.xaxis.set_major_formatter(PercentFormatter(1))
    right.set_title("starts by answer", fontsize=9)
    figure.suptitle(f"{title}: ({finding.mode}) {MODES[finding.mode]}", fontsize=10)
    figure.tight_layout()
    return figure


def _colours_of(finding: Basins) -> list[str]:
    wrong = iter(OTHERS)
    return [RIGHT if basin.right else next(wrong, "#bbb") for basin in finding.basins]


def spectrum(finding: Spectrum, title: str) -> Figure:
    """Spectral radius at each end state against the state's residual."""
    figure, axes = plt.subplots(figsize=(6, 4))
    marks = {"right": (RIGHT, "o"), "wrong, at rest": (WRONG, "s"), "wrong, moving": (MOVING, "x")}
    for name, chosen in finding.groups().items():
        colour, mark = marks[name]
        if chosen.any():
            points = (finding.residual[chosen].tolist(), finding.radius[chosen].tolist())
            axes.scatter(*points, c=colour, marker=mark, s=18, alpha=0.7, label=f"{name} ({int(chosen.sum())})")
    axes.axhline(1, color="black", lw=0.8)
    axes.set(xscale="log", xlabel="residual of the end state", ylabel="spectral radius of the Jacobian", title=title)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure


def path_independence(finding: PathIndependence, title: str) -> Figure:
    """Agreement of starts, Delta-PI, and the accuracies of random and cold starts against depth."""
    figure, axes = plt.subplots(figsize=(6, 4))
    depths = range(1, len(finding.delta) + 1)
    axes.plot(depths, finding.random_accuracy.tolist(), color=RIGHT, label="exact accuracy, random starts")
    axes.plot(depths, finding.cold_accuracy.tolist(), "--", color="black", label="exact accuracy, cold start")
    axes.plot(depths, finding.agreement.tolist(), color="#3d6fc8", label="pairs of starts with the same answer")
    axes.plot(depths, finding.delta.tolist(), color=WRONG, label=f"Delta-PI({finding.starts})")
    axes.set(ylim=(0, 1.03))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    _over_depth(axes, title)
    axes.legend(fontsize=8)
    return figure


def strip_of(task: Task) -> Callable[[Trajectory, str], Figure]:
    """Returns a function that draws a trajectory of ``task`` as a strip of boards."""

    def strip(finding: Trajectory, title: str) -> Figure:
        last = finding.last_change
        # Powers of two, and always the last change.
        depths = [depth for depth in powers(max(last, 2)) if depth <= len(finding.written)]
        depths = sorted({*depths[: SHOWN - 1], depths[-1]})
        figure, panels = plt.subplots(1, len(depths), figsize=(2.6 * len(depths), 3), squeeze=False)
        for depth, axes in zip(depths, panels[0], strict=True):
            _board(axes, frame(task, finding, depth - 1))
            axes.set_title(f"depth {depth}\nresidual {float(finding.history.residual[depth - 1]):.1e}", fontsize=8)
        figure.suptitle(title, fontsize=9)
        return figure

    return strip


def _board(axes: Axes, picture: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
    axes.imshow(picture, interpolation="antialiased")
    axes.set_axis_off()
