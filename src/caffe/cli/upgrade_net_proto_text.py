"""caffe upgrade_net_proto_text: an old net's prototxt in the present form."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from caffe import logs
from caffe.cli.gflags import GflagsCommand, run
from caffe.formats import prototxt
from caffe.passes.upgrade import upgrade_net


@click.command("upgrade_net_proto_text", cls=GflagsCommand)
@click.argument("input")
@click.argument("output")
def command(input: str, output: str) -> None:
    """Write the net of the prototxt INPUT, of any version, to OUTPUT in the present form.

    \b
      caffe upgrade_net_proto_text old.prototxt new.prototxt
    """
    net = prototxt.read_net(input)
    if not upgrade_net(net):
        logs.error(f"File already in latest proto format: {input}")
    prototxt.write(output, net.param)
    logs.info(f"Wrote upgraded NetParameter text proto to {output}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    return run(command, argv)


if __name__ == "__main__":
    sys.exit(main())
