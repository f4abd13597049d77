"""Unpooling."""

from __future__ import annotations

import math

import torch

from caffe.blob import Shape
from caffe.deferred import refuse
from caffe.proto import caffe_pb2
from caffe.tensor_layer import TensorLayer

_Method = caffe_pb2.UnpoolingParameter


class Unpooling(TensorLayer):
    """Undoes a pooling: MAX puts each value where the mask says it came from, TILE repeats it over its
    window, AVE does so divided by the window's size.

    bottom: x (N × C × H × W); for MAX the mask of the pooling (x's shape: places in each H'·W' plane).
    top: H' = unpool_size (or unpool_h), else (H - 1)·stride + kernel - 2·pad. A place met twice takes the
    later value.
    Differs from Caffe: nothing known. Source: HyeonwooNoh/DeconvNet; Noh et al. 2015.
    """

    num_bottoms = (1, 2)
    zero_gradient = (1,)
    origin = "DeconvNet (HyeonwooNoh/DeconvNet)"
    reads = {"unpooling_param": "*"}
    in_place = False

    def _window(self) -> list[tuple[int, int, int, int]]:
        """Kernel, stride, pad and wanted size (0 none) of rows and of columns."""
        p = self.param.unpooling_param
        return [
            (
                p.kernel_size or getattr(p, f"kernel_{a}"),
                getattr(p, f"stride_{a}") if p.HasField(f"stride_{a}") else p.stride,
                getattr(p, f"pad_{a}") or p.pad,
                p.unpool_size or getattr(p, f"unpool_{a}"),
            )
            for a in "hw"
        ]

    def _size(self, shape: Shape) -> list[int]:
        return [
            wanted or (size - 1) * stride + kernel - 2 * pad
            for size, (kernel, stride, pad, wanted) in zip(shape[2:], self._window())
        ]

    def check(self, x: Shape, mask: Shape | None = None) -> None:
        p = self.param.unpooling_param
        if len(x) != 4 or (mask is not None and mask != x):
            raise self.shape_error(
                f"the bottoms must have one shape N×C×H×W; got {list(x)}"
                + (f" and {list(mask)}" if mask else "")
            )
        if min(kernel for kernel, *_ in self._window()) < 1:
            raise self.error("must be given (or kernel_h and kernel_w)", field="kernel_size")
        if p.unpool == _Method.MAX and mask is None:
            raise self.error("MAX needs the pooling's mask as a second bottom", field="unpool")

    def compute(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        height, width = self._size(tuple(x.shape))
        if self.param.unpooling_param.unpool == _Method.MAX and mask is not None:
            place = mask.long().flatten(2)
            inside = place.clamp(0, height * width - 1)
            refuse(
                inside != place,
                lambda: self.error(
                    f"the mask must hold places from 0 to {height * width - 1}; got"
                    f" {int(place[inside != place][0])}"
                ),
            )
            empty = x.new_zeros(*x.shape[:2], height * width)
            return empty.scatter(2, inside, x.flatten(2)).reshape(*x.shape[:2], height, width)
        (kernel_h, stride_h, pad_h, _), (kernel_w, stride_w, pad_w, _) = self._window()
        kernel = x.new_ones(1, 1, kernel_h, kernel_w)
        if self.param.unpooling_param.unpool == _Method.AVE:
            kernel = kernel / math.prod(kernel.shape)
        planes = x.flatten(0, 1).unsqueeze(1)
        y = torch.nn.functional.conv_transpose2d(planes, kernel, stride=(stride_h, stride_w))
        y = y[:, :, pad_h : pad_h + height, pad_w : pad_w + width]
        y = torch.nn.functional.pad(y, (0, width - y.shape[3], 0, height - y.shape[2]))
        return y.reshape(*x.shape[:2], height, width)
