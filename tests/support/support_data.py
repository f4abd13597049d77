"""Databases, layers and pictures for the tests of data."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import text_format

from caffe.blob import Blob
from caffe.data.sources.database import create
from caffe.formats.datum import Datum
from caffe.layer_factory import create_layer
from caffe.proto import caffe_pb2

Array = np.ndarray[Any, Any]


def noise(*shape: int, seed: int = 0) -> Array:
    """Random bytes."""
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def write_records(path: Path, records: list[Datum], backend: str = "lmdb") -> str:
    """A database of these records, with keys 00000000, 00000001, …; returns its path."""
    with create(path, backend) as writer:
        for i, record in enumerate(records):
            writer.put(b"%08d" % i, record.serialize())
    return str(path)


def raw_records(images: Array, labels: Any = None) -> list[Datum]:
    """Records of raw images, items × channels × height × width; labels 0, 1, … if none are given."""
    labels = range(len(images)) if labels is None else labels
    return [
        Datum(image.shape[0], image.shape[1], image.shape[2], image.tobytes(), int(label))
        for image, label in zip(images, labels)
    ]


def jpeg(image: Array, ending: str = ".jpg") -> bytes:
    """A picture's file of an image, height × width × channels."""
    import cv2

    return bytes(cv2.imencode(ending, image)[1].tobytes())


def smooth(height: int, width: int, seed: int = 0) -> Array:
    """An image that compresses well, height × width × 3."""
    import cv2

    return np.asarray(cv2.resize(noise(4, 5, 3, seed=seed), (width, height)))


class Fed:
    """A data layer that is set up, with its tops."""

    def __init__(self, text: str, phase: int = caffe_pb2.TEST) -> None:
        param = text_format.Parse(text, caffe_pb2.LayerParameter())
        param.name = param.name or "d"
        param.phase = phase
        self.layer: Any = create_layer(param)
        self.tops = [Blob(name=name) for name in param.top]
        self.layer.setup([], self.tops)

    def step(self) -> list[Array]:
        """What the tops hold after the next forward."""
        self.layer.forward([], self.tops)
        return [np.array(top.data) for top in self.tops]

    def steps(self, count: int) -> list[list[Array]]:
        """What they hold after each of the next forwards."""
        return [self.step() for _ in range(count)]

    def close(self) -> None:
        self.layer.close()

    def __enter__(self) -> Fed:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()


def data_text(source: object, batch: int, transform: str = "", more: str = "", tops: int = 2) -> str:
    """A Data layer over an LMDB."""
    names = " ".join(f'top: "t{i}"' for i in range(tops))
    return (
        f'type: "Data" {names} data_param {{ source: "{source}" backend: LMDB batch_size: {batch} {more} }} '
        f"transform_param {{ {transform} }}"
    )


def prefetching() -> int:
    """How many threads read ahead at present."""
    return sum(thread.name.startswith("caffe-prefetch") for thread in threading.enumerate())


def same(one: list[list[Array]], other: list[list[Array]]) -> bool:
    """Whether two runs gave the same arrays, bit for bit."""
    return len(one) == len(other) and all(
        len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b)) for a, b in zip(one, other)
    )
