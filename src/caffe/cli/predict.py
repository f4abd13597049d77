"""``caffe predict``: classes, boxes or pixels' classes of photos, as the net gives them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from caffe.cli import _images, _predictions, gflags


@click.command("predict", cls=_images.ImagesCommand)
@click.argument("photos", nargs=-1, required=True, metavar="PHOTO…")
@_images.image_flags
@_predictions.flags
def command(photos: tuple[str, ...], **given: Any) -> int:
    """Say what is on each PHOTO, a file or a folder of them, by a net of any kind.

    Whether the net classifies, detects or segments is told from its outputs. Pictures with boxes or colours go to
    the folder --out, whose files are never overwritten. For ten crops and the original's flags see caffe classify.

    \b
      caffe predict photo.jpg --model=deploy.prototxt --weights=net.caffemodel
    """
    return _predictions.run(photos, given)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    return gflags.run(command, argv)


if __name__ == "__main__":
    sys.exit(main())
