"""``caffe deploy``: the net to deploy, from the one that is trained."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from caffe.cli import _images, gflags, paths


@click.command("deploy", cls=gflags.GflagsCommand)
@click.argument("train_val", type=paths.FILE, metavar="TRAIN_VAL.prototxt")
@click.argument("deploy", metavar="DEPLOY.prototxt")
@click.option(
    "--shape", default="", help="The input's shape, as 1,3,227,227; the data layer's crop if left out."
)
@click.option("--force/--noforce", default=False, help="Replace DEPLOY if it exists.")
def command(train_val: str, deploy: str, shape: str, force: bool) -> int:
    """Write the net to deploy: an Input in place of data layers, a Softmax in place of the loss.

    Labels, losses and accuracies go, as do fillers and multipliers.

    \b
      caffe deploy train_val.prototxt deploy.prototxt --shape=1,3,227,227
    """
    from caffe.formats import prototxt
    from caffe.passes.forms import deploy_form

    paths.must_not_exist(deploy, force)
    dims = _images.numbers(shape, "--shape") if shape else []
    if any(dim < 1 for dim in dims):
        raise click.BadParameter(f"must be lengths of at least 1; got '{shape}'", param_hint="--shape")
    prototxt.write(deploy, deploy_form(prototxt.read_net(train_val), dims))
    click.echo(f"Wrote {deploy}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    return gflags.run(command, argv)


if __name__ == "__main__":
    sys.exit(main())
