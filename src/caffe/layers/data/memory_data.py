"""MemoryData: batches of arrays at hand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from caffe import logs, runtime
from caffe.data.sources.memory import transformed
from caffe.data.transform import Transformer
from caffe.errors import InputError, InputTypeError
from caffe.layer import Blobs, Layer, Resumable

Array = npt.NDArray[Any]


class MemoryData(Layer, Resumable):
    """Batches of arrays that were given with ``net.set_input_arrays(data, labels)``, over and over, without
    copies.

    - top 0: ``batch_size`` × ``channels`` × ``height`` × ``width``, as ``memory_data_param`` says.
    - top 1: ``batch_size``, the labels.

    ``transform_param`` holds for :meth:`add_images` only, as in the original.

    Differs from Caffe: labels may also have one axis.

    Source: BVLC ``MemoryData``.
    """

    num_bottoms = 0
    num_tops = 2
    source = True
    reads = {"transform_param": "*", "memory_data_param": "*"}

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        param = self.param.memory_data_param
        self.shape = (param.batch_size, param.channels, param.height, param.width)
        if min(self.shape) <= 0:
            raise self.error(
                f"batch_size, channels, height and width must all be positive; got {list(self.shape)}",
                field="memory_data_param",
            )
        self._transformer = Transformer(self.param.transform_param, self.phase)
        self._arrays: tuple[Array, Array] | None = None
        self._tensors: tuple[torch.Tensor, ...] = ()
        self._position = 0
        top[0].reshape(*self.shape)
        top[1].reshape(self.shape[0])

    def set_arrays(self, data: Array, labels: Array) -> None:
        """Take batches from these arrays from now on, from their start; they are kept, not copied.

        ``data`` is float32, in C order, items × channels × height × width, a multiple of the batch;
        ``labels`` float32, items or items × 1 × 1 × 1. Raises InputError, InputTypeError.
        """
        count = np.shape(data)[0] if np.ndim(data) else 0
        self._check("data", data, [(count, *self.shape[1:])])
        self._check("labels", labels, [(count,), (count, 1, 1, 1)])
        if count == 0 or count % self.shape[0]:
            raise InputError(
                f"The items must be a positive multiple of batch_size, {self.shape[0]}; got {count}",
                layer=self.name,
                type=self.type,
            )
        if self.param.HasField("transform_param"):
            logs.warning(
                f"Layer {self.name}: transform_param does nothing to arrays that are given as they are"
            )
        self._reset(data, labels)

    reset = set_arrays

    def add_images(self, images: Iterable[Any], labels: npt.ArrayLike) -> None:
        """Take batches from these images, transformed by ``transform_param``.

        An image is a Datum (or its bytes), or an array height × width × channels. Raises InputError,
        DataError.
        """
        seed = int(runtime.rng().integers(1 << 62)) if self._transformer.random else 0
        data = transformed(list(images), self._transformer, seed)
        self._check("data", data, [(len(data), *self.shape[1:])])
        numbers = np.array(labels, np.float32).reshape(-1)
        self._check("labels", numbers, [(len(data),)])
        if len(data) % self.shape[0]:
            raise InputError(
                f"The number of images must be a multiple of batch_size, {self.shape[0]}; got {len(data)}",
                layer=self.name,
                type=self.type,
            )
        self._reset(data, numbers)

    def _reset(self, data: Array, labels: Array) -> None:
        self._arrays = (data, labels)
        self._tensors = tuple(
            torch.from_numpy(a if a.flags.writeable else a.copy()) for a in (data, labels.reshape(-1))
        )
        self._position = 0

    def _check(self, what: str, array: Any, shapes: list[tuple[int, ...]]) -> None:
        if not isinstance(array, np.ndarray) or array.dtype != np.float32:
            got = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
            raise InputTypeError(
                f"The {what} must be a numpy array of float32; got {got}",
                fix=f"Convert with numpy.ascontiguousarray({what}, numpy.float32)",
                layer=self.name,
                type=self.type,
            )
        if not array.flags.c_contiguous:
            raise InputError(
                f"The {what} must be C contiguous",
                fix=f"Use numpy.ascontiguousarray({what})",
                layer=self.name,
                type=self.type,
            )
        if array.shape not in shapes:
            wanted = " or ".join(str(list(s)) for s in shapes)
            raise InputError(
                f"The {what} must have the shape {wanted}; got {list(array.shape)}",
                layer=self.name,
                type=self.type,
            )

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        if not self._tensors:
            raise self.error("has no data", fix="Call net.set_input_arrays(data, labels) first")
        end = self._position + self.shape[0]
        for blob, tensor in zip(top, self._tensors):
            blob.bind(tensor[self._position : end])
        self._position = end % len(self._tensors[0])

    def state(self) -> dict[str, Any]:
        """Where the layer is in its arrays."""
        return {"position": self._position}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from where :meth:`state` was taken, once the arrays are set."""
        self._position = int(state["position"])
