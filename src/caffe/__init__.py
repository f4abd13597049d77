"""Caffe, on PyTorch.

The names below are what ``import caffe`` gives. They are looked up when first used, so that importing the
package, describing nets and reading messages need no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from caffe import coord_map, draw, errors, io, layers, net_spec, proto
    from caffe.blob import Blob, BlobVec
    from caffe.classifier import Classifier
    from caffe.detector import Detector
    from caffe.importing.from_onnx import from_onnx
    from caffe.importing.from_torch import from_torch
    from caffe.layer import Layer
    from caffe.layer_factory import layer_type_list, register_layer
    from caffe.logs import init_log, log
    from caffe.net.net import Net
    from caffe.net_spec import NetSpec, params, to_proto
    from caffe.parallel import NCCL, has_nccl
    from caffe.runtime import (
        root_solver,
        set_amp,
        set_compile,
        set_device,
        set_mode_cpu,
        set_mode_gpu,
        set_multiprocess,
        set_random_seed,
        set_solver_count,
        set_solver_rank,
        solver_count,
        solver_rank,
    )
    from caffe.solvers import (
        AdaDeltaSolver,
        AdaGradSolver,
        AdamSolver,
        NesterovSolver,
        RMSPropSolver,
        SGDSolver,
        get_solver,
    )
    from caffe.tensor_layer import BlobSpec, TensorLayer
    from caffe.timer import Timer

TRAIN = 0
"""The phase of nets that learn."""
TEST = 1
"""The phase of nets that are used."""

_NAMES = {
    "caffe.blob": ("Blob", "BlobVec"),
    "caffe.classifier": ("Classifier",),
    "caffe.detector": ("Detector",),
    "caffe.importing.from_onnx": ("from_onnx",),
    "caffe.importing.from_torch": ("from_torch",),
    "caffe.layer": ("Layer",),
    "caffe.legacy.interactive": ("load_ipython_extension",),
    "caffe.layer_factory": ("layer_type_list", "register_layer"),
    "caffe.logs": ("init_log", "log"),
    "caffe.net.net": ("Net",),
    "caffe.net_spec": ("NetSpec", "params", "to_proto"),
    "caffe.parallel": ("NCCL", "has_nccl"),
    "caffe.runtime": (
        "root_solver",
        "set_amp",
        "set_compile",
        "set_device",
        "set_mode_cpu",
        "set_mode_gpu",
        "set_multiprocess",
        "set_random_seed",
        "set_solver_count",
        "set_solver_rank",
        "solver_count",
        "solver_rank",
    ),
    "caffe.solvers": (
        "AdaDeltaSolver",
        "AdaGradSolver",
        "AdamSolver",
        "NesterovSolver",
        "RMSPropSolver",
        "SGDSolver",
        "get_solver",
    ),
    "caffe.tensor_layer": ("BlobSpec", "TensorLayer"),
    "caffe.timer": ("Timer",),
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names}
_MODULES = frozenset({"coord_map", "draw", "errors", "io", "layers", "net_spec", "proto"})
# Modules that scripts reach through the package without importing them, but that are no part of ``__all__``.
_OTHER_MODULES = frozenset(
    {"_caffe", "classifier", "detector", "display", "export", "legacy", "pycaffe", "timer"}
)

__all__ = [
    "NCCL",
    "TEST",
    "TRAIN",
    "AdaDeltaSolver",
    "AdaGradSolver",
    "AdamSolver",
    "Blob",
    "BlobSpec",
    "BlobVec",
    "Classifier",
    "Detector",
    "Layer",
    "NesterovSolver",
    "Net",
    "NetSpec",
    "RMSPropSolver",
    "SGDSolver",
    "TensorLayer",
    "Timer",
    "__version__",
    "coord_map",
    "draw",
    "errors",
    "from_onnx",
    "from_torch",
    "get_solver",
    "has_nccl",
    "init_log",
    "io",
    "layer_type_list",
    "layers",
    "log",
    "net_spec",
    "params",
    "proto",
    "register_layer",
    "root_solver",
    "set_amp",
    "set_compile",
    "set_device",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_multiprocess",
    "set_random_seed",
    "set_solver_count",
    "set_solver_rank",
    "solver_count",
    "solver_rank",
    "to_proto",
]


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        value = getattr(importlib.import_module(_MODULE_OF[name]), name)
    elif name in _MODULES or name in _OTHER_MODULES:
        value = importlib.import_module(f"caffe.{name}")
        if name == "proto":
            importlib.import_module("caffe.proto.caffe_pb2")
    elif name == "__version__":
        from importlib.metadata import version

        value = version("caffe-torch")
    else:
        raise AttributeError(f"module 'caffe' has no attribute {name!r}{_close(name)}")
    globals()[name] = value
    return value


def _close(name: str) -> str:
    from caffe.errors import close_names

    hint = "" if name.startswith("_") else close_names(name, __all__)
    return f". {hint}" if hint else ""


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
