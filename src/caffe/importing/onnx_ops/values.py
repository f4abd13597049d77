"""Functions of values, arithmetic, reductions, products."""

from __future__ import annotations

import math
from typing import Any

import torch

from caffe.importing.graph import Value
from caffe.importing.onnx_ops import A, Call, onnx_op, shape_of

for _name, _target in {
    "Relu": A.relu.default,
    "Sigmoid": A.sigmoid.default,
    "Tanh": A.tanh.default,
    "Exp": A.exp.default,
    "Log": A.log.default,
    "Sqrt": A.sqrt.default,
    "Abs": A.abs.default,
    "Neg": A.neg.default,
    "Reciprocal": A.reciprocal.default,
    "Floor": A.floor.default,
    "Ceil": A.ceil.default,
    "Round": A.round.default,
    "Sin": A.sin.default,
    "Cos": A.cos.default,
    "Atan": A.atan.default,
    "Erf": A.erf.default,
    "Softplus": A.softplus.default,
    "HardSwish": A.hardswish.default,
    "Mish": A.mish.default,
    "Sign": A.sign.default,
    "Not": A.logical_not.default,
}.items():

    def _unary(c: Call, x: Any, target: Any = _target) -> Any:
        return c(target, x)

    onnx_op(_name)(_unary)


def _number(x: Any) -> Any:
    """A constant of one value, of no axes, as a number: PyTorch's operators of a value and a number."""
    return x.item() if isinstance(x, torch.Tensor) and x.dim() == 0 else x


for _name, _target in {
    "Add": A.add.Tensor,
    "Sub": A.sub.Tensor,
    "Mul": A.mul.Tensor,
    "Max": A.maximum.default,
    "Min": A.minimum.default,
    "Greater": A.gt.Tensor,
    "Less": A.lt.Tensor,
    "GreaterOrEqual": A.ge.Tensor,
    "LessOrEqual": A.le.Tensor,
    "Equal": A.eq.Tensor,
    "And": A.logical_and.default,
    "Or": A.logical_or.default,
}.items():

    def _binary(c: Call, first: Any, *others: Any, target: Any = _target) -> Any:
        for other in others:
            first = c(target, *_alike(first, other))
        return first

    onnx_op(_name)(_binary)


def _alike(a: Any, b: Any) -> tuple[Any, Any]:
    """Half precision has become float32: so do its constants."""
    return a, b


@onnx_op("Div")
def div(c: Call, a: Any, b: Any) -> Any:
    if not a.dtype.is_floating_point:
        return c(A.div.Tensor_mode, a, b, rounding_mode="trunc")
    return c(A.div.Tensor, a, b)


@onnx_op("Pow")
def power(c: Call, x: Any, exponent: Any) -> Any:
    if isinstance(exponent, torch.Tensor) and exponent.numel() == 1:
        return c(A.pow.Tensor_Scalar, x, float(exponent))
    return c(A.pow.Tensor_Tensor, x, exponent)


@onnx_op("Mod")
def mod(c: Call, a: Any, b: Any) -> Any:
    return c(A.remainder.Tensor, a, b)


@onnx_op("Sum")
def total(c: Call, first: Any, *others: Any) -> Any:
    for other in others:
        first = c(A.add.Tensor, first, other)
    return first


@onnx_op("Mean")
def mean(c: Call, *inputs: Any) -> Any:
    return c(A.mul.Tensor, total(c, *inputs), torch.tensor(1 / len(inputs)))


@onnx_op("LeakyRelu")
def leaky_relu(c: Call, x: Any) -> Any:
    return c(A.leaky_relu.default, x, c.get("alpha", 0.01))


@onnx_op("Elu")
def elu(c: Call, x: Any) -> Any:
    return c(A.elu.default, x, c.get("alpha", 1.0))


@onnx_op("Celu")
def celu(c: Call, x: Any) -> Any:
    return c(A.celu.default, x, c.get("alpha", 1.0))


@onnx_op("Selu")
def selu(c: Call, x: Any) -> Any:
    alpha, gamma = c.get("alpha", 1.67326319217681884765625), c.get("gamma", 1.05070102214813232421875)
    return c(A.mul.Tensor, c(A.elu.default, x, alpha), torch.tensor(gamma))


@onnx_op("ThresholdedRelu")
def thresholded_relu(c: Call, x: Any) -> Any:
    return c(A.threshold.default, x, c.get("alpha", 1.0), 0.0)


@onnx_op("Softsign")
def softsign(c: Call, x: Any) -> Any:
    one = torch.tensor(1.0)
    return c(A.div.Tensor, x, c(A.add.Tensor, c(A.abs.default, x), one))


@onnx_op("Gelu")
def gelu(c: Call, x: Any) -> Any:
    return c(A.gelu.default, x, approximate=c.get("approximate", "none"))


@onnx_op("PRelu")
def prelu(c: Call, x: Any, slope: Any) -> Any:
    if not isinstance(slope, torch.Tensor):
        raise c.refuse("PRelu with slopes that the model computes has no form")
    rest = slope.reshape(
        slope.shape
        if slope.dim() == len(shape_of(x))
        else (1,) * (len(shape_of(x)) - slope.dim()) + tuple(slope.shape)
    )
    if slope.numel() > 1 and rest.shape[1] != slope.numel():
        if slope.numel() == shape_of(x)[1] and slope.dim() == 1:
            raise c.refuse("PRelu with slopes along the last axis has no form")
        raise c.refuse(f"PRelu with slopes of shape {list(slope.shape)} has no form")
    return c(A.prelu.default, x, slope.reshape(-1))


@onnx_op("HardSigmoid")
def hard_sigmoid(c: Call, x: Any) -> Any:
    alpha, beta = c.get("alpha", 0.2), c.get("beta", 0.5)
    if math.isclose(alpha, 1 / 6, rel_tol=1e-6) and beta == 0.5:
        return c(A.hardsigmoid.default, x)
    line = c(A.add.Tensor, c(A.mul.Tensor, x, torch.tensor(alpha)), torch.tensor(beta))
    return c(A.clamp.default, line, 0.0, 1.0)


@onnx_op("Clip")
def clip(c: Call, x: Any, low: Any = None, high: Any = None) -> Any:
    least = c.get("min") if low is None else float(c.constant(low, "the bound"))
    most = c.get("max") if high is None else float(c.constant(high, "the bound"))
    if least is not None and least < -3e38:
        least = None
    if most is not None and most > 3e38:
        most = None
    if isinstance(x, torch.Tensor) and not x.is_floating_point():
        least, most = (None if n is None else int(n) for n in (least, most))
    return x if least is None and most is None else c(A.clamp.default, x, least, most)


def _softmax(c: Call, x: Any, target: Any) -> Any:
    axes = len(shape_of(x))
    if c.opset >= 13:
        return c(target, x, c.get("axis", -1))
    axis = c.get("axis", 1) % axes
    if axis == axes - 1 or all(n == 1 for n in shape_of(x)[axis + 1 :]):
        return c(target, x, axis)
    # before opset 13 all axes from the given one on are one
    rows = c(A.flatten.using_ints, x, axis, -1)
    return c(A.view.default, c(target, rows, axis), list(shape_of(x)))


@onnx_op("Softmax")
def softmax(c: Call, x: Any) -> Any:
    return _softmax(c, x, A.softmax.int)


@onnx_op("LogSoftmax")
def log_softmax(c: Call, x: Any) -> Any:
    return _softmax(c, x, A.log_softmax.int)


def _axes(c: Call, x: Any, given: Any) -> list[int] | None:
    axes = c.ints("axes", given)
    if not axes:
        return None if c.get("noop_with_empty_axes", 0) else list(range(len(shape_of(x))))
    return axes


for _name, _target in {
    "ReduceMean": A.mean.dim,
    "ReduceSum": A.sum.dim_IntList,
    "ReduceMax": A.amax.default,
    "ReduceMin": A.amin.default,
}.items():

    def _reduce(c: Call, x: Any, given: Any = None, target: Any = _target) -> Any:
        axes = _axes(c, x, given)
        return x if axes is None else c(target, x, axes, bool(c.get("keepdims", 1)))

    onnx_op(_name)(_reduce)


@onnx_op("ReduceProd")
def reduce_prod(c: Call, x: Any) -> Any:
    return c.constant(x, "the product").prod()


@onnx_op("ReduceL2")
def reduce_l2(c: Call, x: Any, given: Any = None) -> Any:
    return c(A.linalg_vector_norm.default, x, 2, _axes(c, x, given), bool(c.get("keepdims", 1)))


@onnx_op("ReduceL1")
def reduce_l1(c: Call, x: Any, given: Any = None) -> Any:
    return c(A.sum.dim_IntList, c(A.abs.default, x), _axes(c, x, given), bool(c.get("keepdims", 1)))


@onnx_op("ReduceSumSquare")
def reduce_sum_square(c: Call, x: Any, given: Any = None) -> Any:
    return c(A.sum.dim_IntList, c(A.square.default, x), _axes(c, x, given), bool(c.get("keepdims", 1)))


@onnx_op("LpNormalization")
def lp_normalization(c: Call, x: Any) -> Any:
    norm = c(A.linalg_vector_norm.default, x, c.get("p", 2), [c.get("axis", -1)], True)
    return c(A.div.Tensor, x, norm)


@onnx_op("ArgMax")
def argmax(c: Call, x: Any) -> Any:
    return c(A.argmax.default, x, c.get("axis", 0), bool(c.get("keepdims", 1)))


@onnx_op("Gemm")
def gemm(c: Call, a: Any, b: Any, bias: Any = None) -> Any:
    if c.get("transA", 0):
        a = c(A.t.default, a)
    alpha, beta = c.get("alpha", 1.0), c.get("beta", 1.0)
    if isinstance(b, torch.Tensor) and (bias is None or isinstance(bias, torch.Tensor)):
        weight = (b if c.get("transB", 0) else b.t()) * alpha
        outputs = weight.shape[0]
        if bias is None or bias.numel() in (1, outputs):
            flat = None if bias is None else (bias * beta).reshape(-1).expand(outputs).contiguous()
            return c(A.linear.default, a, weight.contiguous(), flat)
    if c.get("transB", 0):
        b = c(A.t.default, b)
    product = c(A.matmul.default, a, b)
    if alpha != 1:
        product = c(A.mul.Tensor, product, torch.tensor(alpha))
    if bias is None:
        return product
    return c(A.add.Tensor, product, c(A.mul.Tensor, bias, torch.tensor(beta)) if beta != 1 else bias)


@onnx_op("MatMul")
def matmul(c: Call, a: Any, b: Any) -> Any:
    return c(A.matmul.default, a, b)


@onnx_op("Where")
def where(c: Call, condition: Any, a: Any, b: Any) -> Any:
    if isinstance(condition, Value):
        raise c.refuse("a choice by values that the model computes has no form in Caffe")
    return c(A.where.self, condition, a, b)


@onnx_op("Identity", "Dropout")
def identity(c: Call, x: Any, *others: Any) -> Any:
    return x


@onnx_op("Cast", "CastLike")
def cast(c: Call, x: Any, other: Any = None) -> Any:
    if isinstance(x, Value):
        return x  # a net's blobs are float32 whatever happens
    if other is not None:
        return x.to(other.dtype)
    import numpy as np
    from onnx import helper

    kind = torch.from_numpy(np.zeros(0, helper.tensor_dtype_to_np_dtype(c.get("to")))).dtype
    return x.to(torch.float32 if kind.is_floating_point else kind)
