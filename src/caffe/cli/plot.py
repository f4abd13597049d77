"""``caffe plot``: loss, accuracy and learning rate of training runs as a picture."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from caffe.cli import gflags

if TYPE_CHECKING:
    from caffe.training_log import TrainingLog

    Runs = dict[str, TrainingLog]

_LIVE_SECONDS = 2.0


@click.command("plot", cls=gflags.GflagsCommand)
@click.argument("logs", nargs=-1, required=True, metavar="RUN…")
@click.option(
    "--out", default="training.png", show_default=True, help="The picture: PNG, SVG or PDF by its ending."
)
@click.option(
    "--x",
    type=click.Choice(["iterations", "seconds"]),
    default="iterations",
    show_default=True,
    help="Against what.",
)
@click.option(
    "--smooth",
    type=click.FloatRange(0, 0.999),
    default=None,
    help="Weight of the past in smoothed training losses, the raw ones stay behind; 0: none. Long runs get 0.9.",
)
@click.option("--log_scale/--nolog_scale", default=False, help="A logarithmic axis for losses.")
@click.option("--dark/--nodark", default=False, help="Light lines on a dark ground.")
@click.option("--live/--nolive", default=False, help="Draw again while the runs go on, until Ctrl-C.")
@click.option("--join/--nojoin", default=False, help="The RUNs are the pieces of one run that was resumed.")
def command(
    logs: tuple[str, ...],
    out: str,
    x: str,
    smooth: float | None,
    log_scale: bool,
    dark: bool,
    live: bool,
    join: bool,
) -> int:
    """Draw loss, scores and learning rate of RUNs: metrics.jsonl, logs of any Caffe, folders, snapshot prefixes.

    Several are compared, each in a colour, with the best point of each test curve marked.

    \b
      caffe plot snapshots/ old_caffe.log --out=curves.svg
    """
    from caffe.cli import _curves
    from caffe.errors import FileAccessError

    _curves.require()
    known = _curves.formats()
    if Path(out).suffix.lstrip(".").lower() not in known:
        raise click.BadParameter(
            f"must end in one of {', '.join(sorted(known))}; got '{out}'", param_hint="--out"
        )
    if not Path(out).resolve().parent.is_dir():
        raise FileAccessError(
            f"The picture cannot be written: there is no folder '{Path(out).parent}'", file=out
        )
    look = _curves.Look(x, smooth, log_scale, dark)
    runs = _runs(logs, join)
    _curves.draw(runs, out, look)
    click.echo(f"Wrote {out}")
    if live:
        click.echo("Drawn again as the runs go on; Ctrl-C ends it (caffe watch shows them in a browser)")
        _follow(runs, lambda: _runs(logs, join), lambda now: _curves.draw(now, out, look))
        click.echo("")
    return 0


def _runs(logs: Sequence[str], join: bool) -> Runs:
    """Name → run, in order; names that two have get their folders in front."""
    from caffe import training_log
    from caffe.web import runs

    every = [run for path in logs for run in runs.find(Path(path))]
    names = [run.name for run in every]
    titles = [n if names.count(n) == 1 else f"{run.log.parent}/{n}" for n, run in zip(names, every)]
    read = [training_log.read(run.log) for run in every]
    return {titles[0]: training_log.join(read)} if join else dict(zip(titles, read))


def _follow(drawn: Runs, read: Callable[[], Runs], draw: Callable[[Runs], None]) -> None:
    """Draw runs again whenever one has more rows than those drawn last, until Ctrl-C."""
    from caffe.errors import CaffeError

    # A KeyboardInterrupt in the middle of a drawing may get lost in a library's callback; an event does not.
    ended = threading.Event()
    before = signal.signal(signal.SIGINT, lambda *_: ended.set())
    try:
        while not ended.wait(_LIVE_SECONDS):
            with suppress(CaffeError):  # a file that is being written: the next look finds it whole
                runs = read()
                if _lengths(runs) != _lengths(drawn):
                    draw(runs)
                    drawn = runs
    finally:
        signal.signal(signal.SIGINT, before)


def _lengths(runs: Runs) -> dict[str, tuple[int, int]]:
    return {name: (len(run.train), len(run.test)) for name, run in runs.items()}


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    return gflags.run(command, argv)


if __name__ == "__main__":
    sys.exit(main())
