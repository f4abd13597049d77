"""Caffe, on PyTorch.

The names below are what ``import caffe`` gives. They are looked up when first used, so that importing the
package, describing nets and reading messages need no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "1.1.0.dev0"

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
_HOOKS = {"load_ipython_extension": "caffe.legacy.interactive"}
"""What other programs look for here; no part of ``__all__``."""
_MODULE_OF = _HOOKS | {name: module for module, names in _NAMES.items() for name in names}
_MODULES = frozenset({"coord_map", "draw", "errors", "io", "layers", "net_spec", "proto"})
# Modules that scripts reach through the package without importing them, but that are no part of ``__all__``.
_OTHER_MODULES = frozenset(
    {"_caffe", "classifier", "detector", "display", "export", "legacy", "pycaffe", "timer"}
)

__all__ = sorted({"TRAIN", "TEST", "__version__", *_MODULE_OF, *_MODULES} - {*_HOOKS})

if TYPE_CHECKING:  # the same for type checkers; a test compares the two
    from caffe import _caffe as _caffe
    from caffe import classifier as classifier
    from caffe import coord_map as coord_map
    from caffe import detector as detector
    from caffe import display as display
    from caffe import draw as draw
    from caffe import errors as errors
    from caffe import export as export
    from caffe import io as io
    from caffe import layers as layers
    from caffe import legacy as legacy
    from caffe import net_spec as net_spec
    from caffe import proto as proto
    from caffe import pycaffe as pycaffe
    from caffe import timer as timer
    from caffe.blob import Blob as Blob
    from caffe.blob import BlobVec as BlobVec
    from caffe.classifier import Classifier as Classifier
    from caffe.detector import Detector as Detector
    from caffe.importing.from_onnx import from_onnx as from_onnx
    from caffe.importing.from_torch import from_torch as from_torch
    from caffe.layer import Layer as Layer
    from caffe.layer_factory import layer_type_list as layer_type_list
    from caffe.layer_factory import register_layer as register_layer
    from caffe.logs import init_log as init_log
    from caffe.logs import log as log
    from caffe.net.net import Net as Net
    from caffe.net_spec import NetSpec as NetSpec
    from caffe.net_spec import params as params
    from caffe.net_spec import to_proto as to_proto
    from caffe.parallel import NCCL as NCCL
    from caffe.parallel import has_nccl as has_nccl
    from caffe.runtime import root_solver as root_solver
    from caffe.runtime import set_amp as set_amp
    from caffe.runtime import set_compile as set_compile
    from caffe.runtime import set_device as set_device
    from caffe.runtime import set_mode_cpu as set_mode_cpu
    from caffe.runtime import set_mode_gpu as set_mode_gpu
    from caffe.runtime import set_multiprocess as set_multiprocess
    from caffe.runtime import set_random_seed as set_random_seed
    from caffe.runtime import set_solver_count as set_solver_count
    from caffe.runtime import set_solver_rank as set_solver_rank
    from caffe.runtime import solver_count as solver_count
    from caffe.runtime import solver_rank as solver_rank
    from caffe.solvers import AdaDeltaSolver as AdaDeltaSolver
    from caffe.solvers import AdaGradSolver as AdaGradSolver
    from caffe.solvers import AdamSolver as AdamSolver
    from caffe.solvers import NesterovSolver as NesterovSolver
    from caffe.solvers import RMSPropSolver as RMSPropSolver
    from caffe.solvers import SGDSolver as SGDSolver
    from caffe.solvers import get_solver as get_solver
    from caffe.tensor_layer import BlobSpec as BlobSpec
    from caffe.tensor_layer import TensorLayer as TensorLayer
    from caffe.timer import Timer as Timer
else:  # a type checker would take any name for one of the package

    def __getattr__(name: str) -> Any:
        if name in _MODULE_OF:
            value = getattr(importlib.import_module(_MODULE_OF[name]), name)
        elif name in _MODULES or name in _OTHER_MODULES:
            value = importlib.import_module(f"caffe.{name}")
            if name == "proto":
                importlib.import_module("caffe.proto.caffe_pb2")
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
