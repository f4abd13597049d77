"""caffe convert: a model of PyTorch or ONNX as prototxt and caffemodel."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from caffe import logs
from caffe.cli.gflags import GflagsCommand, run
from caffe.errors import InputError
from caffe.formats import atomic


@click.command("convert", cls=GflagsCommand)
@click.argument("source")
@click.argument("out")
@click.option("--dialect", default="bvlc", show_default=True, help="Whose layers may be used.")
@click.option("--v1/--nov1", default=False, help="Write OUT_v1 too, in the form of 2014, for old parsers.")
@click.option("--from", "read", metavar="NAME", help="Of a prototxt: the dialect that it is in.")
@click.option("--fold/--nofold", default=False, help="Put BatchNorm into the convolutions before.")
@click.option("--shape", "shapes", multiple=True, help="An input's shape: 1,3,224,224 or NAME:1,3,224,224.")
@click.option("--outputs", default="", help="Tensors of an ONNX model to stop at, between commas.")
@click.option("--weights", help="A state_dict (.pth, .safetensors) for a model made by code; a caffemodel.")
@click.option("--pretrained/--nopretrained", default=False, help="torchvision's or timm's trained weights.")
@click.option("--ranges", "folder", help="A folder of images: writes OUT.ranges.json for int8.")
@click.option("--images", "photos", help="A folder of images to check on, in place of random numbers.")
@click.option("--mean", default="", help="Of images: taken off values of 0 to 255, as 104,117,123.")
@click.option("--scale", default="", help="Of images: then multiplied by, one number or three.")
@click.option("--rgb/--bgr", default=False, help="Of images: the order of the channels.")
@click.option(
    "--report", "report_file", help="Write the report as JSON to this file, errors of layers included."
)
@click.option("--layers/--nolayers", default=False, help="Print the error of every layer.")
@click.option("--check/--nocheck", default=True, help="Compare net and model on random inputs.")
@click.option("--force/--noforce", default=False, help="Replace files that are there.")
def command(
    source: str,
    out: str,
    dialect: str,
    v1: bool,
    read: str | None,
    fold: bool,
    shapes: tuple[str, ...],
    outputs: str,
    weights: str | None,
    pretrained: bool,
    folder: str | None,
    photos: str | None,
    mean: str,
    scale: str,
    rgb: bool,
    report_file: str | None,
    layers: bool,
    check: bool,
    force: bool,
) -> None:
    """Convert the model SOURCE to OUT.prototxt and OUT.caffemodel, and check that they give the same numbers.

    SOURCE is an ONNX file (x.onnx), a file of torch.export (x.pt2), module.py:function (a function that gives a
    torch.nn.Module, or one and its example inputs), torchvision:NAME or timm:NAME; or a prototxt, with
    --weights=its.caffemodel, whose layers are rewritten in the dialect's.

    \b
      caffe convert torchvision:resnet18 resnet18 --shape=1,3,224,224 --dialect=bvlc
    """
    if source.lower().endswith((".prototxt", ".prototext", ".pt.txt")):
        _rewrite(source, out, weights, dialect, read, v1, 3 if check else 0, force)
        return
    from caffe.importing import files, report
    from caffe.importing.sources import convert_source

    stem = files.free(out, force)[0].with_suffix("")
    ranges_file = f"{stem}.ranges.json"
    for extra in (report_file, ranges_file if folder is not None else None):
        if extra is not None and Path(extra).exists() and not force:
            raise InputError(f"{extra} is there already", fix="Give another name, or --force to replace it")
    means, scales = _numbers("mean", mean), _numbers("scale", scale)
    images = report.Photos(report.images_of(folder), means, scales, rgb) if folder is not None else None
    sample = report.Photos(report.images_of(photos), means, scales, rgb) if photos is not None else None
    done = convert_source(
        source,
        shapes=dict(_shape(s) for s in shapes),
        outputs=[o for o in outputs.split(",") if o],
        weights=weights,
        pretrained=pretrained,
        dialect=dialect,
        fold=fold,
        runs=3 if check else 0,
        layerwise=layers or report_file is not None,
        sample=sample,
    )
    for path in done.save(out, v1=v1, force=force):
        logs.info(f"Wrote {path}")
    summary = report.summary(done)
    for line in report.lines(summary):
        click.echo(line)
    if layers:
        for line in report.layers_table(done):
            click.echo(line)
    if report_file is not None:
        _write_json(report_file, summary)
    if images is not None:
        table = report.ranges(done.net, images)
        for line in report.ranges_table(table):
            click.echo(line)
        _write_json(ranges_file, report.ranges_json(table))


def _rewrite(
    source: str,
    out: str,
    weights: str | None,
    dialect: str,
    read: str | None,
    v1: bool,
    runs: int,
    force: bool,
) -> None:
    from caffe.importing.files import free
    from caffe.importing.from_prototxt import convert_net

    free(out, force)  # said before the work, not behind it
    done = convert_net(source, weights, dialect=dialect, read=read, runs=runs)
    for line in done.report:
        click.echo(line)
    if not done.report:
        click.echo(f"{source}: all of it is in {done.dialect.title} as it is")
    for name, error in done.errors.items():
        click.echo(f"output '{name}': at most {error:.1e} of its largest value apart")
    for path in done.save(out, v1=v1, force=force):
        logs.info(f"Wrote {path}")


def _shape(text: str) -> tuple[str, list[int]]:
    name, _, sizes = text.rpartition(":")
    try:
        shape = [int(n) for n in sizes.replace("x", ",").split(",")]
    except ValueError:
        shape = []
    if not shape or min(shape) < 1:
        raise InputError(
            f"A shape is written as 1,3,224,224 or NAME:1,3,224,224; got '{text}'", field="shape"
        )
    return name, shape


def _numbers(name: str, text: str) -> list[float]:
    try:
        return [float(n) for n in text.split(",") if n]
    except ValueError:
        raise InputError(f"must be numbers between commas; got '{text}'", field=name) from None


def _write_json(path: str, value: object) -> None:
    with atomic.replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n")
    logs.info(f"Wrote {path}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    return run(command, argv, "caffe convert")


if __name__ == "__main__":
    sys.exit(main())
