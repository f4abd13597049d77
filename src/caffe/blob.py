"""Blob: a named array of the net, its values (``data``) and their gradient (``diff``).

Each half is a :class:`Memory`: one state machine between the host, where numpy sees it, and the device,
where torch computes. On the CPU both are the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import torch

from caffe import runtime
from caffe.errors import InputError, InputTypeError, ShapeError, StateError

Shape = tuple[int, ...]

_HOST, _DEVICE, _BOTH = 1, 2, 3
_CPU = torch.device("cpu")
_ZERO = torch.zeros(())


class Memory:
    """One array, allocated when first used (as zeros), on host, device, or both.

    The host side of parameters and inputs keeps its storage for life, since scripts hold views of it;
    :meth:`bind` replaces it (what a layer's forward does with its tops).
    """

    __slots__ = ("_device", "_freed_fix", "_head", "_host", "_shape", "exposed", "freed", "pending")

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._host: torch.Tensor | None = None
        self._device: torch.Tensor | None = None
        self._head = _HOST
        self.exposed = False  # a numpy view was handed out: write in place from now on
        self.pending: torch.Tensor | None = (
            None  # the values to be taken when next read; what is there is stale
        )
        self.freed = ""  # why the values are gone, where they are
        self._freed_fix: str | None = None

    @property
    def shape(self) -> Shape:
        return self._shape

    @property
    def allocated(self) -> bool:
        return self._host is not None or self._device is not None

    def on(self, device: torch.device) -> torch.Tensor:
        """The values on a device, for reading."""
        if self._head != _DEVICE and device.type == "cpu":
            if self._host is not None and self.pending is None and not self.freed:
                return self._host
        elif (
            self._head != _HOST
            and self._device is not None
            and self.pending is None
            and self._device.device == device
        ):
            return self._device
        return self._settle(device)

    def _settle(self, device: torch.device) -> torch.Tensor:
        if self.freed:
            raise StateError(self.freed, fix=self._freed_fix)
        if not self.allocated:
            self._host = torch.zeros(self._shape)
            self._head = _HOST
        if self.pending is not None:
            pending, self.pending = self.pending, None
            self.mutable_on(_CPU if pending.device.type == "cpu" else device).copy_(pending)
        return self._to_host() if device.type == "cpu" else self._to_device(device)

    def _to_host(self) -> torch.Tensor:
        if self._head == _DEVICE:
            source = self._device
            if source is None:
                raise StateError("A blob's device side is missing")
            if self._host is not None and self._host.shape == source.shape:
                self._host.copy_(source)
            else:
                self._host = source.detach().to("cpu")
            self._head = _BOTH
        if self._host is None:
            raise StateError("A blob's host side is missing")
        return self._host

    def _to_device(self, device: torch.device) -> torch.Tensor:
        current = self._device
        if current is not None and current.device != device:
            self._to_host()
            current = None
        if current is None or self._head == _HOST:
            host = self._to_host()
            if current is not None and current.shape == host.shape:
                current.copy_(host, non_blocking=True)
            else:
                current = host.to(device, non_blocking=True)
            self._device = current
            self._head = _BOTH
        return current

    def mutable_on(self, device: torch.device) -> torch.Tensor:
        """The values on a device, for writing in place: that side is the newest from now on."""
        tensor = self.on(device)
        self._head = _HOST if device.type == "cpu" else _DEVICE
        return tensor

    def array(self) -> npt.NDArray[Any]:
        """A writable numpy view of the host side (a copy where numpy lacks the type, as for bfloat16)."""
        tensor = self.mutable_on(_CPU)
        self.exposed = True
        if tensor.dtype in (torch.bfloat16, torch.float16):
            tensor = tensor.float()
            self._host = tensor
        return tensor.detach().numpy()

    def bind(self, tensor: torch.Tensor) -> None:
        """Make ``tensor`` the values; views handed out before keep what they show."""
        if tensor.device.type == "cpu":
            self._host, self._device, self._head = tensor, None, _HOST
        else:
            self._host, self._device, self._head = None, tensor, _DEVICE
        self._shape = tuple(tensor.shape)
        self.pending = None
        self.exposed = False
        self.freed = ""

    def defer(self, tensor: torch.Tensor) -> None:
        """Take the values of ``tensor`` when next read (now, where a view shows this memory)."""
        if self.exposed:
            self.write(tensor)
        else:
            self.pending = tensor

    def write(self, tensor: torch.Tensor) -> None:
        """Copy ``tensor`` into the storage there is."""
        self.pending = None
        self.freed = ""
        self.mutable_on(tensor.device).copy_(tensor)

    def accumulate(self, tensor: torch.Tensor) -> None:
        """Add ``tensor``. Into cleared memory that no view shows it is taken as it is, at no cost."""
        if (self.pending is _ZERO or not self.allocated) and not self.exposed:
            self.bind(tensor)
        else:
            self.mutable_on(tensor.device).add_(tensor)

    def clear(self) -> None:
        """Set to zero: at once where a view shows it, else when next read."""
        if not self.allocated:
            return
        if self.exposed:
            device = _CPU if self._head != _DEVICE or self._device is None else self._device.device
            self.mutable_on(device).zero_()
        else:
            self.pending = _ZERO

    def cleared(self, like: torch.Tensor) -> torch.Tensor | None:
        """The storage, to be written over, where it is like this tensor, was cleared and no view shows it."""
        tensor = self._host if self._head == _HOST else self._device
        if self.pending is not _ZERO or self.exposed or tensor is None or self.freed:
            return None
        same = tensor.shape == like.shape and tensor.dtype == like.dtype and tensor.device == like.device
        return tensor if same and tensor.is_contiguous() else None

    def free(self, why: str, fix: str | None = None) -> None:
        """Give the values back; reading them raises StateError with ``why`` and what to do about it."""
        self._host = self._device = None
        self._head = _HOST
        self.freed = why
        self._freed_fix = fix
        self.pending = None
        self.exposed = False

    def renew(self) -> None:
        """After :meth:`free`, be zeros that are allocated when first used."""
        self.freed = ""

    def reshape(self, shape: Shape) -> None:
        """Another shape over the same storage where that is large enough, as in the original."""
        if shape == self._shape:
            return
        self._shape = shape
        if self.freed or not self.allocated:
            return
        device = _CPU if self._head != _DEVICE or self._device is None else self._device.device
        tensor = self.on(device)
        count = math.prod(shape)
        if not tensor.is_contiguous():
            tensor = tensor.contiguous()
        held = tensor.untyped_storage().nbytes() // tensor.element_size() - tensor.storage_offset()
        if count <= held:
            strides = torch.empty(shape, device="meta").stride()
            tensor = tensor.as_strided(shape, strides, tensor.storage_offset())
        else:
            tensor = torch.zeros(shape, dtype=tensor.dtype, device=device)
        exposed = self.exposed
        self.bind(tensor)
        self.exposed = exposed


class ReshapedMemory(Memory):
    """Another memory's values in another shape of the same count (parameters shared PERMISSIVE)."""

    __slots__ = ("_owner",)

    def __init__(self, owner: Memory, shape: Shape) -> None:
        super().__init__(shape)
        self._owner = owner

    @property
    def allocated(self) -> bool:
        return self._owner.allocated

    def on(self, device: torch.device) -> torch.Tensor:
        return self._owner.on(device).reshape(self._shape)

    def mutable_on(self, device: torch.device) -> torch.Tensor:
        return self._owner.mutable_on(device).view(self._shape)

    def array(self) -> npt.NDArray[Any]:
        return self._owner.array().reshape(self._shape)

    def bind(self, tensor: torch.Tensor) -> None:
        self._owner.bind(tensor.reshape(self._owner.shape))

    def accumulate(self, tensor: torch.Tensor) -> None:
        self._owner.accumulate(tensor.reshape(self._owner.shape))

    def clear(self) -> None:
        self._owner.clear()

    def cleared(self, like: torch.Tensor) -> torch.Tensor | None:
        return None

    def free(self, why: str, fix: str | None = None) -> None:
        self._owner.free(why, fix)

    def renew(self) -> None:
        self._owner.renew()


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
        return self._diff.array()

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
