"""``caffe export``: write a net in a form that others read."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from caffe.cli import gflags

ENDINGS = {"onnx": ".onnx", "pt2": ".pt2", "safetensors": ".safetensors", "py": ".py"}


@click.command("export", cls=gflags.GflagsCommand)
@click.argument("net_file", metavar="NET.prototxt|FOLDER")
@click.argument("weights", metavar="[WEIGHTS]", required=False)
@click.option(
    "--to",
    "targets",
    multiple=True,
    metavar="FILE",
    help="What to write: a path that ends in .onnx, .pt2, .safetensors or .py (source code, with its weights"
    " beside it), or one of these words. May be given again.",
)
@click.option("--phase", type=click.Choice(["TEST", "TRAIN"]), default="TEST", show_default=True,
              help="TRAIN keeps losses and their labels.")  # fmt: skip
@click.option(
    "--opset", type=int, default=17, show_default=True, help="Version of ONNX's operators, 11 to 20."
)
@click.option("--dynamic", default="batch", show_default=True,
              help="Sizes left free: batch, size (height and width), both with a comma, or none.")  # fmt: skip
@click.option("--keep", default="", metavar="BLOBS", help="Blobs in the middle to put out too, with commas.")
@click.option("--shape", "shapes", multiple=True, metavar="BLOB:N,C,H,W",
              help="The shape of an input, or of what a data layer reads.")  # fmt: skip
@click.option("--preprocess/--nopreprocess", default=False,
              help="The model takes uint8 images N,H,W,C, and prepares them as the next flags say.")  # fmt: skip
@click.option("--mean", default=None, metavar="VALUES|FILE",
              help="Subtracted from images: 1 or 3 values with commas, a .binaryproto or a .npy.")  # fmt: skip
@click.option("--scale", type=float, default=None, help="Images are multiplied by it; 1 where left out.")
@click.option("--images", type=click.Choice(["rgb", "bgr"]), default="rgb", show_default=True,
              help="Order of the images' channels.")  # fmt: skip
@click.option("--channels", type=click.Choice(["rgb", "bgr"]), default=None,
              help="Order of channels that the net was trained on; bgr where left out.")  # fmt: skip
@click.option(
    "--resize", default=None, metavar="HxW", help="Resize images to this size, then crop the middle."
)
@click.option(
    "--half/--nohalf", default=False, help="Half precision (.onnx); inputs and outputs stay as they are."
)
@click.option("--quantize", type=click.Choice(["int8"]),
              help="8-bit integers (.onnx), with ranges from the photos of --calibrate.")  # fmt: skip
@click.option("--calibrate", metavar="FOLDER",
              help="Photos like those to come, prepared as --mean, --scale, --channels and --resize say.")  # fmt: skip
@click.option(
    "--triton", default="", metavar="DIR", help="Write a model repository of Triton Inference Server."
)
@click.option(
    "--labels", default="", metavar="FILE", help="Class names, one a line, for the model's properties."
)
@click.option("--license", "licence", default="", help="A licence for the model's properties.")
@click.option("--random-weights/--norandom-weights", default=False,
              help="Leave weights that are not given as the fillers made them.")  # fmt: skip
@click.option("--check/--nocheck", default=True, help="Run what was written and compare it with the net.")
@click.option("--force/--noforce", default=False, help="Replace files that exist.")
def command(
    net_file: str, weights: str | None, targets: Sequence[str], phase: str, opset: int, dynamic: str, keep: str,
    shapes: Sequence[str], preprocess: bool, mean: str | None, scale: float | None, images: str, channels: str | None,
    resize: str | None,
    half: bool, quantize: str | None, calibrate: str | None, triton: str, labels: str, licence: str,
    random_weights: bool, check: bool, force: bool,
) -> int:  # fmt: skip
    """Write the net of a prototxt, with its weights, in a form that others read, and check it number for number.

    A model folder, as caffe finetune writes it, stands for net, weights, labels and how images are prepared.

    \b
    caffe export runs/cats --to=onnx --preprocess
    caffe export deploy.prototxt net.caffemodel --to=net.onnx
    caffe export deploy.prototxt net.caffemodel --to=pt2 --to=safetensors
    caffe export deploy.prototxt net.caffemodel --to=net.py
    caffe export deploy.prototxt net.caffemodel --to=net.onnx --preprocess --mean=104,117,123 --resize=256x256
    caffe export deploy.prototxt net.caffemodel --to=net.onnx --quantize=int8 --calibrate=photos --mean=104,117,123
    """
    import caffe
    from caffe import export
    from caffe.export import api
    from caffe.formats import model_folder

    paths = [_path(net_file, target) for target in targets]
    folder = model_folder.instead_of(net_file, weights)
    if folder is not None:
        net_file, weights = str(folder.deploy), str(folder.weights)
    _check_flags(paths, triton, half, quantize, calibrate)
    for path in paths:
        api.free(path, force)
    free = tuple(w for w in dynamic.split(",") if w not in ("", "none"))
    api.dynamic_axes(free)
    given = dict(map(_shape, shapes))
    net = export.load(
        net_file, weights, caffe.TRAIN if phase == "TRAIN" else caffe.TEST, given, random_weights
    )
    photos = _preprocess(mean, scale, images, channels, resize, folder)
    before = photos if preprocess else None
    names = [n for n in keep.split(",") if n]
    metadata = {"weights": Path(weights).name, "weights_sha256": api.digest(weights)} if weights else {}
    if labels:
        metadata["labels"] = Path(labels).read_text(encoding="utf-8")
    elif folder is not None and folder.labels:
        metadata["labels"] = "".join(f"{label}\n" for label in folder.labels)
    if folder is not None and before is None:
        metadata |= api.preparation(photos)
    if licence:
        metadata["license"] = licence
    if triton:
        paths.append(api.triton_place(triton, net, force))
    for path in paths:
        if path.suffix == ".onnx":
            difference = export.to_onnx(
                net, path, opset=opset, dynamic=free, keep=names, preprocess=before, metadata=metadata, half=half,
                calibrate=calibrate, photos=photos, check_it=check, force=force or bool(triton),
            )  # fmt: skip
        elif path.suffix == ".pt2":
            difference = export.to_pt2(
                net, path, dynamic=free, keep=names, preprocess=before, check_it=check, force=force
            )
        elif path.suffix == ".py":
            difference = export.to_source(
                net, path, keep=names, metadata=metadata, check_it=check, force=force
            )
        else:
            difference = export.to_safetensors(net, path, force=force)
        size = path.stat().st_size / 1e6
        click.echo(f"{path} ({size:.1f} MB): {difference if difference is not None else 'not checked'}")
    if triton:
        click.echo(api.triton_configure(paths[-1], net, "batch" in free, metadata.get("labels", "")))
    return 0


def _check_flags(
    paths: Sequence[Path], triton: str, half: bool, quantize: str | None, calibrate: str | None
) -> None:
    """Raise UsageError for flags that do not go together."""
    if not (paths or triton):
        raise click.UsageError("say what to write: --to=FILE (may be given again), or --triton=DIR")
    if bool(quantize) != bool(calibrate):
        raise click.UsageError("--quantize=int8 and --calibrate=FOLDER go together")
    others = [path for path in paths if path.suffix != ".onnx"]
    if (half or quantize) and others:
        raise click.UsageError(f"--half and --quantize are for .onnx; got --to={others[0]}")


def _path(net_file: str, target: str) -> Path:
    """Where to write; a word alone gives the prototxt's name another ending."""
    if target in ENDINGS:
        place = Path(net_file)
        if place.is_dir():
            return place / f"{place.resolve().name}{ENDINGS[target]}"
        name = place.name.removesuffix(".gz").removesuffix(".tar")  # a model archive
        return place.with_name(name).with_suffix(ENDINGS[target])
    path = Path(target)
    if path.suffix not in ENDINGS.values():
        raise click.UsageError(f"--to must end in {', '.join(ENDINGS.values())}; got {target}")
    return path


def _shape(text: str) -> tuple[str, list[int]]:
    name, _, dims = text.partition(":")
    try:
        return name, [int(d) for d in dims.split(",")]
    except ValueError:
        raise click.UsageError(f"--shape must be as data:1,3,224,224; got {text}") from None


def _preprocess(  # type: ignore[no-untyped-def]
    mean: str | None, scale: float | None, images: str, channels: str | None, resize: str | None, folder: Any
):
    """As the flags say; where they say nothing, as a model folder does."""
    import numpy as np

    from caffe import export

    values, size = _mean(mean or ""), _size(resize)
    if folder is not None:
        values = np.array(folder.mean or [0], np.float32) if mean is None else values
        scale = folder.scale if scale is None else scale
        channels = channels or ("rgb" if folder.rgb else "bgr")
        size = folder.resize if resize is None and folder.resize != (0, 0) else size
    return export.Preprocess(1.0 if scale is None else scale, values, images, channels or "bgr", size)


def _mean(text: str) -> Any:
    import numpy as np

    import caffe

    if text.endswith(".npy"):
        return np.load(text)
    if text.endswith(".binaryproto"):
        blob = caffe.proto.caffe_pb2.BlobProto.FromString(Path(text).read_bytes())
        return caffe.io.blobproto_to_array(blob)[0]
    try:
        return np.array([float(v) for v in text.split(",")] if text else [0], np.float32)
    except ValueError:
        raise click.UsageError(f"--mean must be numbers with commas or a file; got {text}") from None


def _size(text: str | None) -> tuple[int, int] | None:
    if not text:
        return None
    height, _, width = text.partition("x")
    if not (height.isdigit() and width.isdigit()):
        raise click.UsageError(f"--resize must be as 256x256; got {text}")
    return int(height), int(width)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    return gflags.run(command, argv)


if __name__ == "__main__":
    sys.exit(main())
