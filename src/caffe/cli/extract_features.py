"""caffe extract_features: blobs of a trained net over its data, as databases."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Protocol

import click
import numpy as np
import numpy.typing as npt

from caffe import logs
from caffe.cli import paths
from caffe.cli.gflags import GflagsCommand, dialect_option, run
from caffe.cli.progress import track
from caffe.data.sources.database import create
from caffe.data.sources.keyed import Writer
from caffe.errors import InputError, UnknownNameError, close_names
from caffe.formats.atomic import replacing
from caffe.formats.datum import Datum


class _Sink(Protocol):
    def add(self, values: npt.NDArray[np.float32]) -> None:
        """Add items × …"""


class _Database:
    """Features as Datum records with ``float_data``, keyed by ten digits."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._count = 0

    def add(self, values: npt.NDArray[np.float32]) -> None:
        shape = (*values.shape[1:], 1, 1, 1) if values.ndim <= 4 else (values[0].size, 1, 1)
        for item in values:
            self._writer.put(
                b"%010d" % self._count, Datum(shape[0], shape[1], shape[2], floats=item.ravel()).serialize()
            )
            self._count += 1


class _Hdf5:
    """Features as the dataset ``data`` of an HDF5 file."""

    def __init__(self, file: Any, name: str) -> None:
        self._file, self._name = file, name

    def add(self, values: npt.NDArray[np.float32]) -> None:
        dataset = self._file.get(self._name)
        if dataset is None:
            self._file.create_dataset(self._name, data=values, maxshape=(None, *values.shape[1:]))
            return
        rows = dataset.shape[0]
        dataset.resize(rows + len(values), axis=0)
        dataset[rows:] = values


@click.command("extract_features", cls=GflagsCommand)
@click.argument("weights", type=paths.FILES)
@click.argument("model", type=paths.FILE)
@click.argument("blobs")
@click.argument("datasets")
@click.argument("num_mini_batches", type=int)
@click.argument("kind", metavar="lmdb|leveldb|hdf5")
@click.argument("device", default="CPU", metavar="[CPU|GPU]")
@click.argument("device_id", required=False, metavar="[DEVICE_ID=0]")
@click.option("--overwrite/--nooverwrite", help="Replace what exists.")
@dialect_option
def command(
    weights: str,
    model: str,
    blobs: str,
    datasets: str,
    num_mini_batches: int,
    kind: str,
    device: str,
    device_id: str | None,
    overwrite: bool,
) -> None:
    """Run MODEL with WEIGHTS in TEST phase and write BLOBS to DATASETS, two lists with commas between.

    NUM_MINI_BATCHES forwards are made. A record is a Datum with float_data; in HDF5 the dataset data.

    \b
      caffe extract_features net.caffemodel train_val.prototxt fc7 features_lmdb 10 lmdb
    """
    names, targets = blobs.split(","), datasets.split(",")
    if len(names) != len(targets):
        raise InputError(
            f"There must be one dataset a blob; got {len(names)} blobs and {len(targets)} datasets"
        )
    if kind.lower() not in ("lmdb", "leveldb", "hdf5"):
        raise InputError(f"The kind must be lmdb, leveldb or hdf5; got '{kind}'")
    if num_mini_batches < 1:
        raise InputError(f"NUM_MINI_BATCHES must be at least 1; got {num_mini_batches}")
    import caffe

    if device.upper() == "GPU":
        caffe.set_device(int((device_id or "0").upper().removeprefix("DEVICE_ID=")))
        caffe.set_mode_gpu()
        logs.info("Using GPU")
    elif device.upper() == "CPU":
        caffe.set_mode_cpu()
        logs.info("Using CPU")
    else:
        raise InputError(f"The device must be CPU or GPU; got '{device}'")
    net = caffe.Net(model, weights, caffe.TEST)
    for name in names:
        if name not in net.blobs:
            raise UnknownNameError(f"The net has no blob '{name}'", fix=close_names(name, net.blobs) or None)
    try:
        with ExitStack() as stack:
            sinks = [_sink(stack, target, kind.lower(), overwrite) for target in targets]
            logs.info("Extracting Features")
            for _ in track(range(num_mini_batches), "extracting", num_mini_batches):
                net.forward()
                for name, sink in zip(names, sinks):
                    sink.add(np.array(net.blobs[name].data, np.float32))
    finally:
        net.close()
    logs.info("Successfully extracted the features!")


def _sink(stack: ExitStack, target: str, kind: str, overwrite: bool) -> _Sink:
    if kind != "hdf5":
        return _Database(stack.enter_context(create(target, kind, overwrite=overwrite)))
    import h5py

    path = stack.enter_context(replacing(target))
    return _Hdf5(stack.enter_context(h5py.File(path, "w")), "data")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    return run(command, argv)


if __name__ == "__main__":
    sys.exit(main())
