"""Memory: one array between the host, where numpy sees it, and the device, where torch computes.

On the CPU both are the same bytes.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable
from typing import Any

import numpy.typing as npt
import torch

from caffe import limits
from caffe.errors import InputError, StateError

Shape = tuple[int, ...]

_HOST, _DEVICE, _BOTH = 1, 2, 3
_CPU = torch.device("cpu")
_ZERO = torch.zeros(())


class Memory:
    """One array, allocated when first used (as zeros), on host, device, or both.

    The host side of parameters and inputs keeps its storage for life, since scripts hold views of it;
    :meth:`bind` replaces it (what a layer's forward does with its tops).
    """

    __slots__ = (
        *("_anchor", "_changes", "_device", "_freed_fix", "_head", "_host", "_shape"),
        *("_converted", "exposed", "freed", "initial", "lent", "pending", "restore"),
    )

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._host: torch.Tensor | None = None
        self._device: torch.Tensor | None = None
        self._head = _HOST
        self.exposed = False  # a numpy view was handed out: write in place from now on
        self.lent = False  # another blob's values are the same bytes: copied before numpy may write
        self.pending: torch.Tensor | None = (
            None  # the values to be taken when next read; what is there is stale
        )
        self.freed = ""  # why the values are gone, where they are
        self._freed_fix: str | None = None
        self.restore: Callable[[], None] | None = None  # computes freed values again, when they are read
        self._converted: tuple[Any, torch.Tensor] | None = None  # with what it was made of, and into what
        self.initial: Callable[[npt.NDArray[Any]], None] | None = None  # writes the first values, when needed
        self._changes = 0
        self._anchor: weakref.ref[npt.NDArray[Any]] | None = None

    @property
    def shape(self) -> Shape:
        return self._shape

    @property
    def allocated(self) -> bool:
        return self._host is not None or self._device is not None

    @property
    def changes(self) -> int:
        """Grows whenever the values may be written, but for writes through views that were handed out."""
        return self._changes

    @property
    def watched(self) -> bool:
        """Whether a view that was handed out is still in use: it may be written through at any time."""
        return self._anchor is not None and self._anchor() is not None

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
        if self.freed and self.restore is not None:
            self.restore()
        if self.freed:
            raise StateError(self.freed, fix=self._freed_fix)
        if not self.allocated:
            self._host = torch.zeros(_possible(self._shape))
            self._head = _HOST
            if self.initial is not None:
                initial, self.initial = self.initial, None
                initial(self._host.numpy())
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
        if current is None or current.device != device or self._head == _HOST:
            # never into the tensor that was there: an earlier forward may have kept it for its backward
            self._device = current = self._to_host().to(device, non_blocking=True)
            self._head = _BOTH
        return current

    def mutable_on(self, device: torch.device) -> torch.Tensor:
        """The values on a device, for writing in place: that side is the newest from now on."""
        tensor = self.on(device)
        self._changes += 1
        self._head = _HOST if device.type == "cpu" else _DEVICE
        return tensor

    def converted(
        self, device: torch.device, dtype: torch.dtype, layout: torch.memory_format
    ) -> torch.Tensor:
        """The values in another type or layout, for reading; made once for as long as they stay the same.

        As they are where a view that was handed out may change them at any time.
        """
        values = self.on(device)
        if self.watched:
            return values
        key = self.changes, device, dtype, layout
        if self._converted is None or self._converted[0] != key:
            self._converted = key, values.to(dtype, memory_format=layout)
        return self._converted[1]

    def array(self, c_order: bool = False) -> npt.NDArray[Any]:
        """A writable numpy view of the host side (a copy where numpy lacks the type, as for bfloat16).

        In C order where ``c_order`` wants it, so that its ``reshape`` and ``ravel`` are views as well.
        """
        tensor = self.mutable_on(_CPU)
        self.exposed = True
        if tensor.dtype in (torch.bfloat16, torch.float16):
            self._host = tensor = tensor.float()
        elif self.lent or (c_order and not tensor.is_contiguous()):
            self._host = tensor = tensor.detach().clone(memory_format=torch.contiguous_format)
            self._device = None
        self.lent = False
        anchor = self._anchor() if self._anchor is not None else None
        if anchor is None or anchor.ctypes.data != tensor.data_ptr() or anchor.shape != tensor.shape:
            anchor = tensor.detach().numpy()
            self._anchor = weakref.ref(anchor)
        return anchor.view()  # holds the anchor, as do the views made of it

    def lend(self, other: Memory) -> None:
        """Say that both hold the same bytes, for efficiency alone: writing to one must not change the other."""
        other.lent = True
        self.lent = self.lent or not self.exposed

    def bind(self, tensor: torch.Tensor) -> None:
        """Make ``tensor`` the values; views handed out before keep what they show."""
        if tensor.device.type == "cpu":
            self._host, self._device, self._head = tensor, None, _HOST
        else:
            self._host, self._device, self._head = None, tensor, _DEVICE
        self._shape = tuple(tensor.shape)
        self._changes += 1
        self.pending = None
        self.exposed = self.lent = False
        self.freed = ""

    def defer(self, tensor: torch.Tensor) -> None:
        """Take the values of ``tensor`` when next read (now, where a view shows this memory)."""
        if self.exposed:
            self.write(tensor)
        else:
            self._changes += 1
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

    def free(self, why: str, fix: str | None = None, restore: Callable[[], None] | None = None) -> None:
        """Give the values back; reading them calls ``restore``, or raises StateError with ``why`` and ``fix``."""
        self._host = self._device = self._converted = None
        self._head = _HOST
        self.freed = why
        self._freed_fix = fix
        self.restore = restore
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
        self.restore = None  # what is computed again has the old shape
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
        exposed, lent = self.exposed, self.lent
        self.bind(tensor)
        self.exposed, self.lent = exposed, lent


def _possible(shape: Shape) -> Shape:
    """A shape whose values memory can hold. Raises InputError."""
    try:
        limits.check_memory(4 * math.prod(shape), f"a blob of shape {list(shape)}")
    except limits.LimitError as error:
        raise InputError(str(error), fix="Make it smaller, or set CAFFE_MAX_MEMORY") from None
    return shape


class ReshapedMemory(Memory):
    """Another memory's values in another shape of the same count (parameters shared PERMISSIVE)."""

    __slots__ = ("_owner",)

    def __init__(self, owner: Memory, shape: Shape) -> None:
        super().__init__(shape)
        self._owner = owner

    @property
    def allocated(self) -> bool:
        return self._owner.allocated

    @property
    def changes(self) -> int:
        return self._owner.changes

    @property
    def watched(self) -> bool:
        return self._owner.watched

    def on(self, device: torch.device) -> torch.Tensor:
        return self._owner.on(device).reshape(self._shape)

    def mutable_on(self, device: torch.device) -> torch.Tensor:
        return self._owner.mutable_on(device).view(self._shape)

    def array(self, c_order: bool = False) -> npt.NDArray[Any]:
        return self._owner.array(c_order).reshape(self._shape)

    def bind(self, tensor: torch.Tensor) -> None:
        self._owner.bind(tensor.reshape(self._owner.shape))

    def accumulate(self, tensor: torch.Tensor) -> None:
        self._owner.accumulate(tensor.reshape(self._owner.shape))

    def clear(self) -> None:
        self._owner.clear()

    def cleared(self, like: torch.Tensor) -> torch.Tensor | None:
        return None

    def free(self, why: str, fix: str | None = None, restore: Callable[[], None] | None = None) -> None:
        self._owner.free(why, fix, restore)

    def renew(self) -> None:
        self._owner.renew()
