"""``caffe pose``: the skeletons of people on photos."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from caffe.cli import _images, _predictions, gflags


@click.command("pose", cls=_images.ImagesCommand)
@click.argument("photos", nargs=-1, required=True, metavar="PHOTO…")
@_images.image_flags
@_predictions.flags
def command(photos: tuple[str, ...], **given: Any) -> int:
    """Find the people on each PHOTO, a file or a folder of them, and draw their skeletons.

    Takes OpenPose's nets: COCO, MPI and BODY_25, and those of one hand or face for a photo cut to it. Photos get the
    height of the net's input, or 368. Pictures go to the folder --out, whose files are never overwritten.

    \b
      caffe pose crowd.jpg --model=pose_deploy.prototxt --weights=pose_iter_584000.caffemodel
    """
    return _predictions.run(photos, given, "pose")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    return gflags.run(command, argv)


if __name__ == "__main__":
    sys.exit(main())
