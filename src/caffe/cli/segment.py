"""``caffe segment``: a class for each pixel of photos."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from caffe.cli import _images, _predictions, gflags


@click.command("segment", cls=_images.ImagesCommand)
@click.argument("photos", nargs=-1, required=True, metavar="PHOTO…")
@_images.image_flags
@_predictions.flags
def command(photos: tuple[str, ...], **given: Any) -> int:
    """Colour each PHOTO, a file or a folder of them, by the class of every pixel, with a legend.

    Takes nets as FCN, SegNet, DeepLab, PSPNet and ICNet. Photos are resized to the net's input; --side=own keeps
    their size for nets that take any (FCN). Pictures go to the folder --out, whose files are never overwritten.

    \b
      caffe segment street.jpg --model=deploy.prototxt --weights=net.caffemodel --labels=classes.txt
    """
    return _predictions.run(photos, given, "pixels")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    return gflags.run(command, argv)


if __name__ == "__main__":
    sys.exit(main())
