"""Scale."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.layers.common._broadcast import check_operand, learned_shape
from caffe.proto import caffe_pb2
from caffe.tensor_layer import BlobSpec, TensorLayer


class Scale(TensorLayer):
    """Product with a learned or given tensor along some axes: y = s · x, or s · x + b with ``bias_term``.

    s covers the axes of x from ``axis`` on and is repeated over the others.

    bottom: x (any shape), and s, if it is not learned.
    top: y of x's shape.
    blobs: s, unless it is a bottom (``num_axes`` axes of x from ``axis`` on; all the rest for −1, a scalar
    for 0), then b (s's shape) with ``bias_term``. ``filler`` fills s with 1 by default.
    Differs from Caffe: nothing known. Source: BVLC ``Scale``.
    """

    keeps_shape = True
    num_bottoms = (1, 2)
    reads = {"scale_param": "*"}

    trailing: int  # axes of x behind those of s

    def check(self, shape: Shape, given: Shape | None = None) -> None:
        p = self.param.scale_param
        operand = learned_shape(self, p.axis, p.num_axes, shape) if given is None else given
        self.trailing = check_operand(self, p.axis, shape, operand, learned=given is None)

    def declare(self, shape: Shape, given: Shape | None = None) -> list[BlobSpec]:
        p = self.param.scale_param
        specs = []
        if given is None:
            one = caffe_pb2.FillerParameter(type="constant", value=1)
            operand = learned_shape(self, p.axis, p.num_axes, shape)
            specs.append(BlobSpec(operand, p.filler if p.HasField("filler") else one))
        else:
            operand = given
        if p.bias_term:
            specs.append(BlobSpec(operand, p.bias_filler))
        return specs

    @property
    def per_channel(self) -> bool:
        """Whether s is a factor for each channel, axis 1."""
        shapes = self._shapes or ((),)
        return len(self.blobs[0].shape) == 1 and self.trailing == len(shapes[0]) - 2

    def compute(self, x: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        if scale.dim() == 1 and self.trailing == x.dim() - 2:
            # A batch normalization by mean 0 and variance 1: one pass forward, one backward.
            zeros, unit = scale.new_zeros(scale.shape), scale.new_ones(scale.shape)
            return torch.batch_norm(x, scale, bias, zeros, unit, False, 0.0, 0.0, False)
        ones = (1,) * self.trailing
        scale = scale.reshape(*scale.shape, *ones)
        if bias is None:
            return x * scale
        return torch.addcmul(bias.reshape(*bias.shape, *ones), x, scale)
