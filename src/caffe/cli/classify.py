"""``caffe classify``: what is on these images?

The original's ``classify.py INPUT OUTPUT`` works too: INPUT is an image, a folder of them or a .npy array,
OUTPUT a .npy file for the scores.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from caffe.cli import _images, gflags, speed
from caffe.errors import InputError, MissingFileError

if TYPE_CHECKING:
    from caffe.classifier import Classifier

_IMAGES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")


@click.command("classify", cls=_images.ImagesCommand)
@click.argument("images", nargs=-1, required=True)
@_images.image_flags
@click.option(
    "--labels", default="", help="A line for each class; looked for beside the model where left out."
)
@click.option(
    "--images_dim", default="", help="Height,width that images are resized to; 256,256 or the net's."
)
@click.option("--center_only/--nocenter_only", default=False, help="Look at the centre, not at ten crops.")
@click.option("--top", default=5, show_default=True, help="How many classes to print.")
@click.option("--ext", default="jpg", show_default=True, help="Which files of a folder are images.")
@click.option(
    "--print_results/--noprint_results", default=False, help="Print classes as well as save scores."
)
@speed.amp_flag
@speed.compile_flag
def command(images: tuple[str, ...], **flags: Any) -> int:
    """Print the most likely classes of IMAGES with their scores.

    Or: caffe classify INPUT OUTPUT.npy saves the scores of every image.

    \b
      caffe classify cat.jpg --model=deploy.prototxt --weights=net.caffemodel --labels=synset_words.txt
    """
    import numpy as np

    from caffe.classifier import Classifier
    from caffe.cli import devices

    if flags["top"] < 1:
        raise click.BadParameter(f"must be at least 1; got {flags['top']}", param_hint="--top")
    images = tuple(_images.take_model(images, flags))
    if flags["folder"] is not None:
        flags |= _images.as_trained(flags["folder"])
        if flags["folder"].resize != (0, 0) and not flags["images_dim"]:
            flags["images_dim"] = "{},{}".format(*flags["folder"].resize)
    output = images[1] if len(images) == 2 and Path(images[1]).suffix.lower() not in _IMAGES else None
    devices.use(flags["gpu"])
    speed.use(flags["amp"], flags["compiles"])
    net = Classifier(flags["model"], flags["weights"])
    probabilities = _classifies(net)
    _images.prepare(net, flags)
    net.image_dims = np.array(_dims(flags["images_dim"], net))
    scores = {
        name: net.predict([image], oversample=not flags["center_only"]).ravel()
        for name, image in _load(images[:1] if output else images, flags["ext"], net)
    }
    if output is not None:
        np.save(output, np.array(list(scores.values())))
        click.echo(f"Saved the scores of {len(scores)} images into {output.removesuffix('.npy')}.npy")
    if output is None or flags["print_results"]:
        if not probabilities:
            click.echo("The net ends without Softmax: its scores are no probabilities.", err=True)
        count = len(next(iter(scores.values())))
        labels = _images.read_labels(flags["labels"], flags["model"], count)
        for name, row in scores.items():
            click.echo(f"---------- Prediction for {name} ----------")
            for i in np.argsort(-row, kind="stable")[: flags["top"]]:
                click.echo(f'{row[i]:.4f} - "{labels[i]}"')
    return 0


def _classifies(net: Classifier) -> bool:
    """Whether the net's scores are probabilities. Raises InputError where it gives no classes at all."""
    from caffe.predict.kinds import Kind, answer_of

    answer = answer_of(net)
    if answer.kind is not Kind.CLASSES:
        does, command = {
            Kind.BOXES: ("finds boxes", "detect"),
            Kind.PIXELS: ("colours pixels", "segment"),
            Kind.POSE: ("finds people's parts", "pose"),
        }[answer.kind]
        raise InputError(
            f"This net {does}; it gives no scores of classes for an image",
            fix=f"caffe {command} PHOTO --model=… --weights=…",
        )
    return answer.probabilities


def _dims(text: str, net: Classifier) -> list[int]:
    size: list[int] = net.crop_dims.tolist()
    if not text:
        return [256, 256] if min(size) >= 200 and max(size) <= 256 else size
    dims = _images.numbers(text, "--images_dim")
    if len(dims) != 2 or any(d < s for d, s in zip(dims, size)):
        raise InputError(f"--images_dim must be height,width, at least the net's {size}; got '{text}'")
    return dims


def _load(paths: Sequence[str], ext: str, net: Classifier) -> Iterator[tuple[str, Any]]:
    import numpy as np

    from caffe import io

    colour = net.blobs[net.inputs[0]].shape[1] != 1
    for given in paths:
        path = Path(given).expanduser()
        if path.suffix == ".npy":
            if not path.is_file():
                raise MissingFileError("This array does not exist", file=path)
            stored = np.load(path, allow_pickle=False)
            for i, image in enumerate(stored if stored.ndim == 4 else [stored]):
                yield f"{given}[{i}]", image
        elif path.is_dir():
            files = sorted(path.glob(f"*.{ext}"))
            if not files:
                raise MissingFileError(
                    f"There is no *.{ext} in this folder", file=path, fix="Name another --ext"
                )
            for file in files:
                yield str(file), io.load_image(file, colour)
        else:
            yield given, io.load_image(path, colour)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    return gflags.run(command, argv)


if __name__ == "__main__":
    sys.exit(main())
