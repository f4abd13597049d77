"""``caffe draw``: a net on one sheet of paper."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from caffe.cli import gflags, paths


@click.command("draw", cls=gflags.GflagsCommand)
@click.argument("net", type=paths.FILE, metavar="NET.prototxt")
@click.argument("picture", metavar="PICTURE", default="")
@click.option(
    "--phase",
    type=click.Choice(["TEST", "TRAIN"]),
    default="TEST",
    show_default=True,
    help="Which layers to draw.",
)
@click.option("--whole", is_flag=True, help="Draw every repetition of a block, not the first and a number.")
@click.option("--columns", type=click.IntRange(0, 26), default=0, help="Columns of a long net; 0: as fits.")
def command(net: str, picture: str, phase: str, whole: bool, columns: int) -> int:
    """Draw the net of a prototxt on one sheet (A3), readable when printed.

    A box is a layer, with what works on its result (BatchNorm, Scale, ReLU …) as chips in it and the blob's size
    at the arrow; blocks that repeat are drawn once. PICTURE's ending is the format: .pdf, .svg, .png, .dot …;
    without PICTURE it is the net's name with .pdf. All but .dot need Graphviz. The look of Caffe's own draw_net.py
    is in caffe draw_net.

    \b
      caffe draw deploy.prototxt net.svg
    """
    from pathlib import Path

    from caffe import draw
    from caffe.formats import prototxt
    from caffe.proto import caffe_pb2
    from caffe.web import diagram

    target = picture or str(Path(net).with_suffix(".pdf"))
    if not picture and Path(target).exists():
        raise click.UsageError(f"{target} exists: give the picture a name")
    number = caffe_pb2.Phase.Value(phase)
    text = diagram.dot(prototxt.read_net(net), number, whole, columns)
    draw.write(target, lambda ext: draw.drawn(text, ext))
    click.echo(f"Net drawn to {target}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    return gflags.run(command, argv)


if __name__ == "__main__":
    sys.exit(main())
