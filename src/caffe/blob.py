"""Blob: a named array of the net, its values (``data``) and their gradient (``diff``), each a Memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import torch

from caffe import limits, runtime
from caffe.errors import InputError, InputTypeError, ShapeError, StateError
from caffe.memory import Memory, ReshapedMemory, Shape

__all__ = ["Blob", "BlobVec", "Shape", "as_shape"]


def as_shape(dims: Iterable[Any]) -> Shape:
    """Check and convert dimensions. Raises InputError, InputTypeError."""
    shape = []
    for dim in dims:
        if isinstance(dim, (bool, np.bool_)) or not isinstance(dim, (int, np.integer)):
            if isinstance(dim, (float, np.floating)) and float(dim).is_integer():
                dim = int(dim)
            else:
                raise InputTypeError(f"Every dimension of a shape must be an integer; got {dim!r}")
        if dim < 0:
            raise InputError(f"Every dimension of a shape must be at least 0; got {dim}")
        shape.append(int(dim))
    if len(shape) > 32:
        raise InputError(f"A blob must have at most 32 axes; got {len(shape)}")
    if math.prod(dim for dim in shape if dim) > limits.LARGEST_COUNT:
        raise InputError(f"A blob's values must be countable; got shape {shape}")
    return tuple(shape)


class Blob:
    """An array of float32 values with its gradient, in N×C×H×W order for images.

    ``data`` and ``diff`` are numpy arrays that write through. A view of an intermediate blob is a picture of
    that forward; views of parameters and inputs stay valid.
    """

    __slots__ = ("__weakref__", "_data", "_diff", "name")

    def __init__(self, *shape: int, name: str = "") -> None:
        dims = as_shape(shape)
        self.name = name
        self._data = Memory(dims)
        self._diff = Memory(dims)

    @property
    def data(self) -> npt.NDArray[np.float32]:
        """The values, as a writable numpy array. Assign with ``blob.data[...] = values``."""
        try:
            return self._data.array()
        except StateError as error:
            raise self._named(error) from None

    @data.setter
    def data(self, value: object) -> None:
        # ``blob.data += x`` assigns the array back after writing in place.
        if not (isinstance(value, np.ndarray) and np.shares_memory(value, self._data.array())):
            raise InputError(
                f"blob '{self.name}': data cannot be replaced", fix="Assign into it: blob.data[...] = values"
            )

    @property
    def diff(self) -> npt.NDArray[np.float32]:
        """The gradient, as a writable numpy array of ``data``'s shape; zeros until a backward."""
        return self._diff.array(c_order=True)

    @diff.setter
    def diff(self, value: object) -> None:
        if not (isinstance(value, np.ndarray) and np.shares_memory(value, self._diff.array())):
            raise InputError(
                f"blob '{self.name}': diff cannot be replaced", fix="Assign into it: blob.diff[...] = values"
            )

    @property
    def tensor(self) -> torch.Tensor:
        """The values as a torch tensor on the present device, for reading."""
        try:
            return self._data.on(runtime.device())
        except StateError as error:
            raise self._named(error) from None

    @property
    def diff_tensor(self) -> torch.Tensor:
        """The gradient as a torch tensor on the present device, for reading."""
        return self._diff.on(runtime.device())

    @property
    def data_memory(self) -> Memory:
        """Where the values are."""
        return self._data

    @property
    def diff_memory(self) -> Memory:
        """Where the gradient is."""
        return self._diff

    def bind(self, tensor: torch.Tensor) -> None:
        """Make ``tensor`` the values, its shape the blob's; no copy."""
        self._data.bind(tensor)
        if self._diff.shape != self._data.shape:
            self._diff = Memory(self._data.shape)

    def bind_diff(self, tensor: torch.Tensor) -> None:
        """Make ``tensor`` the gradient; no copy."""
        self._diff.bind(tensor)

    @property
    def shape(self) -> Shape:
        """The dimensions, outermost first."""
        return self._data.shape

    @property
    def count(self) -> int:
        """How many values there are."""
        return math.prod(self._data.shape)

    def _legacy(self, axis: int, name: str) -> int:
        shape = self.shape
        if len(shape) > 4:
            raise ShapeError(
                f"blob '{self.name}': {name} means something for up to 4 axes; got shape {list(shape)}",
                fix=f"Use shape[{axis}]",
            )
        return shape[axis] if axis < len(shape) else 1

    @property
    def num(self) -> int:
        """Axis 0, of at most 4 axes (missing ones count as 1)."""
        return self._legacy(0, "num")

    @property
    def channels(self) -> int:
        """Axis 1, of at most 4 axes (missing ones count as 1)."""
        return self._legacy(1, "channels")

    @property
    def height(self) -> int:
        """Axis 2, of at most 4 axes (missing ones count as 1)."""
        return self._legacy(2, "height")

    @property
    def width(self) -> int:
        """Axis 3, of at most 4 axes (missing ones count as 1)."""
        return self._legacy(3, "width")

    def reshape(self, *shape: int) -> None:
        """Change the shape (dimensions or one sequence); values stay where the storage is large enough."""
        if len(shape) == 1 and isinstance(shape[0], Sequence):
            shape = tuple(shape[0])
        dims = as_shape(shape)
        self._data.reshape(dims)
        self._diff.reshape(dims)

    def share_data(self, other: Blob) -> None:
        """Use the other blob's values from now on."""
        self._data = other._data

    def share_diff(self, other: Blob) -> None:
        """Use the other blob's gradient from now on."""
        self._diff = other._diff

    def share_reshaped(self, other: Blob) -> None:
        """Use the other blob's values and gradient, in this blob's shape."""
        self._data = ReshapedMemory(other._data, self.shape)
        self._diff = ReshapedMemory(other._diff, self.shape)

    def _named(self, error: StateError) -> StateError:
        return StateError(f"blob '{self.name}': {error.message}", fix=error.fix)

    def _repr_html_(self) -> str:
        from caffe.display import blob_html

        return blob_html(self)

    def __repr__(self) -> str:
        name = f" '{self.name}'" if self.name else ""
        return f"<Blob{name} {'×'.join(map(str, self.shape)) or 'scalar'}>"


class BlobVec:
    """A layer's parameters: a list of blobs, with ``add_blob`` for Python layers."""

    def __init__(self, blobs: Iterable[Blob] = ()) -> None:
        self._blobs = list(blobs)

    def add_blob(self, *shape: int) -> Blob:
        """Append a new blob of zeros."""
        self._blobs.append(Blob(*shape))
        return self._blobs[-1]

    def append(self, blob: Blob) -> None:
        """Append a blob."""
        self._blobs.append(blob)

    def __len__(self) -> int:
        return len(self._blobs)

    @overload
    def __getitem__(self, index: int) -> Blob: ...
    @overload
    def __getitem__(self, index: slice) -> list[Blob]: ...
    def __getitem__(self, index: int | slice) -> Blob | list[Blob]:
        return self._blobs[index]

    def __iter__(self) -> Iterator[Blob]:
        return iter(self._blobs)

    def __repr__(self) -> str:
        return f"BlobVec({self._blobs!r})"
