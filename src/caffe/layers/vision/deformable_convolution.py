"""DeformableConvolution."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from caffe.blob import Shape
from caffe.tensor_layer import BlobSpec, TensorLayer


class DeformableConvolution(TensorLayer):
    """A convolution whose kernel points are moved, at each place, by offsets: y = Σ_k W[k] · x(p + p_k +
    Δp_k).

    Values between pixels are bilinear; beyond the last row or column they are that of the last, and 0 before
    the first and from one pixel after the last on, as in the original. The channels are split into
    deformable_group groups with offsets of their own; offset channel (d·K + k)·2 moves point k of group d
    down, the next one to the right.

    bottom: x (N × C × H × W); offsets (N × 2·deformable_group·kernel_h·kernel_w × H' × W').
    top: N × num_output × H' × W'. blobs: W (num_output × C/group × kernel_h × kernel_w), b (num_output).
    The fields are convolution_param's, or deformable_convolution_param's.
    Differs from Caffe: nothing known. Source: unsky/Deformable-ConvNets-caffe; Dai et al. 2017.
    """

    num_bottoms = 2
    origin = "deformable convolution (unsky/Deformable-ConvNets-caffe)"
    reads = {
        "convolution_param": "* deformable_group",
        "deformable_convolution_param": (
            "num_output bias_term pad kernel_size stride dilation pad_h pad_w kernel_h "
            "kernel_w stride_h stride_w group weight_filler bias_filler deformable_group"
        ),
    }
    in_place = False

    def _read(self) -> None:
        named = self.param.HasField("deformable_convolution_param")
        p = self.p = self.param.deformable_convolution_param if named else self.param.convolution_param

        def pair(field: str, rows: str, columns: str, default: int) -> tuple[int, int]:
            if field != "dilation" and (p.HasField(rows) or p.HasField(columns)):
                return getattr(p, rows), getattr(p, columns)
            values = list(getattr(p, field)) or [default]
            return values[0], values[-1]

        self.kernel = pair("kernel_size", "kernel_h", "kernel_w", 0)
        self.stride = pair("stride", "stride_h", "stride_w", 1)
        self.pad = pair("pad", "pad_h", "pad_w", 0)
        self.dilation = pair("dilation", "", "", 1)

    def check(self, x: Shape, offsets: Shape) -> None:
        self._read()
        p, points = self.p, self.kernel[0] * self.kernel[1]
        if points < 1 or p.num_output < 1 or min(self.stride + self.dilation) < 1:
            raise self.error(
                "kernel_size, num_output, stride and dilation must be at least 1; got"
                f" {list(self.kernel)}, {p.num_output}, {list(self.stride)}, {list(self.dilation)}",
                field="kernel_size",
            )
        if len(x) != 4 or x[1] % p.group or x[1] % p.deformable_group or p.num_output % p.group:
            raise self.shape_error(
                f"group {p.group} and deformable_group {p.deformable_group} must divide the channels of"
                " an N×C×H×W"
                f" bottom, and group num_output {p.num_output}; got shape {list(x)}",
                field="deformable_group",
            )
        size = tuple(
            (n + 2 * pad - d * (k - 1) - 1) // s + 1
            for n, pad, d, k, s in zip(x[2:], self.pad, self.dilation, self.kernel, self.stride)
        )
        expected = (x[0], 2 * p.deformable_group * points, *size)
        if offsets != expected:
            raise self.shape_error(f"bottom 1 must have shape {list(expected)}; got {list(offsets)}")

    def declare(self, x: Shape, offsets: Shape) -> list[BlobSpec]:
        p = self.p
        specs = [BlobSpec((p.num_output, x[1] // p.group, *self.kernel), p.weight_filler)]
        return [*specs, BlobSpec((p.num_output,), p.bias_filler)] if p.bias_term else specs

    def compute(
        self, x: torch.Tensor, offsets: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
    ) -> torch.Tensor:
        groups, points = self.p.deformable_group, self.kernel[0] * self.kernel[1]
        n, channels, height, width = x.shape
        out_h, out_w = offsets.shape[2:]
        moved = offsets.reshape(n * groups, points, 2, out_h, out_w)
        like = {"device": x.device, "dtype": x.dtype}
        k = torch.arange(points, device=x.device)
        kernel_row, kernel_col = torch.div(k, self.kernel[1], rounding_mode="floor"), k % self.kernel[1]
        row = torch.arange(out_h, **like)[:, None] * self.stride[0] - self.pad[0]  # type: ignore[call-overload]
        col = torch.arange(out_w, **like) * self.stride[1] - self.pad[1]  # type: ignore[call-overload]
        row = row + (kernel_row * self.dilation[0])[:, None, None] + moved[:, :, 0]
        col = col + (kernel_col * self.dilation[1])[:, None, None] + moved[:, :, 1]
        inside = (row >= 0) & (row < height) & (col >= 0) & (col < width)
        # grid_sample's coordinates: -1 and 1 are the middles of the corner pixels, of a map that has its last
        # row and column twice; 3 is outside
        grid = torch.stack([2 * col / width - 1, 2 * row / height - 1], -1)
        patches = F.grid_sample(
            F.pad(x, (0, 1, 0, 1), mode="replicate").reshape(n * groups, -1, height + 1, width + 1),
            torch.where(inside[..., None], grid, torch.full_like(grid, 3)).flatten(1, 2),
            mode="bilinear",
            padding_mode="zeros",
            align_corners=True,
        )
        columns = patches.reshape(n, self.p.group, channels // self.p.group * points, out_h * out_w)
        matrix = weight.reshape(self.p.group, -1, channels // self.p.group * points)
        y = (matrix @ columns).reshape(n, -1, out_h, out_w)
        return y if bias is None else y + bias.reshape(-1, 1, 1)
