"""caffe convert_mnist_siamese_data: random pairs of handwritten digits as a database."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click
import numpy as np

from caffe import logs
from caffe.cli.gflags import GflagsCommand, run
from caffe.cli.progress import track
from caffe.data.sources.database import BACKENDS, create
from caffe.formats.datum import Datum
from caffe.formats.idx import read_mnist


@click.command("convert_mnist_siamese_data", cls=GflagsCommand)
@click.argument("images")
@click.argument("labels")
@click.argument("database")
@click.option(
    "--backend", type=click.Choice(BACKENDS), default="leveldb", show_default=True, help="Kind of database."
)
@click.option("--seed", type=int, help="Makes the pairs the same each time.")
@click.option("--overwrite/--nooverwrite", help="Replace the database if it exists.")
def command(images: str, labels: str, database: str, backend: str, seed: int | None, overwrite: bool) -> None:
    """Write as many random pairs as there are digits in IMAGES and LABELS (idx files) to DATABASE.

    A record has two channels, a digit each; its label is 1 if both are the same digit, else 0.

    \b
      caffe convert_mnist_siamese_data train-images-idx3-ubyte train-labels-idx1-ubyte pairs_leveldb
    """
    pixels, classes = read_mnist(images, labels)
    count, rows, columns = pixels.shape
    logs.info(f"A total of {count} items.")
    logs.info(f"Rows: {rows} Cols: {columns}")
    rng = np.random.default_rng(seed if seed is not None else int.from_bytes(os.urandom(8), "little"))
    pairs = rng.integers(count, size=(count, 2))
    with create(database, backend, overwrite=overwrite) as writer:
        for i in track(range(count), "converting", count):
            one, other = pairs[i]
            data = pixels[one].tobytes() + pixels[other].tobytes()
            writer.put(
                b"%08d" % i, Datum(2, rows, columns, data, int(classes[one] == classes[other])).serialize()
            )
    logs.info(f"Processed {count} files.")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    return run(command, argv)


if __name__ == "__main__":
    sys.exit(main())
