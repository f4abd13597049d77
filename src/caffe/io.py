"""Images and arrays on their way into nets and databases: loading, resizing, Transformer, blobs and datums.

Images are H×W×C arrays of float32 in [0, 1], channels in RGB order; a :class:`Transformer` makes the C×H×W
blob of a net from them.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe.errors import (
    CorruptDataError,
    DataError,
    InputError,
    InputTypeError,
    MissingFileError,
    UnknownNameError,
    close_names,
)
from caffe.formats import images
from caffe.proto import caffe_pb2
from caffe.resize import resize as resize
from caffe.resize import resize_image

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]

_GRAY = np.array([0.2125, 0.7154, 0.0721])  # luminance of RGB as scikit-image weighs it


# Blobs and datums


def blobproto_to_array(blob: caffe_pb2.BlobProto, return_diff: bool = False) -> Array:
    """The values of a BlobProto (its gradient with ``return_diff``), in its shape.

    Raises InputError where the message has no shape, or one that does not fit the number of values.
    """
    if return_diff:
        values = blob.double_diff or blob.diff
    else:
        values = blob.double_data or blob.data
    if blob.HasField("shape"):
        shape = tuple(blob.shape.dim)
    elif any(blob.HasField(name) for name in ("num", "channels", "height", "width")):
        shape = (blob.num, blob.channels, blob.height, blob.width)
    else:
        shape = ()  # a single value
    array = np.array(values)
    if not return_diff and not len(array) and blob.raw_data:
        array = _raw_values(blob)
    count = math.prod(shape)
    if array.size != count:
        raise InputError(f"A BlobProto of shape {list(shape)} must hold {count} values; got {array.size}")
    return array.reshape(shape)


def _raw_values(blob: caffe_pb2.BlobProto) -> Array:
    kinds = {caffe_pb2.DOUBLE: "<f8", caffe_pb2.FLOAT: "<f4", caffe_pb2.FLOAT16: "<f2"}
    kind = kinds.get(blob.raw_data_type)
    if kind is None:
        raise InputError(
            f"raw_data must be DOUBLE, FLOAT or FLOAT16; got {caffe_pb2.Type.Name(blob.raw_data_type)}"
        )
    return np.frombuffer(blob.raw_data, kind).astype(np.float64)


def array_to_blobproto(arr: npt.ArrayLike, diff: npt.ArrayLike | None = None) -> caffe_pb2.BlobProto:
    """A BlobProto with the array's shape and values, and a gradient of the same shape where given.

    Raises InputError where the gradient has another shape.
    """
    values = np.asarray(arr)
    blob = caffe_pb2.BlobProto()
    blob.shape.dim.extend(values.shape)
    blob.data.extend(values.astype(np.float32).ravel().tolist())
    if diff is not None:
        gradient = np.asarray(diff)
        if gradient.shape != values.shape:
            raise InputError(f"diff must have arr's shape {list(values.shape)}; got {list(gradient.shape)}")
        blob.diff.extend(gradient.astype(np.float32).ravel().tolist())
    return blob


def arraylist_to_blobprotovector_str(arraylist: Iterable[npt.ArrayLike]) -> bytes:
    """The bytes of a BlobProtoVector with the arrays."""
    vector = caffe_pb2.BlobProtoVector()
    vector.blobs.extend(array_to_blobproto(arr) for arr in arraylist)
    return vector.SerializeToString()


def blobprotovector_str_to_arraylist(str: bytes) -> list[Array]:
    """The arrays in the bytes of a BlobProtoVector. Raises CorruptDataError."""
    vector = caffe_pb2.BlobProtoVector()
    try:
        vector.ParseFromString(str)
    except Exception as error:  # protobuf's DecodeError, which has several homes
        raise CorruptDataError(f"These bytes must be a BlobProtoVector: {error}") from None
    return [blobproto_to_array(blob) for blob in vector.blobs]


def array_to_datum(arr: Array, label: int | None = None) -> caffe_pb2.Datum:
    """A database record of a C×H×W array: as bytes where it is uint8, else as floats.

    Raises InputError where the array has not three axes.
    """
    if arr.ndim != 3:
        raise InputError(f"The array of a datum must be C×H×W; got shape {list(arr.shape)}")
    datum = caffe_pb2.Datum(channels=arr.shape[0], height=arr.shape[1], width=arr.shape[2])
    if arr.dtype == np.uint8:
        datum.data = arr.tobytes()
    else:
        datum.float_data.extend(arr.astype(np.float32).ravel().tolist())
    if label is not None:
        datum.label = int(label)
    return datum


def datum_to_array(datum: caffe_pb2.Datum) -> Array:
    """The C×H×W array of a record: uint8 from bytes, else floats; an encoded image is decoded (BGR).

    Raises DataError where sizes and values do not fit, CorruptDataError where an image cannot be decoded.
    """
    if datum.encoded:
        import cv2

        image = images.decoded(datum.data, cv2.IMREAD_UNCHANGED)
        if image is None:
            raise CorruptDataError("An encoded datum must hold an image file; its bytes cannot be decoded")
        return np.ascontiguousarray(np.atleast_3d(image).transpose(2, 0, 1))
    if datum.data:
        values: Array = np.frombuffer(datum.data, np.uint8).copy()
    else:
        values = np.array(datum.float_data, dtype=float)
    shape = (datum.channels, datum.height, datum.width)
    if values.size != math.prod(shape):
        raise DataError(
            f"A datum of {shape[0]}×{shape[1]}×{shape[2]} must hold {math.prod(shape)} values; "
            f"got {values.size}"
        )
    return values.reshape(shape)


# Images


def load_image(filename: Any, color: bool = True) -> Floats:
    """An image file as H×W×C float32 in [0, 1]: RGB, or one channel of luminance without ``color``.

    Gray images are repeated thrice for ``color``; alpha is left out. ``filename`` is a path or an open binary
    file, which is read from its start where it can be. Raises MissingFileError, DataError for what is no image,
    and InputTypeError.
    """
    import cv2

    if hasattr(filename, "read"):
        name, content = getattr(filename, "name", "the file"), _whole_file(filename)
    elif not isinstance(filename, (str, os.PathLike)):
        raise InputTypeError(f"load_image takes a path or an open file; got {filename!r}")
    else:
        path = Path(filename)
        if not path.is_file():
            raise MissingFileError("This image does not exist", file=path)
        name, content = str(path), path.read_bytes()
    image = images.decoded(content, cv2.IMREAD_UNCHANGED)
    if image is None:
        raise DataError("must be an image (JPEG, PNG, BMP, TIFF, WebP …); it cannot be decoded", file=name)
    if image.dtype.kind == "u":
        img = image / (2.0 ** (8 * image.dtype.itemsize) - 1)
    else:
        img = image.astype(np.float64)
    if img.ndim == 2:
        img = img[:, :, np.newaxis]
    elif img.shape[2] >= 3:
        img = img[:, :, 2::-1]  # BGR(A) to RGB
    if color and img.shape[2] == 1:
        img = np.tile(img, (1, 1, 3))
    elif not color and img.shape[2] == 3:
        img = (img @ _GRAY)[:, :, np.newaxis]
    return np.ascontiguousarray(img, dtype=np.float32)


def _whole_file(file: Any) -> bytes:
    """All of an open file, also where it was just written and stands at its end."""
    if getattr(file, "seekable", lambda: hasattr(file, "seek"))():
        file.seek(0)
    content = file.read()
    if isinstance(content, str):
        raise InputTypeError(f"load_image takes a binary file; got {file!r}", fix="Open it with mode 'rb'")
    return bytes(content)


def oversample(images: Sequence[Array], crop_dims: Sequence[int]) -> Floats:
    """Ten crops of each H×W×C image: four corners and the centre, then their mirror images.

    Returns (10·N)×H'×W'×C for ``crop_dims`` (H', W').
    Raises InputError where a crop is larger than the image.
    """
    images = list(images)
    if not images:
        raise InputError("oversample must be given at least one image; got none")
    height, width = (int(d) for d in crop_dims)
    crops = []
    for i, image in enumerate(images):
        rest_h, rest_w = image.shape[0] - height, image.shape[1] - width
        if image.shape != images[0].shape:
            raise InputError(
                f"All images must have the first one's shape {list(images[0].shape)}; image {i} has "
                f"{list(image.shape)}"
            )
        if min(rest_h, rest_w) < 0:
            raise InputError(
                f"crop_dims must be within the image, {image.shape[0]}×{image.shape[1]}; got {height}×{width}"
            )
        corners = [(0, 0), (0, rest_w), (rest_h, 0), (rest_h, rest_w), (rest_h // 2, rest_w // 2)]
        five = [image[top : top + height, left : left + width] for top, left in corners]
        crops += five + [crop[:, ::-1] for crop in five]
    return np.array(crops, dtype=np.float32)


class Transformer:
    """Makes net inputs of images, and images of net inputs.

    ``inputs`` maps each input's name to its shape, N×C×H×W: ``{'data': net.blobs['data'].data.shape}``. The
    steps that were set for an input are taken in this order: resize to the input's H×W, transpose (H×W×C to
    C×H×W), channel swap (RGB to BGR), raw scale ([0, 1] to [0, 255]), mean, input scale. Raises InputTypeError.
    """

    def __init__(self, inputs: Mapping[str, Sequence[int]]) -> None:
        try:
            self.inputs = {name: tuple(shape) for name, shape in inputs.items()}
        except (AttributeError, TypeError):
            raise InputTypeError(
                f"Transformer takes a dict of input names to shapes; got {inputs!r}",
                fix="For example Transformer({'data': net.blobs['data'].data.shape})",
            ) from None
        self.transpose: dict[str, Sequence[int]] = {}
        self.channel_swap: dict[str, Sequence[int]] = {}
        self.raw_scale: dict[str, float] = {}
        self.mean: dict[str, Array] = {}
        self.input_scale: dict[str, float] = {}

    def _shape(self, in_: str) -> tuple[int, ...]:
        if in_ not in self.inputs:
            raise _NotAnInput(
                f"{in_} is not one of the net inputs: {list(self.inputs)}",
                fix=close_names(str(in_), self.inputs) or None,
            )
        return self.inputs[in_]

    def preprocess(self, in_: str, data: Array) -> Floats:
        """The input blob's C×H×W values for one H×W×C image, which is left as it is.

        Raises InputError where the name is no input or the result would not fit it.
        """
        shape = self._shape(in_)
        values = np.array(data, dtype=np.float32)
        if len(shape) > 2 and values.shape[:2] != shape[2:]:
            if len(shape) != 4 or values.ndim != 3:
                raise InputError(
                    f"The image for input '{in_}' of shape {list(shape)} must be H×W×C; got shape "
                    f"{list(values.shape)}"
                )
            values = resize_image(values, shape[2:])
        transpose = self.transpose.get(in_)
        if transpose is not None:
            values = values.transpose(transpose)
        swap = self.channel_swap.get(in_)
        if swap is not None:
            if max(swap) >= values.shape[0]:
                raise InputError(
                    f"The channel swap {tuple(swap)} of input '{in_}' needs {max(swap) + 1} channels on axis "
                    f"0; got shape {list(values.shape)}",
                    fix="Give load_image color=True, and set_transpose((2, 0, 1)) for H×W×C images",
                )
            values = values[list(swap)]
        if self.raw_scale.get(in_) is not None:
            values = values * np.float32(self.raw_scale[in_])
        mean = self.mean.get(in_)
        if mean is not None:
            try:
                values = values - mean.astype(np.float32)
            except ValueError:
                raise InputError(
                    f"The mean of input '{in_}' has shape {list(mean.shape)}, the image {list(values.shape)}"
                ) from None
        if self.input_scale.get(in_) is not None:
            values = values * np.float32(self.input_scale[in_])
        return np.ascontiguousarray(values, dtype=np.float32)

    def deprocess(self, in_: str, data: Array) -> Floats:
        """The H×W×C image of an input blob's values: :meth:`preprocess` undone, but for the size."""
        self._shape(in_)
        values = np.array(data, dtype=np.float32).squeeze()
        if self.input_scale.get(in_) is not None:
            values = values / np.float32(self.input_scale[in_])
        if self.mean.get(in_) is not None:
            values = values + self.mean[in_].astype(np.float32)
        if self.raw_scale.get(in_) is not None:
            values = values / np.float32(self.raw_scale[in_])
        if self.channel_swap.get(in_) is not None:
            values = values[np.argsort(self.channel_swap[in_])]
        if self.transpose.get(in_) is not None:
            values = values.transpose(tuple(np.argsort(self.transpose[in_])))
        return np.asarray(values, dtype=np.float32)

    def set_transpose(self, in_: str, order: Sequence[int]) -> None:
        """The order of the image's axes in the blob: (2, 0, 1) makes C×H×W of H×W×C."""
        axes = len(self._shape(in_)) - 1
        if sorted(order) != list(range(axes)):
            raise InputError(
                f"Transpose order must be a permutation of 0 to {axes - 1}, the axes of one image of input "
                f"'{in_}'; got {tuple(order)}"
            )
        self.transpose[in_] = tuple(order)

    def set_channel_swap(self, in_: str, order: Sequence[int]) -> None:
        """The order of the image's channels in the blob: (2, 1, 0) makes BGR of RGB."""
        channels = self._shape(in_)[1]
        if sorted(order) != list(range(channels)):
            raise InputError(
                f"Channel swap must be a permutation of 0 to {channels - 1}, the channels of input '{in_}'; "
                f"got {tuple(order)}"
            )
        self.channel_swap[in_] = tuple(order)

    def set_raw_scale(self, in_: str, scale: float) -> None:
        """A factor before the mean is subtracted: 255 for nets that were trained on 0 … 255."""
        self._shape(in_)
        self.raw_scale[in_] = _number("raw scale", scale)

    def set_mean(self, in_: str, mean: Array) -> None:
        """What to subtract: a value for each channel, or C×H×W (resized where its H×W is not the input's)."""
        shape = self._shape(in_)
        mean = np.asarray(mean)
        if mean.ndim == 1:
            if mean.shape[0] != shape[1]:
                raise InputError(
                    f"Mean channels incompatible with input: must be {shape[1]}, as input '{in_}' has; got "
                    f"{mean.shape[0]}"
                )
            mean = mean[:, np.newaxis, np.newaxis]
        else:
            if mean.ndim == 2:
                mean = mean[np.newaxis]
            if mean.ndim != 3 or mean.shape[0] not in (1, shape[1]):
                raise InputError(
                    f"Mean shape invalid: must be C, H×W or C×H×W for input '{in_}' of shape {list(shape)}; "
                    f"got {list(mean.shape)}",
                    fix="Use blobproto_to_array(blob)[0] for a .binaryproto" if mean.ndim == 4 else None,
                )
            if mean.shape[1:] != shape[2:]:
                mean = resize_image(mean.transpose(1, 2, 0), shape[2:]).transpose(2, 0, 1)
        self.mean[in_] = mean

    def set_input_scale(self, in_: str, scale: float) -> None:
        """A factor after the mean is subtracted."""
        self._shape(in_)
        self.input_scale[in_] = _number("input scale", scale)


class _NotAnInput(InputError, UnknownNameError):
    """A name that is no input of a Transformer."""


def _number(what: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise InputTypeError(f"The {what} must be a number; got {value!r}") from None
