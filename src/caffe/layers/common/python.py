"""Python: layers written by users, in modules of their own."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from caffe import limits, logs
from caffe.errors import LayerError, close_names
from caffe.layer import Layer
from caffe.proto import caffe_pb2
from caffe.tensor_layer import TensorLayer
from caffe.user_layer import UserLayer, note

_STAND_INS = {
    "rpn.proposal_layer": "caffe.layers.detection.rpn_proposal",
    "rpn.anchor_target_layer": "caffe.layers.detection.rpn_anchor_target",
    "rpn.proposal_target_layer": "caffe.layers.detection.rpn_proposal_target",
    **dict.fromkeys(("eltwise", "pad", "shape", "yolov2"), "caffe.layers.utility._synopsys_python"),
}
"""Modules that many nets name (py-faster-rcnn's, Synopsys'), for where they are not on the path."""


_LONGEST_NAME = 250


class Python(UserLayer):
    """A layer of the user's: the class ``layer`` of the module ``module``, derived from ``caffe.Layer``.

    ``setup(bottom, top)`` is called once, ``reshape(bottom, top)`` before each forward, then
    ``forward(bottom, top)`` and ``backward(top, propagate_down, bottom)``. The object has ``param_str``,
    ``phase`` and ``blobs``, to which ``self.blobs.add_blob(2, 3)`` adds learned parameters. The module is
    looked up in Python's path, the current folder and ``PYTHONPATH``. Layers that many published nets name
    (py-faster-rcnn's ``rpn.*``; Synopsys' ``pad``, ``eltwise``, ``shape`` and ``yolov2``) are built in for
    where their modules are not there. To count as a loss the layer needs ``loss_weight: 1``. The class may
    also be a ``caffe.TensorLayer``, with ``compute`` in place of the four methods.

    bottom, top: whatever the class takes.
    Differs from Caffe: exceptions reach the script; ``share_in_parallel`` does nothing, as workers are
    processes.
    Source: BVLC ``Python``.
    """

    reads = {"python_param": "*"}

    @classmethod
    def create(cls, param: caffe_pb2.LayerParameter) -> Layer:
        """The layer for its parameters. Raises LayerError where module or class do not exist."""
        p = param.python_param
        for field in ("module", "layer"):
            if not getattr(p, field):
                raise LayerError(
                    "must be given",
                    layer=param.name,
                    type=param.type,
                    field=field,
                    fix='Write python_param { module: "my_module" layer: "MyLayer" }',
                )
        if limits.refuses_python_layers():
            ours = stand_in(param)
            if ours is not None:
                return ours
            raise LayerError(
                f"would run the code of the module '{p.module[:200]}', and Python layers are refused",
                layer=param.name,
                type=param.type,
                field="module",
                fix="If you trust it, leave out --no-python-layers and CAFFE_NO_PYTHON_LAYERS",
            )
        module = _module(param)
        _say_what_runs(module)
        kind: Any = getattr(module, p.layer, None)
        if kind is None:
            known = [n for n, v in vars(module).items() if isinstance(v, type) and issubclass(v, Layer)]
            place = getattr(module, "__file__", None) or "no file"
            raise LayerError(
                f"the module '{p.module}' ({place}) has no class '{p.layer}'",
                layer=param.name,
                type=param.type,
                field="layer",
                fix=close_names(p.layer, known) or f"Its layers: {', '.join(known) or 'none'}",
            )
        return _made(cls, param, kind)


_said: set[str] = set()


def _say_what_runs(module: ModuleType) -> None:
    """Log, once, which file's code a net has named."""
    place = getattr(module, "__file__", None) or "no file"
    if place not in _said and not module.__name__.startswith("caffe."):
        _said.add(place)
        logs.info(f"Python layers of the module '{module.__name__}' run the code of {place}")


def stand_in(param: caffe_pb2.LayerParameter) -> Layer | None:
    """The built-in layer for one that many nets name, without looking for the user's module; None if there is none."""
    module = _STAND_INS.get(param.python_param.module)
    kind: Any = getattr(importlib.import_module(module), param.python_param.layer, None) if module else None
    return None if kind is None else _made(Python, param, kind)


def _made(cls: type[Python], param: caffe_pb2.LayerParameter, found: Any) -> Layer:
    if isinstance(found, type) and issubclass(found, TensorLayer):
        layer = found(param)
        layer.__dict__["param_str"] = param.python_param.param_str
        return layer
    return cls(param, found)


def _module(param: caffe_pb2.LayerParameter) -> ModuleType:
    name = param.python_param.module
    if len(name) > _LONGEST_NAME or not all(part.isidentifier() for part in name.split(".")):
        raise LayerError(
            f"must be a module's dotted name, as in 'my_layers.loss'; got {name[:200]!r}",
            layer=param.name,
            type=param.type,
            field="module",
        )
    for folder in (os.getcwd(), *os.environ.get("PYTHONPATH", "").split(os.pathsep)):
        if folder and folder not in sys.path and not (folder == os.getcwd() and "" in sys.path):
            sys.path.append(folder)
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(error.name + ".")):
            note(error, f"In importing the module '{name}' of layer '{param.name}'")
            raise
        if name in _STAND_INS:
            stand_in = importlib.import_module(_STAND_INS[name])
            if param.python_param.layer in getattr(stand_in, "__all__", [param.python_param.layer]):
                return stand_in
        raise LayerError(
            f"there is no module '{name}' in Python's path, the current folder {os.getcwd()} or PYTHONPATH",
            layer=param.name,
            type=param.type,
            field="module",
            fix=_where(name),
        ) from None
    except Exception as error:
        note(error, f"In importing the module '{name}' of layer '{param.name}'")
        raise


def _where(name: str) -> str:
    """Where the module's file may lie."""
    file = name.replace(".", "/") + ".py"
    for pattern in ("*/", "*/*/", "../", "../*/"):
        for path in sorted(Path.cwd().glob(pattern + file)):
            return f"Add the folder of {path} to PYTHONPATH"
    return f"Add the folder of {file} to PYTHONPATH"
