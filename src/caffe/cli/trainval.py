"""``caffe trainval``: the net to train, from the one to deploy."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from caffe.cli import _images, gflags, paths


@click.command("trainval", cls=gflags.GflagsCommand)
@click.argument("deploy", type=paths.FILE, metavar="DEPLOY.prototxt")
@click.argument("train_val", metavar="TRAIN_VAL.prototxt")
@click.option("--train", required=True, help="The data to train on: an LMDB, a LevelDB or a list of images.")
@click.option("--test", required=True, help="The data to test on.")
@click.option("--batch_size", default=32, show_default=True, help="Images in a batch.")
@click.option(
    "--mean", default="104,117,123", show_default=True, help="A value a channel, a .binaryproto, none."
)
@click.option("--scale", default=1.0, show_default=True, help="Factor after the mean.")
@click.option("--mirror/--nomirror", default=True, help="Mirror images at random in training.")
@click.option("--classes", default=0, help="Learn the last layer anew, for so many classes.")
@click.option("--force/--noforce", default=False, help="Replace TRAIN_VAL if it exists.")
def command(deploy: str, train_val: str, train: str, test: str, **given: Any) -> int:
    """Write the net to train: data layers for both phases, SoftmaxWithLoss and Accuracy behind the scores.

    With --classes the last layer has another name and size, so that it is learned anew while weights of all
    others are taken over.

    \b
      caffe trainval deploy.prototxt train_val.prototxt --train=train_lmdb --test=test_lmdb
    """
    from caffe.finetuning import definition
    from caffe.formats import prototxt
    from caffe.passes.forms import train_form

    paths.must_not_exist(train_val, given["force"])
    if given["batch_size"] < 1:
        raise click.BadParameter(f"must be at least 1; got {given['batch_size']}", param_hint="--batch_size")
    net = prototxt.read_net(deploy)
    if given["classes"]:
        definition.renew_last(net, given["classes"])
    mean: tuple[float, ...] | str = given["mean"]
    if mean != "none" and Path(str(mean)).suffix != ".binaryproto":
        mean = tuple(float(v) for v in _images.read_mean(str(mean)))
    size = definition.input_size(net)
    sources = [
        definition.data_layer(
            source,
            size,
            given["batch_size"],
            mean,
            given["scale"],
            given["mirror"] and trains,
            shuffle=trains,
        )
        for source, trains in ((train, True), (test, False))
    ]
    prototxt.write(train_val, train_form(net, sources[0], sources[1]))
    click.echo(f"Wrote {train_val}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    return gflags.run(command, argv)


if __name__ == "__main__":
    sys.exit(main())
