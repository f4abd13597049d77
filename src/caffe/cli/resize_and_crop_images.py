"""caffe resize_and_crop_images: a folder of images, each resized and cropped to a square."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np

from caffe import logs, systems
from caffe.cli.gflags import GflagsCommand, run
from caffe.cli.progress import track
from caffe.data.conversion import in_order
from caffe.data.image_files import list_lines, read_image, resized
from caffe.errors import CaffeError, DataError, MissingFileError
from caffe.formats.atomic import replacing

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")


@click.command("resize_and_crop_images", cls=GflagsCommand)
@click.option(
    "--input_folder", required=True, help="The folder with the images, in folders of its own or not."
)
@click.option("--output_folder", required=True, help="Where to write them, in the same folders.")
@click.option("--output_side_length", type=int, default=256, show_default=True, help="The square's side.")
@click.option(
    "--input", "input_list", help="A file that lists the images, one a line, relative to the folder."
)
@click.option("--skip_damaged/--noskip_damaged", help="Leave out images that cannot be read, and count them.")
@click.option("--resume/--noresume", help="Leave images alone that were written already.")
@click.option("--threads", type=int, default=0, help="Threads that work; 0: one a processor.")
def command(
    input_folder: str,
    output_folder: str,
    output_side_length: int,
    input_list: str | None,
    skip_damaged: bool,
    resume: bool,
    threads: int,
) -> None:
    """Resize images so that the shorter side is output_side_length, and cut the square in the middle out.

    \b
      caffe resize_and_crop_images --input_folder=photos --output_folder=squares
    """
    if output_side_length < 1:
        raise click.BadParameter(
            f"must be at least 1; got {output_side_length}", param_hint="--output_side_length"
        )
    names = _names(Path(input_folder), input_list)
    if resume:
        names = [n for n in names if not Path(output_folder, n).exists()]

    def convert(name: str) -> None:
        target = Path(output_folder, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_square(str(Path(input_folder, name)), target, output_side_length)

    skipped = 0
    done = in_order(convert, names, threads or systems.processors())
    for name, result in track(done, "resizing", len(names)):
        if isinstance(result, CaffeError):
            if not skip_damaged:
                raise result.located(file=Path(input_folder, name))
            logs.error(str(result))
            skipped += 1
    logs.info(f"Wrote {len(names) - skipped} images." + (f" Skipped {skipped}." if skipped else ""))


def _names(folder: Path, input_list: str | None) -> list[str]:
    if not folder.is_dir():
        raise MissingFileError(f"The folder '{folder}' does not exist")
    if input_list:
        names = [line.split()[0] for line in list_lines(input_list) if line.strip()]
    else:
        images = (p for p in folder.rglob("*") if p.suffix.lower() in ENDINGS)
        names = sorted(str(p.relative_to(folder)) for p in images)
    if not names:
        raise DataError(f"There must be at least one image in '{folder}'; got none")
    return names


def write_square(source: str, target: Path, side: int) -> None:
    """Write an image with its shorter side resized to ``side`` and the middle cut out."""
    import cv2

    image = read_image(source)
    height, width = image.shape[:2]
    new_height = side * height // width if height > width else side
    new_width = side if height > width else side * width // height
    image = resized(image, new_height, new_width)
    top, left = (new_height - side) // 2, (new_width - side) // 2
    done, coded = cv2.imencode(
        target.suffix, np.ascontiguousarray(image[top : top + side, left : left + side])
    )
    if not done:
        raise DataError(f"The image cannot be written as {target.suffix}", file=target)
    with replacing(target) as path:
        path.write_bytes(coded.tobytes())


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    return run(command, argv)


if __name__ == "__main__":
    sys.exit(main())
