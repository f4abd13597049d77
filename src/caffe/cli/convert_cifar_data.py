"""caffe convert_cifar_data: CIFAR-10's binary files as databases."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt

from caffe import logs
from caffe.cli.gflags import GflagsCommand, run
from caffe.cli.progress import track
from caffe.data.sources.database import BACKENDS, create
from caffe.data.sources.keyed import Writer
from caffe.errors import CorruptDataError, MissingFileError
from caffe.formats.datum import Datum

_SIZE = 32
_RECORD = 1 + 3 * _SIZE * _SIZE  # label, then planes of red, green, blue


@click.command("convert_cifar_data", cls=GflagsCommand)
@click.argument("input_folder")
@click.argument("output_folder")
@click.argument("backend", type=click.Choice(BACKENDS))
@click.option("--overwrite/--nooverwrite", help="Replace databases that exist.")
def command(input_folder: str, output_folder: str, backend: str, overwrite: bool) -> None:
    """Write CIFAR-10 of INPUT_FOLDER (data_batch_1.bin …, test_batch.bin) to two databases in OUTPUT_FOLDER.

    They are called cifar10_train_BACKEND and cifar10_test_BACKEND; keys are five digits.

    \b
      caffe convert_cifar_data cifar-10-batches-bin/ . lmdb
    """
    batches = [_read(Path(input_folder, f"data_batch_{i}.bin")) for i in range(1, 6)]
    test = _read(Path(input_folder, "test_batch.bin"))
    logs.info("Writing Training data")
    with create(Path(output_folder, f"cifar10_train_{backend}"), backend, overwrite=overwrite) as writer:
        for i, batch in enumerate(batches):
            logs.info(f"Training Batch {i + 1}")
            _write(writer, batch, sum(len(b) for b in batches[:i]))
    logs.info("Writing Testing data")
    with create(Path(output_folder, f"cifar10_test_{backend}"), backend, overwrite=overwrite) as writer:
        _write(writer, test, 0)


def _read(path: Path) -> npt.NDArray[np.uint8]:
    try:
        raw = np.fromfile(path, np.uint8)
    except FileNotFoundError:
        raise MissingFileError(
            f"The file '{path}' does not exist", fix="Try: caffe download cifar10"
        ) from None
    if not raw.size or raw.size % _RECORD:
        raise CorruptDataError(
            f"'{path}' must hold records of {_RECORD} bytes; got {raw.size:,} bytes in all"
        )
    return raw.reshape(-1, _RECORD)


def _write(writer: Writer, records: npt.NDArray[np.uint8], first: int) -> None:
    for i, record in enumerate(track(records, "converting", len(records)), first):
        datum = Datum(3, _SIZE, _SIZE, record[1:].tobytes(), int(record[0]))
        writer.put(b"%05d" % i, datum.serialize())


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    return run(command, argv)


if __name__ == "__main__":
    sys.exit(main())
