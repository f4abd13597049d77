"""caffe compute_image_mean: the mean image of a database."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click
import numpy as np

from caffe import logs
from caffe.cli.gflags import GflagsCommand, run
from caffe.cli.progress import track
from caffe.data.sources.database import BACKENDS, open_database
from caffe.data.sources.keyed import key_text
from caffe.data.transform import decode, planes
from caffe.errors import CaffeError, DataError
from caffe.formats.atomic import replacing
from caffe.formats.datum import parse
from caffe.proto import caffe_pb2


@click.command("compute_image_mean", cls=GflagsCommand)
@click.argument("database")
@click.argument("mean_file", required=False)
@click.option(
    "--backend",
    type=click.Choice(BACKENDS),
    help="Kind of database. [default: what it is]",
)
@click.option(
    "--skip_damaged/--noskip_damaged", help="Leave out records that cannot be read, and count them."
)
def command(database: str, mean_file: str | None, backend: str | None, skip_damaged: bool) -> None:
    """Compute the mean of all images of DATABASE, write it to MEAN_FILE (.binaryproto), print it by
    channel.

    \b
      caffe compute_image_mean train_lmdb mean.binaryproto
    """
    source = open_database(database, backend)
    total: np.ndarray[tuple[int, ...], np.dtype[np.float64]] | None = None
    count = skipped = 0
    for key, record in track(source.items(), "adding up", len(source)):
        try:
            datum = parse(record)
            image = planes(decode(datum.data)) if datum.encoded else datum.pixels()
            if total is None:
                total = np.zeros(image.shape, np.float64)
            if image.shape != total.shape:
                raise DataError(
                    f"it must have the shape {list(total.shape)} of the first; got {list(image.shape)}",
                    fix="Resize with caffe convert_imageset --resize_width --resize_height",
                )
        except CaffeError as error:
            error.message = f"Record '{key_text(key)}' of '{database}': {error.message}"
            if not skip_damaged:
                raise
            logs.error(str(error))
            skipped += 1
            continue
        total += image
        count += 1
        if count % 10000 == 0:
            logs.info(f"Processed {count} files.")
    source.close()
    if total is None:
        raise DataError(f"No record of '{database}' can be read")
    if count % 10000:
        logs.info(f"Processed {count} files.")
    if skipped:
        logs.warning(f"Skipped {skipped} records that cannot be read.")
    mean = (total / count).astype(np.float32)
    if mean_file:
        channels, height, width = mean.shape
        blob = caffe_pb2.BlobProto(num=1, channels=channels, height=height, width=width)
        blob.data.extend(mean.ravel().tolist())
        logs.info(f"Write to {mean_file}")
        with replacing(mean_file) as path:
            path.write_bytes(blob.SerializeToString())
    logs.info(f"Number of channels: {len(mean)}")
    for channel, value in enumerate(mean.mean(axis=(1, 2), dtype=np.float64)):
        logs.info(f"mean_value channel [{channel}]: {value:g}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    return run(command, argv)


if __name__ == "__main__":
    sys.exit(main())
