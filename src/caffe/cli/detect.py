"""``caffe detect``: boxes around what a detector finds on photos.

The original's ``detect.py INPUT OUTPUT``, which scores windows with a classification net, works too: INPUT is a .csv
with the columns filename, ymin, xmin, ymax, xmax (``--crop_mode=list``), or a .txt or .csv naming image files
(``--crop_mode=selective_search``); OUTPUT is a .csv, or a .h5 with the arrays filename, window and prediction.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from caffe.cli import _images, _predictions, gflags
from caffe.errors import DataError, FileAccessError, InputError, MissingFileError

COLUMNS = ("ymin", "xmin", "ymax", "xmax")


@click.command("detect", cls=_images.ImagesCommand)
@click.argument("photos", nargs=-1, required=True, metavar="PHOTO…")
@_images.image_flags
@_predictions.flags
@click.option(
    "--crop_mode",
    type=click.Choice(["list", "selective_search"]),
    default="selective_search",
    show_default=True,
    help="Where windows come from (INPUT OUTPUT).",
)
@click.option(
    "--context_pad", default=16, show_default=True, help="Pixels around a window in the net's input."
)
def command(photos: tuple[str, ...], **flags: Any) -> int:
    """Find things on each PHOTO, a file or a folder of them, and draw boxes around them.

    Takes nets as SSD, YOLO, Faster R-CNN, R-FCN and UltraFace; which it is, is told from its outputs. Pictures go to
    the folder --out, whose files are never overwritten. Or: caffe detect INPUT OUTPUT scores the windows that INPUT
    (.csv, .txt) lists, or selective search proposes, with a classification net, and writes them to OUTPUT (.csv, .h5).

    \b
      caffe detect street.jpg --model=deploy.prototxt --weights=ssd.caffemodel --labels=labelmap.prototxt
    """
    endings = [Path(path).suffix.lower() for path in photos]
    if len(photos) == 2 and (endings[0] in (".csv", ".txt") or endings[1] in (".csv", ".h5", ".hdf5")):
        return _windows(*photos, flags)
    return _predictions.run(photos, flags, "boxes")


def _windows(input_file: str, output_file: str, flags: dict[str, Any]) -> int:
    """Score windows, as the original's detect.py."""
    from caffe.cli import devices
    from caffe.detector import Detector

    _images.take_model([input_file], flags)

    if Path(output_file).suffix.lower() not in (".csv", ".h5", ".hdf5"):
        raise InputError(f"OUTPUT must end in .csv or .h5; got '{output_file}'")
    devices.use(flags["gpu"])
    listed = flags["crop_mode"] == "list"
    windows = read_windows(input_file) if listed else {name: [] for name in _read_names(input_file)}
    net = Detector(flags["model"], flags["weights"])
    _images.prepare(net, flags)
    net.configure_crop(flags["context_pad"])
    detections = net.detect_windows(windows.items()) if listed else net.detect_selective_search(windows)
    if not detections:
        raise InputError("must list at least one window; got none", file=input_file)
    try:
        (_write_csv if output_file.lower().endswith(".csv") else _write_hdf5)(output_file, detections)
    except OSError as error:
        raise FileAccessError(f"cannot be written: {error}", file=output_file) from None
    click.echo(f"Processed {len(detections)} windows of {len(windows)} images into {output_file}")
    return 0


def read_windows(path: str) -> dict[str, list[list[float]]]:
    """Image file → its windows, from a .csv. Raises MissingFileError, DataError with the line."""
    windows: dict[str, list[list[float]]] = {}
    with _opened(path) as file:
        rows = csv.DictReader(file)
        missing = [name for name in ("filename", *COLUMNS) if name not in (rows.fieldnames or ())]
        if missing:
            raise DataError(
                f"The first line must name filename, {', '.join(COLUMNS)}; {', '.join(missing)} missing",
                file=path,
                line=1,
            )
        for row in rows:
            try:
                window = [float(row[name]) for name in COLUMNS]
            except (TypeError, ValueError):
                raise DataError(
                    f"A window must be four numbers; got {row}", file=path, line=rows.line_num
                ) from None
            windows.setdefault(row["filename"], []).append(window)
    return windows


def _read_names(path: str) -> list[str]:
    suffix = Path(path).suffix.lower()
    if suffix not in (".txt", ".csv"):
        raise InputError(f"INPUT must be a .txt or .csv of image files; got '{path}'")
    with _opened(path) as file:
        if suffix == ".csv":
            return list(dict.fromkeys(row["filename"] for row in csv.DictReader(file) if row.get("filename")))
        return [line.strip() for line in file if line.strip()]


def _opened(path: str) -> Any:
    if not Path(path).is_file():
        raise MissingFileError("This list does not exist", file=path)
    return open(path, newline="", encoding="utf-8")


def _write_csv(path: str, found: list[dict[str, Any]]) -> None:
    classes = len(found[0]["prediction"].ravel())
    with open(path, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["filename", *COLUMNS, *(f"class{i}" for i in range(classes))])
        for item in found:
            rows.writerow([item["filename"], *item["window"].tolist(), *item["prediction"].ravel().tolist()])


def _write_hdf5(path: str, found: list[dict[str, Any]]) -> None:
    import h5py
    import numpy as np

    with h5py.File(path, "w") as file:
        file["filename"] = [item["filename"] for item in found]
        file["window"] = np.array([item["window"] for item in found])
        file["prediction"] = np.array([item["prediction"].ravel() for item in found])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    return gflags.run(command, argv)


if __name__ == "__main__":
    sys.exit(main())
