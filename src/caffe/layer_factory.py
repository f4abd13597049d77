"""From a layer type's name to its class.

A built-in type lives in ``caffe/layers/<folder>/<snake_case>.py`` and is imported when first used: the file's
name without underscores is the type's name in lower case. Users add types with :func:`register_layer`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from caffe.errors import LayerError, UnknownLayerError, close_names
from caffe.layer import Layer
from caffe.proto import caffe_pb2, field_use, forks
from caffe.tensor_layer import TensorLayer
from caffe.user_layer import UserLayer

_L = TypeVar("_L", bound=type[Layer])
_registered: dict[str, type[Layer]] = {}
_ANYTHING = ("Python", "Input", "Silence")
"""Types that may hold any layer's parameters: they are put in another's place, and have none of their own."""
_FOLDER = Path(__file__).parent / "layers"


@lru_cache(maxsize=1)
def _files() -> dict[str, str]:
    """Squashed type name → module name, for every layer file."""
    modules = {}
    for path in sorted(_FOLDER.glob("*/*.py")):
        if not path.stem.startswith("_"):
            modules[path.stem.replace("_", "")] = f"caffe.layers.{path.parent.name}.{path.stem}"
    return modules


def register_layer(name: str) -> Callable[[_L], _L]:
    """Class decorator: makes a Layer or TensorLayer available as ``type: "name"`` in prototxts.

    Raises LayerError when the class is no Layer or the name is a built-in type's.
    """

    def register(cls: _L) -> _L:
        if not (isinstance(cls, type) and issubclass(cls, Layer)):
            raise LayerError(f"register_layer must decorate a subclass of caffe.Layer; got {cls!r}")
        if _builtin(name) is not None:
            raise LayerError(f"The type '{name}' exists already", fix="Choose another name")
        _registered[name] = cls
        return cls

    return register


def is_of_user(type_name: str) -> bool:
    """Whether layers of a type run code of the user's."""
    return type_name == "Python" or type_name in _registered


def _builtin(type_name: str) -> type[Layer] | None:
    module_name = _files().get(type_name.lower())
    if module_name is None or "_" in type_name:
        return None
    kind = getattr(importlib.import_module(module_name), type_name, None)
    return kind if isinstance(kind, type) and issubclass(kind, Layer) else None


def layer_class(type_name: str) -> type[Layer]:
    """The class of a layer type.

    Raises UnknownLayerError, naming close types and, where known, the fork that has it.
    """
    kind = _registered.get(type_name) or _builtin(type_name)
    if kind is not None:
        return kind
    fork = forks.ABSENT_TYPES.get(type_name)
    hint = close_names(type_name, layer_type_list())
    message = f"Unknown layer type '{type_name}'"
    if fork:
        message += f" (a layer of {fork})"
    raise UnknownLayerError(
        message,
        fix=hint or "See caffe.layer_type_list(), or bring it as a Python layer or with caffe.register_layer",
    )


def create_layer(param: caffe_pb2.LayerParameter) -> Layer:
    """A layer for its parameters; not set up yet.

    Raises UnknownLayerError, and LayerError for fields of forks that the type does not compute by.
    """
    cls = layer_class(param.type)
    if param.type not in _registered and param.type not in _ANYTHING:
        field_use.check_fields(param, cls.reads, readers)
    if param.type not in _registered:
        layer = cls.create(param)
    else:
        layer = cls(param) if issubclass(cls, TensorLayer) else UserLayer(param, cls)
    if not isinstance(layer, Layer):
        raise LayerError(f"must be a caffe.Layer; got {layer!r}", layer=param.name, type=param.type)
    return layer


def readers(path: str) -> list[str]:
    """The built-in types that compute by a field, ``"message.field"``, in alphabetical order."""
    return [
        name
        for name in layer_type_list()
        if name not in _registered and field_use.computes(layer_class(name).reads, path)
    ]


def layer_type_list() -> list[str]:
    """The names of all layer types, built-in and registered, in alphabetical order."""
    names = set(_registered)
    for squashed, module_name in _files().items():
        module = importlib.import_module(module_name)
        names.update(
            name
            for name, value in vars(module).items()
            if name.lower() == squashed and isinstance(value, type) and issubclass(value, Layer)
        )
    return sorted(names)
