"""Curves of training runs, drawn with matplotlib."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caffe import training_log
from caffe.errors import MissingPackageError
from caffe.formats import atomic
from caffe.training_log import Row, TrainingLog

_AXES = {"iterations": ("NumIters", "iteration"), "seconds": ("Seconds", "seconds")}
_LIGHT = ["#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#e07b00", "#0f9bb0"]
_DARK = ["#6db3f2", "#ff7b72", "#7ee787", "#c9a7ff", "#ffb454", "#56d4dd"]
_LONG = 60
"""Points from which on a training curve is smoothed unless the user says otherwise."""


@dataclass(frozen=True)
class Look:
    """How to draw. ``smooth`` None: 0.9 for long curves, nothing for short ones."""

    x: str = "iterations"
    smooth: float | None = None
    log_scale: bool = False
    dark: bool = False


def require() -> None:
    """Raise MissingPackageError where matplotlib is not installed."""
    try:
        import matplotlib
    except ImportError:
        raise MissingPackageError.of("matplotlib", "plot", "caffe plot") from None
    matplotlib.use("Agg")


def formats() -> set[str]:
    """The endings that pictures may have."""
    from matplotlib.backend_bases import FigureCanvasBase

    return set(FigureCanvasBase.get_supported_filetypes())


def smoothed(values: Sequence[float], weight: float) -> list[float]:
    """The exponential mean of values, without the pull to zero at its start (Kingma and Ba 2015).

    A value that is not finite is left out.
    """
    means, total, share = [], 0.0, 0.0
    for value in values:
        if math.isfinite(value):
            total = weight * total + (1 - weight) * value
            share = weight * share + (1 - weight)
        means.append(total / share if share else value)
    return means


def draw(runs: Mapping[str, TrainingLog], out: str | os.PathLike[str], look: Look) -> None:
    """Draw runs by name into a picture, whose ending is its format. Raises FileAccessError."""
    import matplotlib.pyplot as plt

    scores = any(_names(run.test, loss=False) for run in runs.values())
    with plt.style.context("dark_background" if look.dark else "default"):
        figure, axes = plt.subplots(
            3 if scores else 2,
            1,
            sharex=True,
            figsize=(9, 9 if scores else 6.5),
            gridspec_kw={"height_ratios": [3, 3, 1.2] if scores else [3, 1.2]},
        )
        colours = _DARK if look.dark else _LIGHT
        for i, (name, run) in enumerate(runs.items()):
            _run(axes, run, look, f"{name}: " if len(runs) > 1 else "", colours, i if len(runs) > 1 else None)
        axes[0].set_ylabel("loss")
        if look.log_scale:
            axes[0].set_yscale("log")
        if scores:
            axes[1].set_ylabel("test outputs")
        axes[-1].set_ylabel("learning rate")
        axes[-1].set_xlabel(_AXES[look.x][1])
        for ax in axes:
            ax.grid(alpha=0.25)
            ax.spines[["top", "right"]].set_visible(False)
            if ax.get_legend_handles_labels()[0]:
                ax.legend(fontsize=8, framealpha=0.6)
        figure.suptitle(next(iter(runs)) if len(runs) == 1 else f"{len(runs)} runs", fontsize=11)
        figure.tight_layout()
        try:
            with atomic.replacing(out) as temporary:
                figure.savefig(temporary, format=Path(out).suffix[1:].lower(), dpi=120)
        finally:
            plt.close(figure)


def _run(
    axes: Any, run: TrainingLog, look: Look, prefix: str, colours: list[str], number: int | None
) -> None:
    """``number``: which of several runs this is, each of one colour; else every curve has its own."""
    x = _AXES[look.x][0]
    taken = 0

    def colour() -> str:
        nonlocal taken
        taken += 1
        return colours[(taken - 1 if number is None else number) % len(colours)]

    for name in _names(run.train, loss=True):
        _training_curve(axes[0], *_points(run.train, x, name), look.smooth, f"{prefix}{name}", colour())
    for ax, loss in ((axes[0], True), (axes[1], False)):
        for name in _names(run.test, loss):
            xs, ys = _points(run.test, x, name)
            style, shade = ("--" if loss else "-"), colour()
            label = f"{prefix}test {name}"
            best = training_log.best(run.test, name)
            if best is not None and sum(map(math.isfinite, ys)) > 1:
                label += f" (best {best[name]:.4g})"
                ax.plot(best[x], best[name], "*", color=shade, markersize=11, zorder=5)
            ax.plot(xs, ys, style, label=label, color=shade, marker="o", markersize=2.5, linewidth=1.4)
    rates = [(row[x], row["LearningRate"]) for row in run.train if math.isfinite(row["LearningRate"])]
    if rates:
        shade = colours[(number or 0) % len(colours)]
        axes[-1].plot(*zip(*rates), color=shade, label=f"{prefix}lr" if prefix else None, linewidth=1.2)


def _training_curve(
    ax: Any, xs: list[float], ys: list[float], weight: float | None, label: str, colour: str
) -> None:
    if weight is None:
        weight = 0.9 if len(ys) > _LONG else 0.0
    if not weight:
        ax.plot(xs, ys, "-", label=label, color=colour, linewidth=1.3)
        return
    ax.plot(xs, ys, "-", color=colour, linewidth=0.7, alpha=0.3)
    ax.plot(xs, smoothed(ys, weight), "-", label=f"{label} (smoothed)", color=colour, linewidth=1.6)


def _points(rows: Sequence[Row], x: str, name: str) -> tuple[list[float], list[float]]:
    here = [row for row in rows if name in row]
    return [row[x] for row in here], [row[name] for row in here]


def _names(rows: Sequence[Row], loss: bool) -> list[str]:
    return [name for name in training_log.outputs(rows) if ("loss" in name.lower()) == loss]
