"""Ways out: a net as a torch module, ONNX, torch.export, safetensors, source code; each checked number for number."""

from __future__ import annotations

from caffe.export.api import to_onnx, to_pt2, to_safetensors, to_source
from caffe.export.check import Difference, ExportError
from caffe.export.definition import load
from caffe.export.preprocess import Preprocess
from caffe.export.torch_net import TorchNet, to_torch

__all__ = [
    "Difference",
    "ExportError",
    "Preprocess",
    "TorchNet",
    "load",
    "to_onnx",
    "to_pt2",
    "to_safetensors",
    "to_source",
    "to_torch",
]
