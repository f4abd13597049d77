"""The sliding window of a convolution_param: kernel, stride, pad and dilation of every spatial axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from caffe.blob import Shape
from caffe.layer import Layer

Sizes = tuple[int, ...]


@dataclass(frozen=True)
class Window:
    """A window over some spatial axes, one value an axis."""

    kernel: Sizes
    stride: Sizes
    pad: Sizes
    dilation: Sizes

    @property
    def extent(self) -> Sizes:
        """How far the kernel reaches, holes included."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation))

    @property
    def inner(self) -> Window:
        """The window without its first axis."""
        return Window(self.kernel[1:], self.stride[1:], self.pad[1:], self.dilation[1:])

    @property
    def is_pointwise(self) -> bool:
        """Whether it takes each pixel by itself."""
        return {*self.kernel} <= {1} and not any(self.pad)

    def check_fits(self, layer: Layer, spatial: Shape) -> None:
        """Raise ShapeError where the window is larger than the padded input."""
        for i, (size, pad, extent) in enumerate(zip(spatial, self.pad, self.extent)):
            if size + 2 * pad < extent:
                raise layer.shape_error(
                    f"spans {extent} along spatial axis {i}, with dilation; it must fit in the padded input of"
                    f" {size} + 2·{pad} = {size + 2 * pad}; the bottom's spatial shape is {list(spatial)}",
                    field="kernel_size",
                    fix="Use a smaller kernel, more pad or a larger input",
                )


def read_window(layer: Layer, axes: int) -> Window:
    """The window that a layer's convolution_param gives for ``axes`` spatial axes.

    Each of kernel_size, stride, pad and dilation holds one value for all axes or one an axis; with two axes,
    ``_h`` and ``_w`` instead. Raises LayerError where they are missing, too many or not positive.
    """
    return Window(
        kernel=_sizes(layer, "kernel_size", ("kernel_h", "kernel_w"), axes, least=1),
        stride=_sizes(layer, "stride", ("stride_h", "stride_w"), axes, least=1, missing=1),
        pad=_sizes(layer, "pad", ("pad_h", "pad_w"), axes, least=0, missing=0),
        dilation=_dilation(layer, axes),
    )


def _dilation(layer: Layer, axes: int) -> Sizes:
    """The dilation, which DeepLab called hole."""
    p = layer.param.convolution_param
    if not (p.hole or p.HasField("hole_h") or p.HasField("hole_w")):
        return _sizes(layer, "dilation", (), axes, least=1, missing=1)
    if p.dilation:
        raise layer.error(
            "dilation (BVLC) and hole (DeepLab) are one thing; got both",
            field="dilation",
            fix="Keep one of them",
        )
    return _sizes(layer, "hole", ("hole_h", "hole_w"), axes, least=1, missing=1)


def _sizes(
    layer: Layer, field: str, pair: Sequence[str], axes: int, least: int, missing: int | None = None
) -> Sizes:
    p = layer.param.convolution_param
    given: Sequence[int] = getattr(p, field)
    if any(p.HasField(name) for name in pair):
        if axes != 2:
            raise layer.error(
                f"{' and '.join(pair)} are for 2 spatial axes; this bottom has {axes}",
                field=pair[0],
                fix=f"Use {field}, one value an axis",
            )
        if given:
            raise layer.error(f"must be given as {field} or as {' and '.join(pair)}; got both", field=field)
        given = [getattr(p, name) for name in pair]
    if not given:
        if missing is None and axes:
            raise layer.error(f"must be given (or {' and '.join(pair)}); got none", field=field)
        return (missing if missing is not None else 1,) * axes
    if len(given) not in (1, axes):
        raise layer.error(
            f"must hold 1 value, or {axes}, one a spatial axis; got {len(given)}: {list(given)}", field=field
        )
    for value in given:
        if value < least:
            raise layer.error(f"must be at least {least}; got {value}", field=field)
    return tuple(given) if len(given) == axes else (given[0],) * axes


def channels_last(x: torch.Tensor) -> torch.Tensor:
    """x (N × C × H × W) in the format that convolution and pooling are fastest in."""
    if x.shape[1] == 1:  # both formats are the same bytes; the strides decide which one torch goes on in
        n, _, h, w = x.shape
        return x.reshape(n, h, w, 1).permute(0, 3, 1, 2)
    return x.contiguous(memory_format=torch.channels_last)


def convolve(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, window: Window, groups: int
) -> torch.Tensor:
    """Convolution (cross-correlation) of x (N × C × spatial…) over any number of spatial axes."""
    axes = len(window.kernel)
    if axes == 2:
        return F.conv2d(x, weight, bias, window.stride, window.pad, window.dilation, groups)
    if axes == 0:
        return F.conv1d(x.unsqueeze(-1), weight.unsqueeze(-1), bias, groups=groups).squeeze(-1)
    if axes == 1:
        return F.conv1d(x, weight, bias, window.stride, window.pad, window.dilation, groups)
    if axes == 3:
        return F.conv3d(x, weight, bias, window.stride, window.pad, window.dilation, groups)
    # More axes than torch has: a sum over the first axis' kernel of convolutions over the other axes.
    stride, pad, dilation = window.stride[0], window.pad[0], window.dilation[0]
    x = F.pad(x, (0, 0) * (axes - 1) + (pad, pad))
    out = (x.shape[2] - window.extent[0]) // stride + 1
    parts = []
    for k in range(window.kernel[0]):
        start = k * dilation
        rows = x[:, :, start : start + (out - 1) * stride + 1 : stride].movedim(2, 1)
        parts.append(convolve(rows.flatten(0, 1), weight[:, :, k], None, window.inner, groups))
    y: torch.Tensor = torch.stack(parts).sum(0).unflatten(0, (x.shape[0], out)).movedim(1, 2)
    return y if bias is None else y + bias.view(-1, *(1,) * axes)


def deconvolve(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, window: Window, groups: int
) -> torch.Tensor:
    """The transpose of :func:`convolve`, which makes x larger."""
    axes = len(window.kernel)
    stride, pad, dilation = window.stride, window.pad, window.dilation
    if axes == 2:
        return F.conv_transpose2d(x, weight, bias, stride, pad, 0, groups, dilation)
    if axes == 0:
        return F.conv_transpose1d(x.unsqueeze(-1), weight.unsqueeze(-1), bias, groups=groups).squeeze(-1)
    if axes == 1:
        return F.conv_transpose1d(x, weight, bias, stride, pad, 0, groups, dilation)
    if axes == 3:
        return F.conv_transpose3d(x, weight, bias, stride, pad, 0, groups, dilation)
    rows = x.movedim(2, 1).flatten(0, 1)
    parts = [
        deconvolve(rows, weight[:, :, k], None, window.inner, groups).unflatten(0, (x.shape[0], x.shape[2]))
        for k in range(window.kernel[0])
    ]
    reach = (x.shape[2] - 1) * stride[0]
    shape = list(parts[0].movedim(1, 2).shape)
    shape[2] = reach + window.extent[0]
    y = x.new_zeros(shape)
    for k, part in enumerate(parts):
        start = k * dilation[0]
        y[:, :, start : start + reach + 1 : stride[0]] += part.movedim(1, 2)
    y = y[:, :, pad[0] : shape[2] - pad[0]]
    return y if bias is None else y + bias.view(-1, *(1,) * axes)
