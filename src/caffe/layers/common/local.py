"""Local."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from caffe.blob import Shape
from caffe.tensor_layer import BlobSpec, TensorLayer


class Local(TensorLayer):
    """A convolution with weights of its own at every position: y[m, p] = Σ_k W[m, k, p] · patch(x)[k, p] +
    b[m, p].

    bottom: x (N × C × H × W). top: N × num_output × H' × W', H' = (H + 2 pad - kernel_size) / stride + 1
    rounded down.
    blobs: W (num_output × 1 × C·kernel_size² × H'·W'), b (1 × 1 × num_output × H'·W') with ``bias_term``.
    Differs from Caffe: the gradients of the parameters are added to what is there; the original clears it
    first.
    Source: happynear/caffe-windows; Taigman et al. 2014.
    """

    origin = "caffe-windows (happynear/caffe-windows)"
    reads = {"local_param": "*"}
    in_place = False

    def _size(self, shape: Shape) -> tuple[int, int]:
        p = self.param.local_param
        height, width = ((size + 2 * p.pad - p.kernel_size) // p.stride + 1 for size in shape[2:])
        return height, width

    def check(self, shape: Shape) -> None:
        p = self.param.local_param
        for field in ("num_output", "kernel_size", "stride"):
            if getattr(p, field) < 1:
                raise self.error(f"must be at least 1; got {getattr(p, field)}", field=field)
        if len(shape) != 4 or min(self._size(shape)) < 1:
            raise self.shape_error(
                f"the bottom must be N×C×H×W, at least as large as the kernel; got {list(shape)}"
            )
        if len(self.blobs):
            height, width = self._size(shape)
            expected = (p.num_output, 1, shape[1] * p.kernel_size**2, height * width)
            if self.blobs[0].shape != expected:
                raise self.shape_error(
                    f"a bottom of shape {list(shape)} needs weights of shape {list(expected)}; they"
                    " have shape"
                    f" {list(self.blobs[0].shape)}",
                    fix="Every position has weights of its own: keep the input size the net was built for",
                )

    def declare(self, shape: Shape) -> list[BlobSpec]:
        p = self.param.local_param
        height, width = self._size(shape)
        positions = height * width
        specs = [BlobSpec((p.num_output, 1, shape[1] * p.kernel_size**2, positions), p.weight_filler)]
        if p.bias_term:
            specs.append(BlobSpec((1, 1, p.num_output, positions), p.bias_filler))
        return specs

    def compute(
        self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
    ) -> torch.Tensor:
        p = self.param.local_param
        height, width = self._size(tuple(x.shape))
        patches = F.unfold(x, p.kernel_size, padding=p.pad, stride=p.stride)  # N × K × positions
        y = torch.einsum("nkp,mkp->nmp", patches, weight[:, 0])
        if bias is not None:
            y = y + bias[0]
        return y.reshape(x.shape[0], p.num_output, height, width)
