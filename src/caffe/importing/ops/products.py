"""Linear layers, matrix products, attention."""

from __future__ import annotations

import math
from typing import Any

import torch

from caffe.importing.emitter import Emitter
from caffe.importing.graph import Shape
from caffe.importing.place import Place
from caffe.importing.rules import Inexpressible, rule


@rule("linear")
def linear(
    e: Emitter, input: Place, weight: Any, bias: torch.Tensor | None = None, suffix: str = ""
) -> Place:
    """x · Wᵀ + b over the last axis: an InnerProduct, or a 1×1 convolution where the axis lies as channels."""
    if not isinstance(weight, torch.Tensor):
        product = matmul(e, input, weight.reordered((1, 0)))
        if bias is None:
            return product
        from caffe.importing.ops.arithmetic import plus

        return plus(e, product, bias)
    blobs = [weight] if bias is None else [weight, bias]
    outputs, inputs = weight.shape
    x = e.repeated(input)
    term = {} if bias is not None else {"bias_term": False}
    if x.order[-1] == 1 and len(x.held) == 4:
        held = (x.held[0], outputs, *x.held[2:])
        kernels = [weight.reshape(outputs, inputs, 1, 1), *blobs[1:]]
        param = {"num_output": outputs, "kernel_size": [1], **term}
        top = e.layer("Convolution", [x], suffix=suffix, shape=held, blobs=kernels, convolution_param=param)
        return Place(top.blob, held, x.order, (*x.shape[:-1], outputs))
    x = e.plain(x)
    if len(x.shape) == 1:
        raise Inexpressible("the input has no batch axis")
    shape = (*x.shape[:-1], outputs)
    axis = {"axis": len(x.shape) - 1} if len(x.shape) > 2 else {}
    param = {"num_output": outputs, **axis, **term}
    before = e.source(x)
    if len(shape) == 2 and before.held[0] == shape[0]:
        x = before  # an InnerProduct flattens by itself
    place: Place = e.layer(
        "InnerProduct",
        [x],
        suffix=suffix,
        shape=shape,
        blobs=blobs,
        inner_product_param=param,
    )
    return place


@rule("addmm")
def addmm(e: Emitter, input: Any, mat1: Any, mat2: Any, beta: float = 1, alpha: float = 1) -> Place:
    """b + x · W."""
    if isinstance(mat2, torch.Tensor) and isinstance(input, torch.Tensor) and beta == alpha == 1:
        return linear(
            e, mat1, mat2.t(), input.expand(mat2.shape[1]) if input.dim() < 2 else input.reshape(-1)
        )
    raise Inexpressible("only with a constant matrix and bias there is a form")


@rule("mm", "bmm", "matmul", "mv", "dot")
def matmul(e: Emitter, input: Any, other: Any = None, mat2: Any = None, vec: Any = None) -> Place:
    """The product of two matrices, or of as many pairs as there are."""
    other = next(m for m in (other, mat2, vec) if m is not None)
    if isinstance(other, torch.Tensor) and other.dim() == 2:
        return linear(e, input, other.t())
    if isinstance(input, torch.Tensor) and input.dim() == 2 and isinstance(other, Place):
        # (A · B) = (Bᵀ · Aᵀ)ᵀ
        axes = len(other.shape)
        swap = (*range(axes - 2), axes - 1, axes - 2)
        return linear(e, other.reordered(swap), input).reordered(swap)
    a = e.constant(input) if isinstance(input, torch.Tensor) else input
    b = e.constant(other) if isinstance(other, torch.Tensor) else other
    return product(e, a, b)


@rule("baddbmm")
def baddbmm(e: Emitter, input: Any, batch1: Place, batch2: Place, beta: float = 1, alpha: float = 1) -> Place:
    """β · b + α · x · y."""
    from caffe.importing.ops.arithmetic import add, scaled

    return add(e, scaled(e, product(e, batch1, batch2), alpha), scaled(e, input, beta))


def product(e: Emitter, a: Place, b: Place, suffix: str = "") -> Place:
    """A MatMul of two values."""
    e.needs("MatMul", fix="Products of two values (attention) are beyond BVLC's layers")
    leading = tuple(torch.broadcast_shapes(a.shape[:-2], b.shape[:-2]))
    a, b = _batched(e, a, leading), _batched(e, b, leading)
    a, turned_a = _side(e, a)
    b, turned_b = _side(e, b)
    rows, columns = a.shape[-2], b.shape[-1]
    if turned_a:
        rows = a.shape[-1]
    if turned_b:
        columns = b.shape[-2]
    shape: Shape = (*leading, rows, columns)
    param: dict[str, Any] = {}
    if turned_a:
        param["transpose_a"] = True
    if turned_b:
        param["transpose_b"] = True
    extra: dict[str, Any] = {"matmul_param": param} if param else {}
    place: Place = e.layer("MatMul", [a, b], suffix=suffix, shape=shape, **extra)
    return place


def _batched(e: Emitter, x: Place, leading: Shape) -> Place:
    from caffe.importing.ops.arithmetic import with_axes

    x = with_axes(e, x, len(leading) + 2)
    return e.repeated(x, (*leading, *x.shape[-2:]))


def _side(e: Emitter, x: Place) -> tuple[Place, bool]:
    """The operand in a blob; where only its last two axes are exchanged, MatMul does that."""
    axes = len(x.shape)
    swap = (*range(axes - 2), axes - 1, axes - 2)
    turned = x.reordered(swap)
    if not x.is_ordered and turned.is_ordered:
        return e.plain(turned), True
    return e.plain(x), False


@rule("scaled_dot_product_attention")
def attention(
    e: Emitter,
    query: Place,
    key: Place,
    value: Place,
    attn_mask: Any = None,
    dropout_p: float = 0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Place:
    """softmax(Q · Kᵀ · s + mask) · V."""
    from caffe.importing.ops.activations import softmax
    from caffe.importing.ops.arithmetic import add

    e.needs("MatMul", fix="Attention is beyond BVLC's layers")
    if enable_gqa and key.shape[1] != query.shape[1]:
        raise Inexpressible("heads that share keys have no form")
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    axes = len(key.shape)
    swap = (*range(axes - 2), axes - 1, axes - 2)
    scores = product(e, e.power(query, scale=factor, suffix="scaled"), key.reordered(swap), suffix="scores")
    if is_causal:
        rows, columns = scores.shape[-2:]
        attn_mask = torch.ones(rows, columns, dtype=torch.bool).tril()
    if attn_mask is not None:
        if isinstance(attn_mask, torch.Tensor) and attn_mask.dtype == torch.bool:
            attn_mask = torch.zeros(attn_mask.shape).masked_fill(~attn_mask, -1e30)
        scores = add(e, scores, attn_mask)
    return product(e, softmax(e, scores, -1, suffix="softmax"), value)


@rule("embedding")
def embedding(e: Emitter, weight: Any, indices: Any, **others: Any) -> Place:
    """Rows of a table: an Embed layer."""
    if not isinstance(weight, torch.Tensor) or not isinstance(indices, Place):
        raise Inexpressible("the table is computed by the net itself")
    x = e.plain(indices)
    rows, width = weight.shape
    param = {"num_output": width, "input_dim": rows, "bias_term": False}
    place: Place = e.layer("Embed", [x], shape=(*x.shape, width), blobs=[weight], embed_param=param)
    return place
