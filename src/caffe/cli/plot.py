"""``caffe plot``: loss, accuracy and learning rate of training runs as a picture."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from caffe.cli import gflags, paths

if TYPE_CHECKING:
    from caffe.training_log import Row, TrainingLog

_AXES = {"iterations": ("NumIters", "iteration"), "seconds": ("Seconds", "seconds")}
_COLOURS = ["#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf"]


@click.command("plot", cls=gflags.GflagsCommand)
@click.argument("logs", type=paths.FILE, nargs=-1, required=True)
@click.option(
    "--out", default="training.png", show_default=True, help="The picture: PNG, SVG or PDF by its ending."
)
@click.option(
    "--x", type=click.Choice(list(_AXES)), default="iterations", show_default=True, help="Against what."
)
@click.option("--log_scale/--nolog_scale", default=False, help="A logarithmic axis for losses.")
@click.option("--join/--nojoin", default=False, help="LOGS are the pieces of one run that was resumed.")
def command(logs: tuple[str, ...], out: str, x: str, log_scale: bool, join: bool) -> int:
    """Draw loss, accuracy and learning rate of LOGS (logs of the original, of this package, or metrics.jsonl).

    Several are compared, each in a colour; --join draws them as one run.
    """
    from caffe import training_log
    from caffe.errors import FileAccessError, MissingPackageError

    try:
        import matplotlib
    except ImportError:
        raise MissingPackageError.of("matplotlib", "plot", "caffe plot") from None
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    known = plt.figure().canvas.get_supported_filetypes()
    if Path(out).suffix.lstrip(".").lower() not in known:
        raise click.BadParameter(
            f"must end in one of {', '.join(sorted(known))}; got '{out}'", param_hint="--out"
        )
    if not Path(out).resolve().parent.is_dir():
        raise FileAccessError(
            f"The picture cannot be written: there is no folder '{Path(out).parent}'", file=out
        )
    runs = {path: training_log.read(path) for path in logs}
    if join:
        runs = {logs[0]: training_log.join(list(runs.values()))}
    has_scores = any(_names(run.test, loss=False) for run in runs.values())
    figure, axes = plt.subplots(3 if has_scores else 2, 1, sharex=True, figsize=(8, 9 if has_scores else 6))
    for i, (path, run) in enumerate(runs.items()):
        prefix = f"{Path(path).stem}: " if len(runs) > 1 else ""
        _draw(axes, run, _AXES[x][0], prefix, _COLOURS[i % len(_COLOURS)], len(runs) > 1)
    axes[0].set_ylabel("loss")
    if log_scale:
        axes[0].set_yscale("log")
    if has_scores:
        axes[1].set_ylabel("test outputs")
    axes[-1].set_ylabel("learning rate")
    axes[-1].set_xlabel(_AXES[x][1])
    for ax in axes:
        ax.grid(alpha=0.3)
        if ax.get_legend_handles_labels()[0]:
            ax.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(out, dpi=110)
    click.echo(f"Wrote {out}")
    return 0


def _names(rows: list[Row], loss: bool) -> list[str]:
    found = dict.fromkeys(name for row in rows for name in row)
    return [
        n for n in found if n not in ("NumIters", "Seconds", "LearningRate") and ("loss" in n.lower()) == loss
    ]


def _draw(axes: Any, run: TrainingLog, x: str, prefix: str, colour: str, many: bool) -> None:
    for names, rows, ax, kind, style in (
        (_names(run.train, True), run.train, axes[0], "train", "-"),
        (_names(run.test, True), run.test, axes[0], "test", "o--"),
        (_names(run.test, False), run.test, axes[1], "test", "o-"),
    ):
        for k, name in enumerate(names):
            points = [(row[x], row[name]) for row in rows if name in row]
            shade = colour if many else _COLOURS[(k + (kind == "test" and ax is axes[0])) % len(_COLOURS)]
            ax.plot(
                *zip(*points), style, label=f"{prefix}{kind} {name}", color=shade, markersize=3, linewidth=1.2
            )
    rates = [(row[x], row["LearningRate"]) for row in run.train if row["LearningRate"] == row["LearningRate"]]
    if rates:
        axes[-1].plot(*zip(*rates), color=colour, label=f"{prefix}lr" if many else None, linewidth=1.2)


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    return gflags.run(command, argv)


if __name__ == "__main__":
    sys.exit(main())
