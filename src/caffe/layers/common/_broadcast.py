"""Where the second operand of Scale and Bias lies among the axes of the first."""

from __future__ import annotations

from caffe.blob import Shape
from caffe.layer import Layer


def learned_shape(layer: Layer, axis: int, num_axes: int, shape: Shape) -> Shape:
    """The shape of a learned operand: ``num_axes`` axes of ``shape`` from ``axis`` on, all the rest for −1.

    Raises LayerError, ShapeError.
    """
    first = layer.axis(axis, shape)
    if num_axes < -1:
        raise layer.error(f"must be at least -1; got {num_axes}", field="num_axes")
    if num_axes == -1:
        return shape[first:]
    if first + num_axes > len(shape):
        raise layer.shape_error(
            f"must be at most {len(shape) - first} from axis {first} on, for a bottom of shape {list(shape)};"
            f" got {num_axes}",
            field="num_axes",
        )
    return shape[first : first + num_axes]


def check_operand(layer: Layer, axis: int, shape: Shape, operand: Shape, learned: bool) -> int:
    """How many axes of ``shape`` lie behind the operand's. Raises ShapeError where it does not fit."""
    first = layer.axis(axis, shape) if operand or learned else 0
    last = first + len(operand)
    if shape[first:last] != operand:
        raise layer.shape_error(
            f"bottom 1 must have the shape of axes of bottom 0 from {first} on; got shapes {list(operand)} and"
            f" {list(shape)}",
            field="axis",
        )
    if learned and len(layer.blobs) and layer.blobs[0].shape != operand:
        raise layer.shape_error(
            f"a bottom of shape {list(shape)} needs a parameter of shape {list(operand)}; the layer has"
            f" {list(layer.blobs[0].shape)}",
            fix="Keep the sizes along these axes that the net was built for",
        )
    return len(shape) - last
