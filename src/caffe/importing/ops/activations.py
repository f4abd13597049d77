"""Functions of single values."""

from __future__ import annotations

import math
from typing import Any

import torch

from caffe.importing.emitter import Emitter
from caffe.importing.place import Place
from caffe.importing.rules import Inexpressible, rule


@rule("relu", "relu_")
def relu(e: Emitter, input: Place, suffix: str = "") -> Place:
    """max(x, 0)."""
    return e.each(input, "ReLU", suffix=suffix)


@rule("leaky_relu", "leaky_relu_")
def leaky_relu(e: Emitter, input: Place, negative_slope: float) -> Place:
    """x, or slope · x below 0."""
    return e.each(input, "ReLU", relu_param={"negative_slope": negative_slope})


@rule("sigmoid")
def sigmoid(e: Emitter, input: Place, suffix: str = "") -> Place:
    """1 / (1 + e^-x)."""
    return e.each(input, "Sigmoid", suffix=suffix)


@rule("tanh")
def tanh(e: Emitter, input: Place, suffix: str = "") -> Place:
    """The hyperbolic tangent."""
    return e.each(input, "TanH", suffix=suffix)


@rule("prelu", "_prelu_kernel")
def prelu(e: Emitter, input: Place, weight: torch.Tensor) -> Place:
    """x, or w · x below 0, w one a channel or one for all."""
    shared = weight.numel() == 1
    place = input if shared else e.plain(input)
    param = {"channel_shared": True} if shared else {}
    slopes = weight.reshape(() if shared else (-1,))
    return e.each(place, "PReLU", blobs=[slopes], prelu_param=param)


@rule("relu6", "relu6_")
def relu6(e: Emitter, input: Place) -> Place:
    """min(max(x, 0), 6)."""
    return bounded(e, input, 0.0, 6.0)


@rule("clamp", "hardtanh", "hardtanh_", "clamp_")
def clamp(
    e: Emitter, input: Place, min: Any = None, max: Any = None, min_val: Any = None, max_val: Any = None
) -> Place:
    """min(max(x, low), high)."""
    return bounded(e, input, min if min_val is None else min_val, max if max_val is None else max_val)


@rule("clamp_min")
def clamp_min(e: Emitter, input: Place, min: float) -> Place:
    """max(x, low)."""
    return bounded(e, input, min, None)


@rule("clamp_max")
def clamp_max(e: Emitter, input: Place, max: float) -> Place:
    """min(x, high)."""
    return bounded(e, input, None, max)


def bounded(e: Emitter, x: Place, low: float | None, high: float | None) -> Place:
    """Values kept between two bounds: Clip or ReLU6 where there is one, else ReLUs between shifts."""
    if low == 0 and high == 6 and e.dialect.has("ReLU6"):
        return e.each(x, "ReLU6")
    if low is not None and high is not None and e.dialect.has("Clip"):
        return e.each(x, "Clip", clip_param={"min": low, "max": high})
    if low is not None:
        x = e.power(x, shift=-low, suffix="above")
        x = relu(e, x, suffix="" if high is None and low == 0 else "relu")
        x = e.power(x, shift=low, suffix="" if high is None else "from")
    if high is not None:
        x = e.power(x, scale=-1, shift=high, suffix="below")
        x = relu(e, x, suffix="upper")
        x = e.power(x, scale=-1, shift=high)
    return x


@rule("hardsigmoid", "hardsigmoid_")
def hardsigmoid(e: Emitter, input: Place, suffix: str = "") -> Place:
    """min(max(x + 3, 0), 6) / 6."""
    if e.dialect.has("HardSigmoid"):
        return e.each(input, "HardSigmoid", suffix=suffix, hard_sigmoid_param={"alpha": 1 / 6, "beta": 0.5})
    return hard_line(e, input, 1 / 6, 0.5, suffix)


def hard_line(e: Emitter, x: Place, slope: float, shift: float, suffix: str = "") -> Place:
    """min(max(slope · x + shift, 0), 1)."""
    x = e.power(x, scale=slope, shift=shift, suffix="line")
    x = relu(e, x, suffix="lower")
    x = e.power(x, scale=-1, shift=1, suffix="below")
    x = relu(e, x, suffix="upper")
    return e.power(x, scale=-1, shift=1, suffix=suffix)


@rule("hardswish", "hardswish_")
def hardswish(e: Emitter, input: Place) -> Place:
    """x · min(max(x + 3, 0), 6) / 6."""
    if e.dialect.has("HardSwish"):
        return e.each(input, "HardSwish")
    return e.eltwise("PROD", input, hardsigmoid(e, input, suffix="gate"))


@rule("silu", "silu_")
def silu(e: Emitter, input: Place) -> Place:
    """x / (1 + e^-x)."""
    if e.dialect.has("Swish"):
        return e.each(input, "Swish")
    return e.eltwise("PROD", input, sigmoid(e, input, suffix="gate"))


@rule("gelu")
def gelu(e: Emitter, input: Place, approximate: str = "none") -> Place:
    """x · Φ(x); exactly, or by tanh as the module says."""
    if approximate == "tanh":
        cube = e.power(
            input,
            power=3,
            scale=math.cbrt(0.044715) if hasattr(math, "cbrt") else 0.044715 ** (1 / 3),
            suffix="cube",
        )
        inner = e.eltwise("SUM", input, cube, coeff=[math.sqrt(2 / math.pi)] * 2, suffix="inner")
        half = e.power(tanh(e, inner, suffix="tanh"), scale=0.5, shift=0.5, suffix="half")
        return e.eltwise("PROD", input, half)
    # x · Φ(x) = max(x, 0) - |x| · (1 - Φ(|x|))
    tail = _normal_tail(e, input)
    return e.eltwise("SUM", relu(e, input, suffix="relu"), tail, coeff=[1, -1])


_ERF = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
_ERF_P = 0.3275911
"""Abramowitz & Stegun 7.1.26: right to 1.5e-7, which is float32's own precision."""


def _tail(e: Emitter, absolute: Place, scale: float) -> Place:
    """1 - erf(scale · a) for a ≥ 0."""
    t = e.power(absolute, power=-1, scale=_ERF_P * scale, shift=1, suffix="t")
    total = e.power(t, scale=_ERF[4], shift=_ERF[3], suffix="polynomial")
    for factor in (_ERF[2], _ERF[1], _ERF[0]):
        total = e.eltwise("PROD", total, t, suffix="polynomial")
        total = e.power(total, shift=factor, suffix="polynomial")
    total = e.eltwise("PROD", total, t, suffix="polynomial")
    square = e.power(absolute, power=2, suffix="square")
    bell = e.each(square, "Exp", suffix="bell", exp_param={"scale": -scale * scale})
    return e.eltwise("PROD", total, bell, suffix="tail")


def _normal_tail(e: Emitter, x: Place) -> Place:
    absolute = e.each(x, "AbsVal", suffix="absolute")
    tail = e.eltwise("PROD", absolute, _tail(e, absolute, math.sqrt(0.5)), suffix="weighted")
    return e.power(tail, scale=0.5, suffix="halved")


@rule("erf")
def erf(e: Emitter, input: Place) -> Place:
    """The error function: sign(x) · (1 - tail(|x|))."""
    absolute = e.each(input, "AbsVal", suffix="absolute")
    value = e.power(_tail(e, absolute, 1.0), scale=-1, shift=1, suffix="value")
    positive = e.each(input, "Threshold", suffix="positive", threshold_param={"threshold": 0})
    return e.eltwise("PROD", value, e.power(positive, scale=2, shift=-1, suffix="sign"))


@rule("elu", "elu_")
def elu(e: Emitter, input: Place, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> Place:
    """x, or α · (e^x - 1) below 0."""
    if scale == input_scale == 1:
        return e.each(input, "ELU", elu_param={"alpha": alpha})
    x = e.power(input, scale=input_scale, suffix="scaled")
    # above 0 the slope is scale, below 0 the amplitude α · scale
    return e.power(e.each(x, "ELU", suffix="elu", elu_param={"alpha": alpha}), scale=scale)


@rule("selu", "selu_")
def selu(e: Emitter, input: Place) -> Place:
    """Klambauer et al. 2017."""
    return elu(e, input, 1.6732632423543772848170429916717, 1.0507009873554804934193349852946)


@rule("celu", "celu_")
def celu(e: Emitter, input: Place, alpha: float = 1) -> Place:
    """max(x, 0) + min(α · (e^(x/α) - 1), 0)."""
    x = e.power(input, scale=1 / alpha, suffix="scaled")
    return e.power(e.each(x, "ELU", suffix="elu", elu_param={"alpha": 1}), scale=alpha)


@rule("softplus")
def softplus(e: Emitter, input: Place, beta: float = 1, threshold: float = 20, suffix: str = "") -> Place:
    """log(1 + e^(βx)) / β."""
    x = e.power(input, scale=beta, suffix="scaled")
    return e.power(e.each(x, "BNLL", suffix=suffix or "bnll"), scale=1 / beta)


@rule("log_sigmoid")
def log_sigmoid(e: Emitter, input: Place) -> Place:
    """-log(1 + e^-x)."""
    return e.power(e.each(e.power(input, scale=-1, suffix="negative"), "BNLL", suffix="bnll"), scale=-1)


@rule("mish", "mish_")
def mish(e: Emitter, input: Place) -> Place:
    """x · tanh(log(1 + e^x))."""
    if e.dialect.has("Mish"):
        return e.each(input, "Mish")
    gate = tanh(e, e.each(input, "BNLL", suffix="softplus"), suffix="gate")
    return e.eltwise("PROD", input, gate)


@rule("softmax", "_softmax", "_safe_softmax")
def softmax(
    e: Emitter, input: Place, dim: int, dtype: Any = None, half_to_float: bool = False, suffix: str = ""
) -> Place:
    """e^x over its sum along an axis."""
    input = e.repeated(input)
    return e.each(input, "Softmax", suffix=suffix, softmax_param={"axis": input.axis(dim)})


@rule("log_softmax", "_log_softmax")
def log_softmax(e: Emitter, input: Place, dim: int, dtype: Any = None, half_to_float: bool = False) -> Place:
    """The logarithm of the softmax."""
    if e.dialect.has("LogSoftmax"):
        input = e.repeated(input)
        return e.each(input, "LogSoftmax", log_softmax_param={"axis": input.axis(dim)})
    return e.each(softmax(e, input, dim, suffix="softmax"), "Log")


@rule("glu")
def glu(e: Emitter, input: Place, dim: int = -1) -> Place:
    """The first half times the second's sigmoid."""
    axis = dim % len(input.shape)
    half = input.shape[axis] // 2
    first, gate = e.cut(input, axis, 0, half), e.cut(input, axis, half, 2 * half)
    return e.eltwise("PROD", first, sigmoid(e, gate, suffix="gate"))


@rule("threshold")
def threshold(e: Emitter, input: Place, threshold: float, value: float) -> Place:
    """x above the threshold, else the value."""
    if value != 0:
        raise Inexpressible("only for the value 0 there is a form")
    above = e.each(input, "Threshold", suffix="above", threshold_param={"threshold": threshold})
    return e.eltwise("PROD", input, above)


def _function(op: str, kind: str, **params: Any) -> None:
    @rule(op, op + "_")
    def function(e: Emitter, input: Place) -> Place:
        e.needs(kind)
        return e.each(input, kind, **params)


for _op, _kind in (
    ("abs", "AbsVal"),
    ("exp", "Exp"),
    ("log", "Log"),
    ("sin", "Sin"),
    ("atan", "Atan"),
    ("arccos", "Arccos"),
    ("floor", "Floor"),
    ("ceil", "Ceil"),
    ("round", "Round"),
):
    _function(_op, _kind)


def _power(op: str, power: float, scale: float) -> None:
    @rule(op, op + "_")
    def function(e: Emitter, input: Place) -> Place:
        return e.power(input, power=power, scale=scale)


for _op, _exponent, _scale in (
    ("sqrt", 0.5, 1.0),
    ("rsqrt", -0.5, 1.0),
    ("reciprocal", -1.0, 1.0),
    ("square", 2.0, 1.0),
    ("neg", 1.0, -1.0),
):
    _power(_op, _exponent, _scale)


@rule("softsign")
def softsign(e: Emitter, input: Place) -> Place:
    """x / (1 + |x|)."""
    below = e.power(e.each(input, "AbsVal", suffix="absolute"), power=-1, shift=1, suffix="below")
    return e.eltwise("PROD", input, below)


@rule("log1p")
def log1p(e: Emitter, input: Place) -> Place:
    """log(1 + x)."""
    return e.each(input, "Log", log_param={"shift": 1})


@rule("exp2")
def exp2(e: Emitter, input: Place) -> Place:
    """2^x."""
    return e.each(input, "Exp", exp_param={"base": 2})


@rule("expm1")
def expm1(e: Emitter, input: Place) -> Place:
    """e^x - 1."""
    return e.power(e.each(input, "Exp", suffix="exp"), shift=-1)
