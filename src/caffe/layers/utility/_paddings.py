"""What layers that pad every axis share."""

from __future__ import annotations

from caffe.blob import Shape
from caffe.layer import Layer


def check_paddings(layer: Layer, paddings: list[int], shape: Shape) -> None:
    """Raise LayerError unless there are two paddings for each axis."""
    if len(paddings) != 2 * len(shape):
        raise layer.error(
            f"must be given twice (before, after) for each of the {len(shape)} axes; got"
            f" {len(paddings)} values",
            field="paddings",
        )
