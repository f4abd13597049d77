"""Im2col."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from caffe.blob import Shape
from caffe.layers.vision._window import Window, read_window
from caffe.tensor_layer import TensorLayer


class Im2col(TensorLayer):
    """Lays out the patches under a sliding window as channels, as a convolution's matrix product wants them.

    y[n, (c, k…), i…] = x[n, c, i·stride − pad + k·dilation …], zero outside of x.

    bottom: x (N × C × H × W; or any number of spatial axes after ``axis``, the axis of channels).
    top: y (N × C·kernel_h·kernel_w × H′ × W′), with sizes as a convolution's.
    Differs from Caffe: a kernel larger than the padded input is always an error. Source: BVLC ``Im2col``.
    """

    reads = {"convolution_param": "* hole hole_h hole_w"}

    window: Window
    _axis: int

    def check(self, shape: Shape) -> None:
        self._axis = self.axis(self.param.convolution_param.axis, shape)
        spatial = shape[self._axis + 1 :]
        self.window = read_window(self, len(spatial))
        self.window.check_fits(self, spatial)

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        w, axis = self.window, self._axis
        axes = len(w.kernel)
        x = F.pad(x, [p for pad in reversed(w.pad) for p in (pad, pad)])
        for i in range(axes):
            x = x.unfold(axis + 1 + i, w.extent[i], w.stride[i])
        # Now … × C × out… × extent…; holes are skipped, then the kernel's axes move behind the channels.
        for i, dilation in enumerate(w.dilation):
            x = x[(slice(None),) * (x.dim() - axes + i) + (slice(None, None, dilation),)]
        windows = list(range(axis + 1 + axes, x.dim()))
        x = x.movedim(windows, list(range(axis + 1, axis + 1 + axes)))
        shape = tuple(x.shape)
        channels = shape[axis] * math.prod(w.kernel)
        return x.reshape(*shape[:axis], channels, *shape[axis + 1 + axes :])
