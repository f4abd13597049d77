"""LayerModule: a layer that has no form in plain torch, as a module that runs the layer's own mathematics."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from caffe.blob import Shape
from caffe.export.graph import Node
from caffe.proto import caffe_pb2
from caffe.tensor_layer import Stateful, TensorLayer, as_tuple
from caffe.torch_private import tracing


class LayerModule(nn.Module):
    """Runs a layer's ``compute``, that of the TRAIN phase after ``train()``, that of TEST after ``eval()``.

    Parameters and statistics are set as attributes by the names given, in the blobs' order. What the layer carries to
    its next forward stays here, until :meth:`reset`, unless ``exact``: then every forward begins anew.
    """

    def __init__(self, node: Node, exact: bool = False) -> None:
        super().__init__()
        self.layer_type = node.type
        if not isinstance(node.layer, TensorLayer):
            raise node.layer.error("is no function of tensors")
        shapes = [tuple(param.tensor.shape) for param in node.params]
        self._phases = {p: node.layer.apart(p, shapes) for p in (caffe_pb2.TRAIN, caffe_pb2.TEST)}
        self._checked: dict[int, tuple[Shape, ...]] = {}
        for phase, layer in self._phases.items():
            layer.check(*node.bottom_shapes)
            self._checked[phase] = tuple(node.bottom_shapes)
        self._names = [p.name for p in node.params]
        self._statistics = [p.name for p in node.params if p.statistic]
        self._shapes = shapes
        self._exact = exact
        self._carried: tuple[torch.Tensor, ...] = ()

    def reset(self) -> None:
        """Forget what is carried: the next forward starts from zeros."""
        self._carried = ()

    def forward(self, *bottoms: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        """The tops for some bottoms."""
        phase = caffe_pb2.TRAIN if self.training else caffe_pb2.TEST
        layer = self._phases[phase]
        traced = tracing() or torch.compiler.is_compiling()
        if not traced:
            shapes = tuple(tuple(x.shape) for x in bottoms)
            if shapes != self._checked.get(phase):
                layer.check(*shapes)
                self._checked[phase] = shapes
        params = [getattr(self, n) for n in self._names]
        params = [p if p.shape == s else p.view(s) for p, s in zip(params, self._shapes)]
        computed = layer.compute(*bottoms, *params, *self._carried)
        if isinstance(computed, Stateful) and not (traced or self._exact):
            self._keep(computed.state)
        tops = as_tuple(computed)
        return tops[0] if len(tops) == 1 else tops

    def _keep(self, state: Sequence[torch.Tensor]) -> None:
        with torch.no_grad():
            for name, value in zip(self._statistics, state):
                own = getattr(self, name)
                own.copy_(value.view(own.shape))
        self._carried = tuple(value.detach() for value in state[len(self._statistics) :])

    def extra_repr(self) -> str:
        return self.layer_type
