"""``caffe draw_net``: draw a net's graph into a picture."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from caffe.cli import gflags, paths

_PHASES = {"TRAIN": 0, "TEST": 1, "ALL": None}


@click.command("draw_net", cls=gflags.GflagsCommand)
@click.argument("input_net_proto_file", type=paths.FILE, metavar="NET.prototxt")
@click.argument("output_image_file", metavar="PICTURE")
@click.option("--rankdir", default="LR", show_default=True, help="Direction of the graph: LR, RL, TB or BT.")
@click.option(
    "--phase",
    type=click.Choice(list(_PHASES)),
    default="ALL",
    show_default=True,
    help="Which layers to draw.",
)
@click.option("--display_lrm/--nodisplay_lrm", default=False, help="Show the learning rate multipliers.")
def command(
    input_net_proto_file: str, output_image_file: str, rankdir: str, phase: str, display_lrm: bool
) -> int:
    """Draw the net of a prototxt into PICTURE, whose ending is the format: .png, .svg, .pdf, .dot …

    All but .dot need Graphviz.

    \b
      caffe draw_net train_val.prototxt net.png --rankdir=TB
    """
    from caffe import draw
    from caffe.formats import prototxt

    net = prototxt.read_net(input_net_proto_file).param
    click.echo(f"Drawing net to {output_image_file}")
    draw.draw_net_to_file(net, output_image_file, rankdir.upper(), _PHASES[phase], display_lrm)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    return gflags.run(command, argv)


if __name__ == "__main__":
    sys.exit(main())
