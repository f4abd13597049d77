"""``caffe serve``: nets behind HTTP, for programs (Open Inference Protocol 2) and for photos."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from caffe.cli import gflags
from caffe.cli.paths import must_exist


@click.command("serve", cls=gflags.GflagsCommand)
@click.argument("net", required=False, metavar="[NET.prototxt|FOLDER]")
@click.argument("weights", required=False, metavar="[WEIGHTS]")
@click.option("--name", default="", help="The model's name in addresses; the net's folder where left out.")
@click.option("--repository", default="", help="A folder of models: <model>/<version>/ with net and weights.")
@click.option("--labels", default="", help="A line for each class, or SSD's label map.")
@click.option(
    "--mean", default=None, help="Subtracted from pixels: numbers, a .npy or .binaryproto file, none."
)
@click.option("--input_scale", default=None, type=float, help="Factor after the mean.")
@click.option("--channel_swap", default=None, help="2,1,0 (blue first, the default) or 0,1,2.")
@click.option("--threshold", default=0.5, show_default=True, help="The least score of a box.")
@click.option(
    "--anchors", default="", help="Widths, heights of YOLO's anchors, for nets without output layer."
)
@click.option("--batch", default=8, show_default=True, help="The most requests that run as one.")
@click.option("--workers", default=1, show_default=True, help="Processes for each model.")
@click.option(
    "--compile/--nocompile", "compiles", default=False, help="Compile the nets first: takes a while."
)
@click.option("--gpu", default="", help="The device to run on; the CPU where left out.")
@click.option("--python/--nopython", default=False, help="Serve nets with Python layers: they run as you.")
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address; others than loopback need the token."
)
@click.option("--port", default=8000, show_default=True, help="Port; 0 takes a free one.")
@click.option("--token", default="", help="The token for other addresses; a new one where left out.")
@click.option("--max_body", default=32, show_default=True, help="MiB of a request.")
@click.option("--max_pixels", default=40_000_000, show_default=True, help="Pixels of an image.")
@click.option("--max_queue", default=256, show_default=True, help="Waiting requests; more are answered 429.")
@click.option("--timeout", default=30.0, show_default=True, help="Seconds until an answer.")
def command(net: str | None, weights: str | None, **flags: Any) -> int:
    """Serve NET with WEIGHTS, or the model in FOLDER, over HTTP: a page for photos at /, the interface at /docs.

    \b
      caffe serve deploy.prototxt net.caffemodel --labels=synset_words.txt
      caffe serve runs/cats
      curl --data-binary @cat.jpg http://127.0.0.1:8000/classify
    """
    from caffe.web import hosting

    hosting.require("caffe serve")
    os.environ.setdefault("CAFFE_OUTPUT_FOLDERS", os.getcwd())  # nets of strangers write nowhere else
    served = _served(net, weights, flags)
    from caffe.serving import app

    host = flags["host"]
    token = flags["token"] or ("" if host in hosting.LOOPBACK else hosting.new_token())
    listening = hosting.listen(host, flags["port"])
    where = hosting.address(host, listening, token)
    click.echo(f"Starting {', '.join(f'{s.name} {s.version}' for s in served)} …")
    application = app.application(served, host, token)
    hosting.run(
        application,
        listening,
        announce=lambda: click.echo(f"Serving on {where} (interface: /docs; Ctrl+C ends it)"),
        timeout_graceful_shutdown=30,
        limit_concurrency=1000,
    )
    return 0


def _served(net: str | None, weights: str | None, flags: dict[str, Any]) -> list[Any]:
    """The models that arguments and flags name."""
    from caffe.errors import MissingFileError
    from caffe.formats import model_folder
    from caffe.serving import settings

    folder = model_folder.instead_of(net or "", weights)
    if folder is not None:
        flags["name"] = flags["name"] or Path(net or "").resolve().name.split(".")[0]
        net, weights = str(folder.deploy), str(folder.weights)
        if folder.labels and not flags["labels"]:
            flags["labels"] = str(folder.labels_file)
    if bool(flags["repository"]) == bool(net):
        raise click.UsageError("Give NET and WEIGHTS, a model folder, or --repository.")
    if net and not weights:
        raise click.UsageError("Give the net's WEIGHTS behind it.")
    for path in filter(None, (net, weights, flags["labels"])):
        must_exist(path)
        if not Path(path).is_file():
            raise MissingFileError("is no file", file=path)
    for name, least in (("batch", 1), ("workers", 1), ("max_body", 1), ("max_pixels", 1), ("max_queue", 1)):
        if flags[name] < least:
            raise click.BadParameter(f"must be at least {least}; got {flags[name]}", param_hint=f"--{name}")
    limits = settings.Limits(
        body_bytes=flags["max_body"] << 20,
        pixels=flags["max_pixels"],
        seconds=flags["timeout"],
        queue=flags["max_queue"],
    )
    base = settings.Served(
        name=flags["name"] or (Path(net).resolve().parent.name if net else ""),
        net=net or "",
        weights=weights or "",
        labels=flags["labels"],
        mean=_mean(flags["mean"]),
        scale=flags["input_scale"],
        rgb=_rgb(flags["channel_swap"]),
        threshold=flags["threshold"],
        anchors=_anchors(flags["anchors"]),
        batch=flags["batch"],
        workers=flags["workers"],
        compiles=flags["compiles"],
        python=flags["python"],
        device=flags["gpu"],
        limits=limits,
    )
    if folder is not None:
        base = replace(base, **folder.preparation | base.preparation)
    return settings.repository(flags["repository"], base) if flags["repository"] else [base]


def _mean(text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    import numpy as np

    from caffe.cli import _images

    mean = _images.read_mean(text)
    if mean is None:
        return (0.0,)
    values = np.asarray(mean, np.float64)
    return tuple(float(v) for v in (values.mean(axis=(1, 2)) if values.ndim == 3 else values.ravel()))


def _rgb(text: str | None) -> bool | None:
    if text is None:
        return None
    from caffe.cli import _images

    order = _images.numbers(text, "--channel_swap")
    if order not in ([0, 1, 2], [2, 1, 0]):
        raise click.BadParameter(f"must be 2,1,0 or 0,1,2; got '{text}'", param_hint="--channel_swap")
    return order == [0, 1, 2]


def _anchors(text: str) -> tuple[tuple[float, float], ...]:
    from caffe.cli import _predictions

    return tuple(_predictions.anchors(text)) if text else ()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    return gflags.run(command, argv)


if __name__ == "__main__":
    sys.exit(main())
