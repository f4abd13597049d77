"""Whether data larger than memory stays on disk: an LMDB of many records, an HDF5 file of many rows.

Makes both, reads one epoch of each through its layer, and prints how long opening took and how much memory the
process held: its own (anonymous) memory, and the pages of the database that the system had mapped for it, which
cost nothing that others need.

    python benchmarks/data_memory.py [--records 1000000] [--gigabytes 5] [--folder /tmp]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from google.protobuf import text_format

from caffe.blob import Blob
from caffe.data.sources.database import create
from caffe.formats.datum import Datum
from caffe.layer_factory import create_layer
from caffe.proto import caffe_pb2


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--gigabytes", type=float, default=5.0)
    parser.add_argument("--folder", help="where the files are made")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as work:
        folder = Path(work)
        many_records(folder, args.records)
        many_rows(folder, args.gigabytes)


def many_records(folder: Path, records: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1000, 784), dtype=np.uint8)
    start = time.perf_counter()
    with create(folder / "db", "lmdb") as writer:
        for i in range(records):
            writer.put(b"%08d" % i, Datum(1, 28, 28, pixels[i % 1000].tobytes(), i % 10).serialize())
    size = (folder / "db" / "data.mdb").stat().st_size
    print(f"LMDB of {records:,} records, {size / 1e9:.1f} GB, made in {time.perf_counter() - start:.0f} s")
    text = f'type: "Data" data_param {{ source: "{folder}/db" backend: LMDB batch_size: 100 }}'
    read(text, 2, records // 100)


def many_rows(folder: Path, gigabytes: float) -> None:
    width = 10_000
    rows = int(gigabytes * 1e9 / 4 / width)
    block = np.random.default_rng(0).standard_normal((1000, width), dtype=np.float32)
    start = time.perf_counter()
    with h5py.File(folder / "rows.h5", "w") as file:
        data = file.create_dataset("t0", (rows, width), np.float32)
        labels = file.create_dataset("t1", (rows,), np.float32)
        for first in range(0, rows, 1000):
            count = min(1000, rows - first)
            data[first : first + count] = block[:count]
            labels[first : first + count] = np.arange(first, first + count)
    size = (folder / "rows.h5").stat().st_size
    print(f"HDF5 of {rows:,} rows, {size / 1e9:.1f} GB, made in {time.perf_counter() - start:.0f} s")
    (folder / "list.txt").write_text(f"{folder}/rows.h5\n")
    for shuffle in ("false", "true"):
        text = f'type: "HDF5Data" hdf5_data_param {{ source: "{folder}/list.txt" batch_size: 100 shuffle: {shuffle} }}'
        read(text, 2, rows // 100)


def read(text: str, tops: int, batches: int) -> None:
    names = " ".join(f'top: "t{i}"' for i in range(tops))
    before = memory()
    start = time.perf_counter()
    layer: Any = create_layer(text_format.Parse(f'name: "d" {names} {text}', caffe_pb2.LayerParameter()))
    blobs = [Blob() for _ in range(tops)]
    layer.setup([], blobs)
    opened = time.perf_counter() - start
    most = {"own": 0.0, "mapped": 0.0}
    start = time.perf_counter()
    for i in range(batches):
        layer.forward([], blobs)
        if i % 50 == 0:
            most = {kind: max(most[kind], value) for kind, value in memory().items()}
    seconds = time.perf_counter() - start
    layer.close()
    print(
        f"  opened in {opened * 1000:.0f} ms; {batches:,} batches in {seconds:.1f} s; own memory at most "
        f"{most['own']:.0f} MB ({before['own']:.0f} before), mapped files {most['mapped']:.0f} MB"
    )


def memory() -> dict[str, float]:
    """Resident megabytes of this process."""
    fields = dict(
        line.split(":", 1)
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        if ":" in line
    )
    return {
        kind: int(fields[name].split()[0]) / 1000
        for kind, name in (("own", "RssAnon"), ("mapped", "RssFile"))
    }


if __name__ == "__main__":
    main()
