"""caffe root: the folder that tutorials call caffe_root."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from caffe.cli.gflags import GflagsCommand, run


@click.command("root", cls=GflagsCommand)
@click.argument("folder", metavar="DIR")
@click.option(
    "--from",
    "sources",
    multiple=True,
    help="A folder that is searched for data, labels, pictures and weights; may be repeated.",
)
@click.option("--weights", multiple=True, metavar="NAME", help="A model whose weights to download.")
@click.option("--offline/--nooffline", default=False, help="Download nothing.")
def command(folder: str, sources: tuple[str, ...], weights: tuple[str, ...], offline: bool) -> None:
    """Lay out DIR as the tutorials' caffe_root: models/, data/, examples/images/, python/caffe/imagenet/.

    Definitions are written, data and labels downloaded where the network allows it, weights where --weights
    names them; files at hand are taken --from where they are, checked where a digest is known. What could not be
    had is listed with the reason.

    \b
      caffe root caffe --weights=bvlc_reference_caffenet
    """
    from caffe.models.root import lay_out

    layout = lay_out(folder, sources=sources, weights=weights, offline=offline)
    for what, paths in (("wrote", layout.written), ("brought", layout.brought)):
        for path in paths:
            click.echo(f"{what}  {path}")
    for name, reason in layout.missing.items():
        click.echo(f"missing  {Path(folder) / name}: {reason.strip()}", err=True)
    click.echo(f"{len(layout.written)} written, {len(layout.brought)} brought, {len(layout.missing)} missing")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    return run(command, argv, "caffe root")


if __name__ == "__main__":
    sys.exit(main())
