"""Smaller ONNX files: half precision, and 8-bit integers by ONNX Runtime's quantizer."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from caffe.errors import InputError
from caffe.export.check import Arrays, ExportError
from caffe.export.onnx_file import quiet
from caffe.export.packages import package
from caffe.export.preprocess import Preprocess

PathLike = str | os.PathLike[str]

HALF_TOLERANCE = 2e-2
"""Of a blob's largest value: half precision has 3 digits, and layers add up."""
INT8_TOLERANCE = 0.5
"""Beyond it a quantized net is of no use; the difference found is told."""
LEAST_OPSET = 13
"""Of files whose weights are quantized channel by channel."""
QUANTIZED = ["Conv", "ConvTranspose", "Gemm", "MatMul"]
MOST_PHOTOS = 200
_PHOTOS = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}


def halve(path: PathLike) -> None:
    """Rewrite an ONNX file with weights and arithmetic in half precision; inputs and outputs stay as they were."""
    onnx = package("onnx", "half precision")
    float16 = package("onnxruntime.transformers.float16", "half precision")
    with quiet():
        model = float16.convert_float_to_float16(onnx.load(os.fspath(path)), keep_io_types=True)
    onnx.save(model, os.fspath(path))


def quantize(path: PathLike, name: str, feeds: Sequence[Arrays]) -> None:
    """Rewrite an ONNX file with 8-bit weights and activations, whose ranges are those seen for ``feeds``."""
    quantization = package("onnxruntime.quantization", "quantizing")

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            self._left: Iterator[Arrays] = iter(feeds)

        def get_next(self) -> Arrays | None:
            return next(self._left, None)

    with tempfile.TemporaryDirectory() as folder, quiet():
        small = Path(folder) / "small.onnx"
        try:
            quantization.quantize_static(
                os.fspath(path),
                str(small),
                Reader(),
                per_channel=True,
                reduce_range=True,  # processors without VNNI add two products of 8 bits in 16, where they overflow
                op_types_to_quantize=QUANTIZED,
            )
        except Exception as error:  # the quantizer's own errors are of many types
            raise ExportError(f"{name}: ONNX Runtime cannot quantize it: {error}") from error
        Path(path).write_bytes(small.read_bytes())


def photos(
    folder: PathLike, shape: Sequence[int], preprocess: Preprocess, inside: bool, others: Arrays
) -> list[Arrays]:
    """What a net's inputs get for a folder's photos, one at a time: prepared, or as they are where the model itself
    prepares them (``inside``). ``others`` are values for further inputs. Raises InputError for a folder without any.
    """
    files = sorted(p for p in Path(folder).glob("*") if p.suffix.lower() in _PHOTOS)[:MOST_PHOTOS]
    if not files:
        raise InputError(
            f"{folder} has no photos to calibrate with ({', '.join(sorted(_PHOTOS))})",
            fix="Give a folder of some dozens that are like those to come",
        )
    prepare = preprocess.module((1, *shape[1:]))
    feeds = []
    for path in files:
        image = (
            torch.from_numpy(_read(path, preprocess, shape))[None].expand(shape[0], -1, -1, -1).contiguous()
        )
        with torch.no_grad():
            value = image if inside else prepare(image)
        feeds.append({**others, next(iter(others)): value.numpy()})
    return feeds


def _read(path: Path, preprocess: Preprocess, shape: Sequence[int]) -> npt.NDArray[np.uint8]:
    """A photo as H × W × C in the order and, without a resize of its own, the size that is expected."""
    gray = shape[1] == 1
    image: Any = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE if gray else cv2.IMREAD_COLOR)
    if image is None:
        raise InputError(f"{path} is no photo that OpenCV reads")
    if preprocess.resize is None:
        image = cv2.resize(image, (int(shape[3]), int(shape[2])))
    if gray:
        return np.ascontiguousarray(image[..., None])
    return np.ascontiguousarray(image[..., ::-1] if preprocess.images == "rgb" else image)
