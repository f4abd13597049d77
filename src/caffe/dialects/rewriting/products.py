"""Products and sums of several bottoms, and inner products."""

from __future__ import annotations

import numpy as np

from caffe.dialects.rewriting.activations import eltwise
from caffe.dialects.rewriting.draft import Draft, Layer, Piece, layer, renamed, rewrites, without_values


def _factors(of: Layer, bottom: str, draft: Draft) -> tuple[list[Layer], str] | None:
    """A blob N × C from N × C × 1 × 1, as Scale wants it, and the layer that makes it."""
    shape = draft.shape(bottom)
    if shape is None or len(shape) < 2:
        return None
    if len(shape) == 2:
        return [], bottom
    flat = draft.between(of, "flat", shape[:2])
    made = layer(of, "Reshape", flat, [bottom], [flat])
    made.reshape_param.shape.dim.extend([0, 0])
    return [made], flat


@rewrites("BroadcastMul", says="as Scale by a second bottom")
def broadcast_mul(piece: Piece, draft: Draft) -> list[Piece] | None:
    of = piece.layer
    factors = _factors(of, of.bottom[1], draft)
    if factors is None:
        return None
    made = layer(of, "Scale", of.name, [of.bottom[0], factors[1]], [of.top[0]])
    made.scale_param.axis = 0
    return without_values(*factors[0], made)


@rewrites("Axpy", says="as Scale by a second bottom, and a sum")
def axpy(piece: Piece, draft: Draft) -> list[Piece] | None:
    of = piece.layer
    factors = _factors(of, of.bottom[0], draft)
    if factors is None:
        return None
    product = draft.between(of, "product", draft.shape(of.top[0]))
    scaled = layer(of, "Scale", product, [of.bottom[1], factors[1]], [product])
    scaled.scale_param.axis = 0
    return without_values(*factors[0], scaled, eltwise(of, [product, of.bottom[2]], of.top[0], "SUM"))


@rewrites("Add", "Mul", says="as Eltwise")
def same_shapes(piece: Piece, draft: Draft) -> list[Piece] | None:
    of = piece.layer
    shapes = {draft.shape(b) for b in of.bottom}
    if len(shapes) != 1 or None in shapes:
        return None
    return without_values(eltwise(of, [*of.bottom], of.top[0], "SUM" if of.type == "Add" else "PROD"))


@rewrites("Mul", says="as Scale by a second bottom")
def mul_by_channel(piece: Piece, draft: Draft) -> list[Piece] | None:
    of = piece.layer
    x, s = of.bottom
    shapes = draft.shape(x), draft.shape(s)
    if shapes[0] is None or shapes[1] is None:
        return None
    if len(shapes[0]) < len(shapes[1]) or set(shapes[0][2:]) == {1}:
        x, s, shapes = s, x, (shapes[1], shapes[0])
    wide, narrow = shapes
    if len(wide) != len(narrow) or wide[:2] != narrow[:2] or set(narrow[2:]) != {1}:  # type: ignore[index,arg-type]
        return None
    factors = _factors(of, s, draft)
    if factors is None:
        return None
    made = layer(of, "Scale", of.name, [x, factors[1]], [of.top[0]])
    made.scale_param.axis = 0
    return without_values(*factors[0], made)


@rewrites("InnerProduct", says="with its weights transposed")
def transposed(piece: Piece, draft: Draft) -> list[Piece] | None:
    if not piece.layer.inner_product_param.transpose or not piece.arrays:
        return None
    made = renamed(piece.layer, "InnerProduct")
    made.inner_product_param.ClearField("transpose")
    weights = np.asarray(piece.arrays[0])
    matrix = weights.reshape(weights.shape[-2:])
    return [Piece(made, [np.ascontiguousarray(matrix.T), *piece.arrays[1:]])]
