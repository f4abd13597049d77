"""caffe convert_mnist_data: MNIST's idx files as a database."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from caffe import logs
from caffe.cli.gflags import GflagsCommand, run
from caffe.cli.progress import track
from caffe.data.sources.database import BACKENDS, create
from caffe.formats.datum import Datum
from caffe.formats.idx import read_mnist


@click.command("convert_mnist_data", cls=GflagsCommand)
@click.argument("images")
@click.argument("labels")
@click.argument("database")
@click.option(
    "--backend", type=click.Choice(BACKENDS), default="lmdb", show_default=True, help="Kind of database."
)
@click.option("--overwrite/--nooverwrite", help="Replace the database if it exists.")
def command(images: str, labels: str, database: str, backend: str, overwrite: bool) -> None:
    """Write the handwritten digits of IMAGES and LABELS (idx files, plain or gzip) to DATABASE.

    Keys are the eight-digit place in the file; records 1×28×28 with the digit as label.

    \b
      caffe convert_mnist_data train-images-idx3-ubyte train-labels-idx1-ubyte mnist_train_lmdb
    """
    pixels, classes = read_mnist(images, labels)
    count, rows, columns = pixels.shape
    logs.info(f"A total of {count} items.")
    logs.info(f"Rows: {rows} Cols: {columns}")
    with create(database, backend, overwrite=overwrite) as writer:
        for i in track(range(count), "converting", count):
            datum = Datum(1, rows, columns, pixels[i].tobytes(), int(classes[i]))
            writer.put(b"%08d" % i, datum.serialize())
    logs.info(f"Processed {count} files.")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    return run(command, argv)


if __name__ == "__main__":
    sys.exit(main())
