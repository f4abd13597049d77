"""Convolution."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
import torch.nn.functional as F

from caffe.blob import Shape
from caffe.layer import Count
from caffe.layers.vision import _pointwise
from caffe.layers.vision._side_padding import Sides, pad_sides, read_sides
from caffe.layers.vision._window import Window, channels_last, convolve, read_window
from caffe.tensor_layer import BlobSpec, TensorLayer


class Convolution(TensorLayer):
    """Convolution over any number of spatial axes: learned kernels slide over the input.

    y[n, o, i…] = b[o] + Σ_c Σ_k… W[o, c, k…] · x[n, c, i·stride − pad + k·dilation …], with c over the
    channels of o's group. The output's size along an axis is ⌊(size + 2·pad − dilation·(kernel − 1) − 1) /
    stride⌋ + 1.

    bottom: x (N × C × H × W; or any number of spatial axes after ``axis``, the axis of channels, with all
    axes before it taken as batch); several bottoms of one shape go through the same kernels.
    top: y (N × num_output × H′ × W′), one for each bottom.
    blobs: W (num_output × C/group × kernel_h × kernel_w), b (num_output) with ``bias_term``.
    Forks: pad_l, pad_r, pad_t, pad_b pad each side, ``pad_type: 1`` as TensorFlow's SAME (Synopsys); ``relu``
    puts a ReLU with ``negative_slope`` behind it (Intel); ``hole`` is dilation's old name (DeepLab).
    Differs from Caffe: ``engine`` and ``force_nd_im2col`` choose nothing; a kernel larger than the padded
    input is always an error. Source: BVLC ``Convolution``; LeCun et al. 1998.
    """

    num_bottoms: ClassVar[Count] = (1, None)
    num_tops: ClassVar[Count] = (1, None)
    equal_counts = True
    reads = {"convolution_param": "* relu negative_slope pad_type pad_l pad_r pad_t pad_b hole hole_h hole_w"}

    window: Window
    sides: Sides | None
    channel_axis: int
    group_count: int
    _channels_last: bool
    _pointwise: bool

    def groups(self, channels: int) -> int:
        """How many groups channels and outputs are split into."""
        return self.param.convolution_param.group

    @property
    def plain(self) -> bool:
        """Whether it is the operation on N × C × H × W alone: the same pad on opposite sides, no ReLU in it."""
        return (
            self.channel_axis == 1
            and self._channels_last
            and self.sides is None
            and not self.param.convolution_param.relu
        )

    def weight_shape(self, channels: int) -> Shape:
        """The shape of the kernels for a bottom with ``channels`` channels."""
        return (self.param.convolution_param.num_output, channels // self.group_count, *self.window.kernel)

    def check(self, *shapes: Shape) -> None:
        p = self.param.convolution_param
        first = shapes[0]
        self.channel_axis = self.axis(p.axis, first)
        channels, spatial = first[self.channel_axis], first[self.channel_axis + 1 :]
        for i, shape in enumerate(shapes[1:], 1):
            if shape != first:
                raise self.shape_error(
                    f"bottoms must have one shape; got {list(first)} for bottom 0 and {list(shape)} for"
                    f" bottom {i}",
                    fix="Use one layer a shape, sharing parameters by name (param { name: … })",
                )
        if p.num_output < 1:
            raise self.error(f"must be at least 1; got {p.num_output}", field="num_output")
        self.group_count = self.groups(channels)
        if self.group_count < 1:
            raise self.error(f"must be at least 1; got {self.group_count}", field="group")
        for count, what in ((channels, "the bottom's channels"), (p.num_output, "num_output")):
            if count % self.group_count:
                raise self.shape_error(
                    f"must divide {what}: {count}; got {self.group_count} (bottom shape {list(first)})",
                    field="group",
                )
        self.window = read_window(self, len(spatial))
        self.sides = read_sides(self, p, spatial, self.window.extent, self.window.stride)
        if self.sides is not None:
            spatial = tuple(size + sum(side) for size, side in zip(spatial, self.sides))
        self.check_spatial(spatial)
        if len(self.blobs) and self.blobs[0].shape != self.weight_shape(channels):
            raise self.shape_error(
                f"a bottom of shape {list(first)} needs kernels of shape"
                f" {list(self.weight_shape(channels))}; the"
                f" layer has {list(self.blobs[0].shape)}",
                fix=f"Keep the number of channels (axis {self.channel_axis}) that the net was built for",
            )
        self._channels_last = len(spatial) == 2
        self._pointwise = self._channels_last and self.group_count == 1 and self.window.is_pointwise
        self.weight_channels_last = self._channels_last and math.prod(self.window.kernel) > 1

    def check_spatial(self, spatial: Shape) -> None:
        """Raise ShapeError where the window does not fit a bottom of this spatial shape."""
        self.window.check_fits(self, spatial)

    def declare(self, *shapes: Shape) -> list[BlobSpec]:
        p = self.param.convolution_param
        specs = [BlobSpec(self.weight_shape(shapes[0][self.channel_axis]), p.weight_filler)]
        if p.bias_term:
            specs.append(BlobSpec((p.num_output,), p.bias_filler))
        return specs

    def apply(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """The operation, on x (batch × channels × spatial…)."""
        stride = self.window.stride
        if self._pointwise and _pointwise.pays(x, weight, stride):
            y: torch.Tensor = _pointwise.Products.apply(x, weight, bias, stride)  # type: ignore[no-untyped-call]
            return y
        return convolve(x, weight, bias, self.window, self.group_count)

    def compute(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        count = self.bottom_count
        weight, bias = tensors[count], tensors[count + 1] if len(tensors) > count + 1 else None
        return tuple(self._one(x, weight, bias) for x in tensors[:count])

    def _one(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        batch = x.shape[: self.channel_axis]
        if self.channel_axis != 1:
            x = x.reshape(math.prod(batch), *x.shape[self.channel_axis :])
        if self._channels_last and x.device.type != "mps":
            x = channels_last(x)
        if self.sides is not None:
            x = pad_sides(x, self.sides)
        y = self.apply(x, weight, bias)
        p = self.param.convolution_param
        if p.relu:
            y = F.leaky_relu(y, p.negative_slope) if p.negative_slope else F.relu(y)
        return y if self.channel_axis == 1 else y.reshape(*batch, *y.shape[1:])
