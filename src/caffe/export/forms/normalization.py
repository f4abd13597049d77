"""Normalization, and the scales and shifts that go with it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from caffe.export.forms.form import Form, Tensors, form_of, function, module
from caffe.export.graph import Node
from caffe.export.onnx_operators import local_response_norm
from caffe.export.parts import normalization as parts
from caffe.proto import caffe_pb2


@form_of("BatchNorm")
def batch_norm(node: Node) -> Form | None:
    layer: Any = node.layer
    p = layer.param.batch_norm_param
    if not layer.plain or len(node.bottom_shapes[0]) < 2:
        return None
    kwargs: dict[str, Any] = {"eps": p.eps}
    if p.moving_average_fraction != parts.FRACTION:
        kwargs["fraction"] = p.moving_average_fraction
    if p.HasField("use_global_stats"):
        kwargs["always_global"] = bool(p.use_global_stats)
    form = module(parts.BatchNorm, node.bottom_shapes[0][1], **kwargs)
    form.to_state, form.from_state = _from_sums, _to_sums
    return form


def _from_sums(blobs: Tensors) -> Tensors:
    weight = blobs["scale_factor"]
    factor = torch.where(weight == 0, torch.zeros_like(weight), 1 / weight)
    return {
        "running_mean": blobs["running_mean"] * factor,
        "running_var": blobs["running_var"] * factor,
        "scale_factor": weight,
    }


def _to_sums(state: Tensors) -> Tensors:
    weight = state["scale_factor"]
    if not weight.any() and (state["running_mean"].any() or state["running_var"].any()):
        weight = torch.ones_like(weight)  # no batch was averaged yet, but somebody set statistics
    return {
        "running_mean": state["running_mean"] * weight,
        "running_var": state["running_var"] * weight,
        "scale_factor": weight,
    }


@form_of("BN")
def bn(node: Node) -> Form | None:
    layer: Any = node.layer
    p, layout = layer.param.bn_param, layer.layout
    if p.bn_mode == p.INFERENCE and len(node.tops) == 1:
        return module(parts.Scale, node.bottom_shapes[0][1], bias=True)
    if layer.phase == caffe_pb2.TRAIN or not layout.statistics or p.inverse_std or len(node.tops) > 1:
        return None
    if len(node.bottom_shapes[0]) != 4:
        return None
    form = module(nn.BatchNorm2d, node.bottom_shapes[0][1], eps=layout.eps, momentum=1 - layout.momentum)
    form.trains = not layout.frozen
    return form


@form_of("Scale")
def scale(node: Node) -> Form | None:
    layer: Any = node.layer
    p = layer.param.scale_param
    if len(node.bottoms) == 2:
        if p.bias_term:
            return None
        trailing = layer.trailing
        if not trailing:
            return function(lambda x, s: x * s, "{0} * {1}")
        index = (..., *(None,) * trailing)
        text = "{0} * {1}[..., " + ", ".join(["None"] * trailing) + "]"
        if len(node.bottom_shapes[1]) + trailing > len(node.bottom_shapes[0]):
            return None
        return function(lambda x, s: x * s[index], text)
    shape = node.params[0].tensor.shape
    if len(shape) != 1 or layer.trailing != len(node.bottom_shapes[0]) - 2:
        return None
    return module(parts.Scale, shape[0], bias=len(node.params) > 1)


@form_of("Bias")
def bias(node: Node) -> Form | None:
    layer: Any = node.layer
    if len(node.bottoms) == 2:
        return None
    shape = node.params[0].tensor.shape
    if len(shape) != 1 or layer.trailing != len(node.bottom_shapes[0]) - 2:
        return None
    return module(parts.Bias, shape[0])


@form_of("LRN")
def lrn(node: Node) -> Form | None:
    p = node.layer.param.lrn_param
    if p.norm_region == caffe_pb2.LRNParameter.WITHIN_CHANNEL:
        if len(node.bottom_shapes[0]) != 4:
            return None
        return module(parts.LocalNorm, p.local_size, p.alpha, p.beta)
    size, alpha, beta, k = p.local_size, p.alpha, p.beta, p.k
    form = module(nn.LocalResponseNorm, size, alpha=alpha, beta=beta, **({"k": k} if k != 1 else {}))
    if len(node.bottom_shapes[0]) < 3:  # torch wants more axes
        form.before = (lambda x: x[..., None], "{x}[..., None]")
        form.after = (lambda y: y[..., 0], "{x}[..., 0]")
    if len(node.bottom_shapes[0]) == 4:
        form.onnx = lambda x: local_response_norm(x, size, alpha, beta, k)
    return form


@form_of("MVN")
def mvn(node: Node) -> Form | None:
    p = node.layer.param.mvn_param
    if len(node.bottom_shapes[0]) <= (1 if p.across_channels else 2):
        return None
    return _forward_only(
        parts.MeanVarianceNorm,
        1 if p.across_channels else 2,
        bool(p.normalize_variance),
        p.eps,
        bool(p.add_eps_before_sqrt),
    )


@form_of("Normalize")
def normalize(node: Node) -> Form | None:
    layer: Any = node.layer
    if not layer.learned:
        return None
    p = layer.param.norm_param
    if p.across_spatial and not p.add_eps_before_sqrt:
        return None
    axes = tuple(range(1, len(node.bottom_shapes[0]))) if p.across_spatial else 1
    count = 1 if p.channel_shared else node.bottom_shapes[0][1]
    return _forward_only(parts.Normalize, count, eps=p.eps, axes=axes)


def _forward_only(kind: type[nn.Module], *args: Any, **kwargs: Any) -> Form:
    """The original's gradient is not that of the formula."""
    form = module(kind, *args, **kwargs)
    form.trains = False
    return form
