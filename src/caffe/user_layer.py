"""Layers that users write in the manner of pycaffe, kept apart from the net's own bookkeeping.

The net holds a :class:`UserLayer`; the user's object, a subclass of ``caffe.Layer``, is its ``user`` and may
set whatever attributes it likes. Arrays that the user's code sees are in C order, as in the original.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from caffe.blob import Blob
from caffe.errors import CaffeError, LayerError
from caffe.layer import Layer
from caffe.memory import Memory
from caffe.proto import caffe_pb2

_CLASS_ATTRIBUTES = (
    "num_bottoms",
    "num_tops",
    "equal_counts",
    "is_loss",
    "auto_tops",
    "no_gradient",
    "in_place",
    "source",
    "origin",
)


class Phase(int):
    """A phase as scripts see it: a number that equals caffe.TRAIN or caffe.TEST, ``'TRAIN'`` or ``'TEST'`` as text."""

    def __str__(self) -> str:
        return str(caffe_pb2.Phase.Name(self))

    def __format__(self, spec: str) -> str:
        return format(int(self) if spec.endswith(("d", "x", "n")) else str(self), spec)


class UserLayer(Layer):
    """Calls the four methods of an object of the user's class ``cls``.

    ``reshape`` is called before every forward. An exception of the user's code passes through as it is, with
    a note naming the layer. Raises LayerError where the class cannot be a layer.
    """

    def __init__(self, param: caffe_pb2.LayerParameter, cls: type[Layer]) -> None:
        super().__init__(param)
        if not (isinstance(cls, type) and issubclass(cls, Layer)):
            raise self.error(
                f"{cls!r} must be a subclass of caffe.Layer", fix="Write class My(caffe.Layer): …"
            )
        self.what = f"{cls.__module__}.{cls.__qualname__}"
        for name in _CLASS_ATTRIBUTES:
            setattr(self, name, getattr(cls, name))
        self.user: Layer = cls.__new__(cls)
        Layer.__init__(self.user, param)
        self.user.phase = Phase(param.phase)
        if cls.__init__ is not Layer.__init__:
            self._call(self.user.__init__, "__init__", *self._init_arguments(cls))  # type: ignore[misc]
        self.blobs = self.user.blobs
        text = param.python_param.param_str
        self.user.__dict__.update(param_str=text, param_str_=text)

    def _init_arguments(self, cls: type[Layer]) -> tuple[Any, ...]:
        """The LayerParameter, or nothing for an ``__init__`` without arguments."""
        try:
            inspect.signature(cls.__init__).bind(self.user, self.param)
        except TypeError:
            return ()
        return (self.param,)

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        self.user.bottom_count, self.user.top_count = len(bottom), len(top)
        self._call(self.user.setup, "setup", list(bottom), list(top))
        if type(self.user).forward is Layer.forward:  # only now, as setup may have more to say
            raise self.error(
                f"the class {self.what} must define forward(self, bottom, top)",
                fix="Define setup, reshape, forward and backward",
            )

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        self._call(self.user.reshape, "reshape", list(bottom), list(top))

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        for blob in bottom:
            _in_c_order(blob.data_memory, blob)
        self.reshape(bottom, top)
        self._call(self.user.forward, "forward", list(bottom), list(top))

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        if type(self.user).backward is Layer.backward:
            raise self.error(
                f"the class {self.what} must define backward(self, top, propagate_down, bottom),"
                " since a loss depends on it",
                fix="Define it, or set propagate_down: false in the prototxt",
            )
        for blob in (*top, *bottom):
            _in_c_order(blob.diff_memory, blob)
        self._call(self.user.backward, "backward", list(top), list(propagate_down), list(bottom))

    def close(self) -> None:
        self.user.close()

    def _call(self, method: Any, name: str, *arguments: Any) -> None:
        try:
            method(*arguments)
        except CaffeError as error:
            raise error.located(layer=self.name, type=self.type) from error.__cause__
        except Exception as error:
            note(error, f"In {name} of layer '{self.name}' ({self.what})")
            raise

    def __getattr__(self, name: str) -> Any:
        if name == "user":  # not made yet
            raise AttributeError(name)
        return getattr(self.user, name)


def shown(layer: Layer) -> Layer:
    """What scripts see as the layer: the user's object, else the layer itself."""
    return layer.user if isinstance(layer, UserLayer) else layer


def note(error: Exception, text: str) -> None:
    """Add a line to what an exception prints; before Python 3.11 as its cause."""
    if hasattr(error, "add_note"):
        error.add_note(text)
    elif error.__cause__ is None:
        error.__cause__ = LayerError(text)


def _in_c_order(memory: Memory, blob: Blob) -> None:
    if memory.allocated:
        tensor = blob.tensor if memory is blob.data_memory else blob.diff_tensor
        if not tensor.is_contiguous():
            memory.bind(tensor.contiguous())
