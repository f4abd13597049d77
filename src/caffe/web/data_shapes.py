"""The shapes of a data layer's tops, without running it: as its parameters say, else as its first record does.

A page must show a net whose database is on another machine, and must not start prefetching from one that is here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from caffe.errors import CaffeError
from caffe.proto import caffe_pb2

DATA = {
    "Data": "data_param",
    "AnnotatedData": "data_param",
    "ImageData": "image_data_param",
    "HDF5Data": "hdf5_data_param",
    "MemoryData": "memory_data_param",
    "WindowData": "window_data_param",
    "DenseImageData": "dense_image_data_param",
    "VideoData": "video_data_param",
}
"""Layers that bring data, and where they say how."""
USUAL = (3, 224, 224)
"""Taken where nothing says how large images are."""
_BY_NAME = {"mnist": (1, 28, 28), "cifar": (3, 32, 32)}
"""… unless the data's name is a well-known one's."""


def tops_of(param: caffe_pb2.LayerParameter, look: bool) -> tuple[list[list[int]], str]:
    """A shape for each top of a data layer, and a note on what was guessed.

    ``look`` allows opening the data for its first record.
    """
    own: Any = getattr(param, DATA.get(param.type, "data_param"))
    batch = max(int(getattr(own, "batch_size", 1) or 1), 1)
    if param.type == "HDF5Data" and look:
        found = _hdf5(own.source, list(param.top), batch)
        if found is not None:
            return found, ""
    size, note = _image(param, own, look)
    shapes = []
    for i, name in enumerate(param.top):
        if i == 0:
            shapes.append([batch, *size])
        elif param.type == "AnnotatedData":
            shapes.append([1, 1, 1, 8])
        elif param.type == "DenseImageData":
            shapes.append([batch, 1, *size[1:]])
        else:
            shapes.append([batch, *size] if name == "data" else [batch])
    return shapes, note


def _image(param: caffe_pb2.LayerParameter, own: Any, look: bool) -> tuple[list[int], str]:
    transform = param.transform_param
    resized = transform.resize_param[0] if transform.resize_param else caffe_pb2.ResizeParameter()
    crop = transform.crop_size or getattr(own, "crop_size", 0)
    height = crop or transform.crop_h or resized.height or _of(own, "height", "new_height")
    width = crop or transform.crop_w or resized.width or _of(own, "width", "new_width")
    channels = _of(own, "channels") or (0 if len(transform.mean_value) < 2 else len(transform.mean_value))
    if param.type in ("ImageData", "WindowData", "DenseImageData"):
        channels = channels or (1 if param.type == "ImageData" and not own.is_color else 3)
    if channels and height and width:
        return [channels, height, width], ""
    first = _first_record(own) if look and param.type in ("Data", "AnnotatedData") else None
    if first is not None:
        return [channels or first[0], height or first[1], width or first[2]], ""
    source = str(getattr(own, "source", "")).lower()
    usual = next((size for word, size in _BY_NAME.items() if word in source), USUAL)
    guess = [channels or usual[0], height or usual[1], width or usual[2]]
    return guess, f"The data was not looked at: {' × '.join(map(str, guess))} is a guess"


def _of(own: Any, *names: str) -> int:
    return max((int(getattr(own, name, 0) or 0) for name in names), default=0)


def _first_record(own: Any) -> tuple[int, int, int] | None:
    from caffe.data.sources.database import open_database
    from caffe.formats import datum

    if not own.source or not Path(own.source).is_dir():
        return None
    try:
        database = open_database(own.source)
    except CaffeError:
        return None
    try:
        for _, value in database.items():
            record = datum.parse(value)
            return _encoded_shape(record.data) if record.encoded else record.shape
    except CaffeError:
        return None
    finally:
        database.close()
    return None


def _encoded_shape(content: Any) -> tuple[int, int, int] | None:
    import cv2

    from caffe.formats import images

    image = images.decoded(content, cv2.IMREAD_UNCHANGED)
    if image is None:
        return None
    return (1 if image.ndim == 2 else image.shape[2], image.shape[0], image.shape[1])


def _hdf5(source: str, tops: list[str], batch: int) -> list[list[int]] | None:
    import h5py

    try:
        first = next(
            line.strip() for line in Path(source).read_text(encoding="utf-8").splitlines() if line.strip()
        )
        with h5py.File(first, "r") as file:
            return [[batch, *file[top].shape[1:]] for top in tops]
    except (OSError, KeyError, StopIteration, UnicodeDecodeError):
        return None
