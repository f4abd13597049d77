"""LayerModule: a layer that has no form in plain torch, as a module that runs the layer's own mathematics."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from caffe.blob import BlobVec, Shape
from caffe.export.graph import Node
from caffe.proto import caffe_pb2
from caffe.tensor_layer import Stateful, TensorLayer, as_tuple


class LayerModule(nn.Module):
    """Runs a layer's ``compute``, that of the TRAIN phase after ``train()``, that of TEST after ``eval()``.

    Parameters and statistics are set as attributes by the names given, in the blobs' order. What the layer carries to
    its next forward stays here, until :meth:`reset`, unless ``exact``: then every forward begins anew.
    """

    def __init__(self, node: Node, exact: bool = False) -> None:
        super().__init__()
        self.layer_type = node.type
        self._phases = {phase: _apart(node, phase) for phase in (caffe_pb2.TRAIN, caffe_pb2.TEST)}
        self._names = [p.name for p in node.params]
        self._statistics = [p.name for p in node.params if p.statistic]
        self._shapes = [tuple(p.tensor.shape) for p in node.params]
        self._exact = exact
        self._carried: tuple[torch.Tensor, ...] = ()

    def reset(self) -> None:
        """Forget what is carried: the next forward starts from zeros."""
        self._carried = ()

    def forward(self, *bottoms: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        """The tops for some bottoms."""
        layer = self._phases[caffe_pb2.TRAIN if self.training else caffe_pb2.TEST]
        traced = torch._C._get_tracing_state() is not None or torch.compiler.is_compiling()
        if not traced:
            shapes = tuple(tuple(x.shape) for x in bottoms)
            if shapes != layer.__dict__.get("_checked"):
                layer.check(*shapes)
                layer.__dict__["_checked"] = shapes
        params = [getattr(self, n) for n in self._names]
        params = [p if p.shape == s else p.view(s) for p, s in zip(params, self._shapes)]
        found = layer.compute(*bottoms, *params, *self._carried)
        if isinstance(found, Stateful) and not (traced or self._exact):
            self._keep(found.state)
        tops = as_tuple(found)
        return tops[0] if len(tops) == 1 else tops

    def _keep(self, state: Sequence[torch.Tensor]) -> None:
        with torch.no_grad():
            for name, value in zip(self._statistics, state):
                own = getattr(self, name)
                own.copy_(value.view(own.shape))
        self._carried = tuple(value.detach() for value in state[len(self._statistics) :])

    def extra_repr(self) -> str:
        return self.layer_type


def _apart(node: Node, phase: int) -> TensorLayer:
    """The layer for a phase, with blobs of its own that only have shapes."""
    layer: Any = copy.copy(node.layer)
    layer.param = caffe_pb2.LayerParameter()
    layer.param.CopyFrom(node.layer.param)
    layer.param.phase = phase
    layer.phase = phase
    layer.blobs = BlobVec()
    for param in node.params:
        layer.blobs.add_blob(*param.tensor.shape)
    layer._last = None
    layer.reset() if hasattr(layer, "reset") else None
    layer._shapes = None
    shapes: list[Shape] = node.bottom_shapes
    layer.check(*shapes)
    layer._shapes = tuple(shapes)
    layer.__dict__["_checked"] = tuple(shapes)
    found: TensorLayer = layer
    return found
