"""Functions of single values."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from caffe.export.forms.form import Form, Made, form_of, function, module, number
from caffe.export.graph import Node


def _torch(made: type[nn.Module], text: str, *args: Any) -> Form:
    """One of torch's modules, which source code writes as a function."""
    return Form(Made(made, args), text=text)


@form_of("ReLU")
def relu(node: Node) -> Form | None:
    p = node.layer.param.relu_param
    if len(node.bottoms) > 1 or p.maximum > 0 or p.minimum or (p.relu6 and p.negative_slope):
        return None
    if p.relu6:
        return _torch(nn.ReLU6, "F.relu6({0})")
    if p.negative_slope:
        return _torch(nn.LeakyReLU, f"F.leaky_relu({{0}}, {number(p.negative_slope)})", p.negative_slope)
    return _torch(nn.ReLU, "F.relu({0})")


@form_of("ReLU6")
def relu6(node: Node) -> Form | None:
    return None if node.layer.param.relu6_param.negative_slope else _torch(nn.ReLU6, "F.relu6({0})")


@form_of("PReLU")
def prelu(node: Node) -> Form | None:
    return module(nn.PReLU, math.prod(node.params[0].tensor.shape))


@form_of("ELU")
def elu(node: Node) -> Form | None:
    alpha = node.layer.param.elu_param.alpha
    return _torch(nn.ELU, "F.elu({0})" if alpha == 1 else f"F.elu({{0}}, {number(alpha)})", alpha)


@form_of("Sigmoid")
def sigmoid(node: Node) -> Form | None:
    return _torch(nn.Sigmoid, "torch.sigmoid({0})")


@form_of("TanH")
def tanh(node: Node) -> Form | None:
    return _torch(nn.Tanh, "torch.tanh({0})")


@form_of("BNLL")
def bnll(node: Node) -> Form | None:
    return _torch(nn.Softplus, "F.softplus({0}, threshold=50)", 1, 50)


@form_of("AbsVal")
def absolute(node: Node) -> Form | None:
    return function(torch.abs, "{0}.abs()")


@form_of("Softsign")
def softsign(node: Node) -> Form | None:
    return _torch(nn.Softsign, "F.softsign({0})")


@form_of("ScaledTanH")
def scaled_tanh(node: Node) -> Form | None:
    p = node.layer.param.scaled_tanh_param
    a, b = p.alpha, p.beta
    return function(lambda x: a * torch.tanh(b * x), f"{number(a)} * torch.tanh({number(b)} * {{0}})")


@form_of("HardSwish")
def hard_swish(node: Node) -> Form | None:
    return function(lambda x: x * (x / 6 + 0.5).clamp(0, 1), "F.hardswish({0})")


@form_of("Dropout")
def dropout(node: Node) -> Form | None:
    p = node.layer.param.dropout_param
    if not p.scale_train or p.sample_weights_test:
        return None
    return module(nn.Dropout, p.dropout_ratio)


@form_of("Softmax")
def softmax(node: Node) -> Form | None:
    axis = node.layer.param.softmax_param.axis
    return _torch(nn.Softmax, f"F.softmax({{0}}, {axis})", axis)


@form_of("LogSoftmax")
def log_softmax(node: Node) -> Form | None:
    return None


@form_of("Power")
def power(node: Node) -> Form | None:
    p = node.layer.param.power_param
    if p.power * p.scale == 0:
        return None
    scale, shift, exponent = p.scale, p.shift, p.power

    def run(x: torch.Tensor) -> torch.Tensor:
        x = x * scale if scale != 1 else x
        x = x + shift if shift != 0 else x
        return x if exponent == 1 else x.pow(exponent)

    text = "{0}"
    if scale == -1 and shift:
        text = f"{number(shift)} - {{0}}"
    else:
        text = f"{{0}} * {number(scale)}" if scale != 1 else text
        if shift:
            text += f" {'-' if shift < 0 else '+'} {number(abs(shift))}"
    if exponent != 1:
        text = f"({text}).pow({number(exponent)})" if text != "{0}" else f"{{0}}.pow({number(exponent)})"
    return function(run, text)


@form_of("Exp")
def exp(node: Node) -> Form | None:
    p = node.layer.param.exp_param
    if p.base != -1 or p.shift:
        return None
    scale = p.scale
    if scale == 1:
        return function(torch.exp, "{0}.exp()")
    return function(lambda x: torch.exp(x * scale), f"torch.exp({{0}} * {number(scale)})")


@form_of("Threshold")
def threshold(node: Node) -> Form | None:
    limit = node.layer.param.threshold_param.threshold
    return function(lambda x: (x > limit).to(x.dtype), f"({{0}} > {number(limit)}).to({{0}}.dtype)")


@form_of("Clip")
def clip(node: Node) -> Form | None:
    p = node.layer.param.clip_param
    low, high = p.min, p.max
    return function(lambda x: x.clamp(low, high), f"{{0}}.clamp({number(low)}, {number(high)})")


def _plain(types: str, call: Any, text: str) -> None:
    form_of(*types.split())(lambda node: function(call, text))


_plain("Mish", F.mish, "F.mish({0})")
_plain("Sin", torch.sin, "torch.sin({0})")
_plain("Atan", torch.atan, "torch.atan({0})")
_plain("Floor", torch.floor, "torch.floor({0})")
_plain("Ceil", torch.ceil, "torch.ceil({0})")
