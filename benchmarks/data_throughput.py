"""How fast data comes, against torch's DataLoader and against bare cv2.imdecode, in one run.

Prints for each source the batches per second of ours and of a DataLoader with two workers over the same
files and the same transforms, and for decoded images the part of what decoding alone allows (as many
threads as processors, each decoding the same files over and over and throwing the images away). Rounds of all
are run in turn, so that a busy machine is busy for all; medians count.

    python benchmarks/data_throughput.py [--only abcd] [--rounds 7] [--images 600] [--seconds 1] [--check]

Last, how much of LeNet's training is waiting for data. With --check the exit status says whether the
project's promises hold: (a) at least 3 times a DataLoader, (b) and (c) as fast as one and 85 % of the
decoding limit, (d) less than 2 % of the time.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import lmdb
import numpy as np
import torch
from google.protobuf import text_format
from torch.utils.data import DataLoader, Dataset

from caffe.blob import Blob
from caffe.data.sources.database import create
from caffe.formats.datum import Datum
from caffe.layer_factory import create_layer
from caffe.proto import caffe_pb2

SMALL, LARGE, CROP = 28, 256, 227
MEAN = np.array([104, 117, 123], np.float32)
Take = Callable[[], object]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each round")
    parser.add_argument("--images", type=int, default=600, help="JPEGs to make")
    parser.add_argument("--records", type=int, default=20000, help="raw records to make")
    parser.add_argument("--only", default="abcd", help="which of the four to measure")
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cores = len(os.sched_getaffinity(0))
    print(f"{cores} processors, torch {torch.__version__}, OpenCV {cv2.__version__}")
    held = True
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        make_files(folder, args.records, args.images)
        jpegs = [p.read_bytes() for p in sorted((folder / "images").iterdir())]
        for name, layer, dataset, batch, least in [
            ("(a) LMDB, raw 28×28, batch 64", raw_layer(folder), RawDataset(folder / "raw"), 64, 3.0),
            (
                "(b) LMDB, JPEG 256×256, batch 32",
                encoded_layer(folder),
                EncodedDataset(folder / "encoded"),
                32,
                1.0,
            ),
            (
                "(c) ImageData, JPEG 256×256, batch 32",
                image_layer(folder),
                FileDataset(folder / "images"),
                32,
                1.0,
            ),
        ]:
            if name[1] not in args.only:
                continue
            runs: dict[str, Callable[[], Iterator[Take]]] = {
                "ours": lambda layer=layer: ours(layer),
                "DataLoader": lambda dataset=dataset, batch=batch: peer(dataset, batch),
            }
            decoded = "JPEG" in name
            if decoded:
                runs["decoding alone"] = lambda batch=batch: decoding(jpegs, batch, cores)
                runs["and writing"] = lambda batch=batch: decoding(jpegs, batch, cores, write=True)
            rates: dict[str, list[float]] = {kind: [] for kind in runs}
            for _ in range(args.rounds):
                for kind, run in runs.items():
                    rates[kind].append(rate(run(), args.seconds))
            found = {kind: statistics.median(r) for kind, r in rates.items()}
            ratio = found["ours"] / found["DataLoader"]
            print(f"{name}: {found['ours']:.1f} batches/s ({found['ours'] * batch:,.0f} records/s)")
            print(
                f"    DataLoader, 2 workers: {found['DataLoader']:.1f} batches/s; ours is {ratio:.2f}"
                " times that"
            )
            held &= ratio >= least
            if decoded:
                part = found["ours"] / found["decoding alone"]
                print(
                    f"    decoding alone: {found['decoding alone']:.1f} batches/s; ours is {part:.0%} of that"
                )
                written = found["and writing"]
                print(
                    f"    decoding, and each crop written as float32 (no mirror, no mean): {written:.1f}"
                    f" batches/s, {written / found['decoding alone']:.0%} of decoding alone;"
                    f" ours is {found['ours'] / written:.0%} of that"
                )
                held &= part >= 0.85
        if "d" in args.only:
            part = waiting(folder)
            print(f"(d) LeNet, batch 64: training waits for data {part:.2%} of the time")
            held &= part < 0.02
    return 0 if held or not args.check else 1


def waiting(folder: Path, steps: int = 200) -> float:
    """The part of LeNet's training that is waiting for data."""
    import caffe
    from caffe import layers as L
    from caffe import params as P

    caffe.init_log(2)
    net = caffe.NetSpec()
    net.data, net.label = L.Data(
        source=str(folder / "raw"),
        backend=P.Data.LMDB,
        batch_size=64,
        ntop=2,
        transform_param={"scale": 1 / 256},
    )
    filler = {"type": "xavier"}
    net.conv1 = L.Convolution(net.data, kernel_size=5, num_output=20, weight_filler=filler)
    net.pool1 = L.Pooling(net.conv1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    net.conv2 = L.Convolution(net.pool1, kernel_size=5, num_output=50, weight_filler=filler)
    net.pool2 = L.Pooling(net.conv2, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    net.ip1 = L.InnerProduct(net.pool2, num_output=500, weight_filler=filler)
    net.relu1 = L.ReLU(net.ip1, in_place=True)
    net.ip2 = L.InnerProduct(net.relu1, num_output=10, weight_filler=filler)
    net.loss = L.SoftmaxWithLoss(net.ip2, net.label)
    (folder / "net.prototxt").write_text(str(net.to_proto()))
    (folder / "solver.prototxt").write_text(
        f'train_net: "{folder}/net.prototxt" base_lr: 0.001 lr_policy: "fixed" momentum: 0.9'
    )
    solver = caffe.SGDSolver(str(folder / "solver.prototxt"))
    solver.step(20)
    data: Any = solver.net.layers[0]
    before, start = data.waited, time.perf_counter()
    solver.step(steps)
    part = (data.waited - before) / (time.perf_counter() - start)
    solver.net.close()
    return float(part)


def rate(takes: Iterator[Take], seconds: float) -> float:
    """Batches a second, after a few to warm up."""
    for take in takes:
        for _ in range(10):
            take()
        start, count = time.perf_counter(), 0
        while time.perf_counter() - start < seconds:
            take()
            count += 1
        return count / (time.perf_counter() - start)
    return 0.0


def make_files(folder: Path, records: int, images: int) -> None:
    """The databases and pictures. Pictures are smooth with some grain, so that their JPEGs are of usual
    size."""
    rng = np.random.default_rng(0)
    digits = rng.integers(0, 256, (records, 1, SMALL, SMALL), dtype=np.uint8)
    with create(folder / "raw", "lmdb") as writer:
        for i, digit in enumerate(digits):
            writer.put(b"%08d" % i, Datum(1, SMALL, SMALL, digit.tobytes(), i % 10).serialize())
    (folder / "images").mkdir()
    lines = []
    with create(folder / "encoded", "lmdb") as writer:
        for i in range(images):
            rough = rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)
            image = cv2.resize(rough, (LARGE, LARGE), interpolation=cv2.INTER_CUBIC)
            image = np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8)
            coded = cv2.imencode(".jpg", image)[1].tobytes()
            (folder / "images" / f"{i:05d}.jpg").write_bytes(coded)
            writer.put(b"%08d" % i, Datum(data=coded, label=i % 1000, encoded=True).serialize())
            lines.append(f"{i:05d}.jpg {i % 1000}\n")
    (folder / "list.txt").write_text("".join(lines))
    print(f"JPEGs of {len(coded) / 1000:.0f} kB")


def raw_layer(folder: Path) -> str:
    return (
        f'type: "Data" data_param {{ source: "{folder}/raw" backend: LMDB batch_size: 64 }} '
        "transform_param { scale: 0.00390625 }"
    )


TRANSFORM = (
    f"transform_param {{ crop_size: {CROP} mirror: true mean_value: 104 mean_value: 117 mean_value: 123 }}"
)


def encoded_layer(folder: Path) -> str:
    return (
        f'type: "Data" data_param {{ source: "{folder}/encoded" backend: LMDB batch_size: 32 }} {TRANSFORM}'
    )


def image_layer(folder: Path) -> str:
    return (
        f'type: "ImageData" image_data_param {{ source: "{folder}/list.txt" root_folder: "{folder}/images/" '
        f"batch_size: 32 }} {TRANSFORM}"
    )


def ours(text: str) -> Iterator[Take]:
    """A data layer's forward."""
    param = text_format.Parse('name: "d" top: "data" top: "label" ' + text, caffe_pb2.LayerParameter())
    layer: Any = create_layer(param)
    tops = [Blob(), Blob()]
    layer.setup([], tops)
    try:
        yield lambda: layer.forward([], tops)
    finally:
        layer.close()


def peer(dataset: Dataset[Any], batch: int) -> Iterator[Take]:
    """The next batch of a DataLoader."""
    loader = DataLoader(dataset, batch_size=batch, num_workers=2, drop_last=True, persistent_workers=True)

    def endless() -> Iterator[Any]:
        while True:
            yield from loader

    batches = endless()
    yield lambda: next(batches)
    batches.close()


def decoding(jpegs: list[bytes], batch: int, threads: int, write: bool = False) -> Iterator[Take]:
    """As many images as a batch has, decoded and thrown away; or a crop written into a batch of float32."""
    arrays = [np.frombuffer(j, np.uint8) for j in jpegs]
    with ThreadPoolExecutor(threads) as pool:
        step = len(arrays) // threads
        shares = [arrays[i * step : (i + 1) * step] for i in range(threads)]
        waiting: list[Any] = []

        outs = [np.zeros((batch, CROP, CROP, 3), np.float32) for _ in range(2 * threads if write else 0)]

        def decode(share: list[Any], number: int) -> None:
            for i in range(batch):
                image = cv2.imdecode(share[(number * batch + i) % len(share)], cv2.IMREAD_COLOR)
                if write:
                    np.copyto(outs[number % len(outs)][i], image[:CROP, :CROP])

        place = 0

        def take() -> None:
            # each thread decodes batches of its own; one is ready a take
            nonlocal place
            while len(waiting) < 2 * threads:
                waiting.append(pool.submit(decode, shares[place % threads], place))
                place += 1
            waiting.pop(0).result()

        yield take
        for future in waiting:
            future.result()


class LmdbDataset(Dataset[Any]):
    """Records of an LMDB by number; each worker opens it for itself."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.env: Any = None
        with lmdb.open(self.path, readonly=True, lock=False) as env:
            self.count = env.stat()["entries"]

    def __len__(self) -> int:
        return int(self.count)

    def datum(self, index: int) -> Any:
        if self.env is None:
            self.env = lmdb.open(self.path, readonly=True, lock=False)
            self.transaction = self.env.begin()
        return caffe_pb2.Datum.FromString(self.transaction.get(b"%08d" % index))


class RawDataset(LmdbDataset):
    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        datum = self.datum(index)
        pixels = np.frombuffer(datum.data, np.uint8).reshape(datum.channels, datum.height, datum.width)
        return torch.from_numpy(pixels.astype(np.float32) * np.float32(0.00390625)), datum.label


def augmented(image: np.ndarray[Any, Any]) -> torch.Tensor:
    """Crop, mirror, mean, as the layer does."""
    top, left = np.random.randint(LARGE - CROP + 1, size=2)
    image = image[top : top + CROP, left : left + CROP]
    if np.random.rand() < 0.5:
        image = image[:, ::-1]
    return torch.from_numpy(np.ascontiguousarray((image.astype(np.float32) - MEAN).transpose(2, 0, 1)))


class EncodedDataset(LmdbDataset):
    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        datum = self.datum(index)
        image = cv2.imdecode(np.frombuffer(datum.data, np.uint8), cv2.IMREAD_COLOR)
        return augmented(image), datum.label


class FileDataset(Dataset[Any]):
    def __init__(self, folder: Path) -> None:
        self.paths = [str(p) for p in sorted(folder.iterdir())]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return augmented(cv2.imread(self.paths[index])), index % 1000


if __name__ == "__main__":
    sys.exit(main())
