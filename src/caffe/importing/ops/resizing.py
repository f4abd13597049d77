"""Resizing of maps. Whatever the rule, a resize is a matrix along each axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F

from caffe.importing.emitter import Emitter
from caffe.importing.ops.shapes import deconvolution
from caffe.importing.place import Place
from caffe.importing.rules import Inexpressible, rule

_MOST = 4096
"""Rows or columns of a map that is resized by matrices."""


def _resizing(op: str, mode: str, antialias: bool = False) -> None:
    @rule(op)
    def function(
        e: Emitter,
        input: Place,
        output_size: Any = None,
        align_corners: bool | None = None,
        scale_factors: Any = None,
        **scales: Any,
    ) -> Place:
        x = e.plain(input)
        size = x.shape[2:]
        if output_size is None and scale_factors is None:
            raise Inexpressible("the size of the output is not fixed")
        out = output_size if output_size is not None else [int(n * f) for n, f in zip(size, scale_factors)]
        given = [scale_factors[i] if scale_factors else None for i in range(len(size))]
        named = (
            (scales.get("scales_h"), scales.get("scales_w")) if len(size) == 2 else (scales.get("scales"),)
        )
        given = [g if g is not None else n for g, n in zip(given, named)]
        return resize(e, x, mode, tuple(int(n) for n in out), align_corners, given, antialias)


for _mode, _op in (
    ("nearest", "upsample_nearest1d"),
    ("nearest", "upsample_nearest2d"),
    ("nearest-exact", "_upsample_nearest_exact2d"),
    ("linear", "upsample_linear1d"),
    ("bilinear", "upsample_bilinear2d"),
    ("bicubic", "upsample_bicubic2d"),
):
    _resizing(_op, _mode)
_resizing("_upsample_bilinear2d_aa", "bilinear", True)
_resizing("_upsample_bicubic2d_aa", "bicubic", True)


def resize(
    e: Emitter,
    x: Place,
    mode: str,
    out: tuple[int, ...],
    align_corners: bool | None = None,
    scales: Sequence[float | None] = (),
    antialias: bool = False,
) -> Place:
    """N × C × spatial axes to another size."""
    size = x.shape[2:]
    scales = list(scales) or [None] * len(size)
    matrices = [resize_matrix(n, o, mode, align_corners, s, antialias) for n, o, s in zip(size, out, scales)]
    if all(n == o and torch.equal(m, torch.eye(n)) for n, o, m in zip(size, out, matrices)):
        return x
    if len(size) == 2:
        resized = _by_layer(e, x, mode, out, align_corners, matrices)
        if resized is not None:
            return resized
    return along_axes(e, x, matrices)


def resize_matrix(
    size: int, out: int, mode: str, align_corners: bool | None, scale: float | None, antialias: bool = False
) -> torch.Tensor:
    """out × size: what PyTorch's rule makes of each unit vector."""
    if scale is not None and int(size * scale) != out:
        scale = None
    unit = torch.eye(size).reshape(1, size, size, 1)
    options: dict[str, Any] = {}
    if scale is not None:
        options.update(scale_factor=(scale, 1.0), recompute_scale_factor=False)
    else:
        options.update(size=(out, 1))
    full = {"linear": "bilinear"}.get(mode, mode)
    if full in ("bilinear", "bicubic"):
        options.update(align_corners=bool(align_corners), antialias=antialias)
    return F.interpolate(unit, mode=full, **options)[0, :, :, 0].t().contiguous()


def _by_layer(
    e: Emitter,
    x: Place,
    mode: str,
    out: tuple[int, ...],
    align_corners: bool | None,
    matrices: list[torch.Tensor],
) -> Place | None:
    """Forms of single layers: Interp, and Deconvolutions by whole factors."""
    size = x.shape[2:]
    factors = [o // n for n, o in zip(size, out)]
    whole = all(o % n == 0 for n, o in zip(size, out)) and len(set(factors)) == 1 and factors[0] > 1
    expected = [_repeating(n, f) for n, f in zip(size, factors)] if whole else []
    if whole and all(torch.equal(m, r) for m, r in zip(matrices, expected)):
        return nearest(e, x, out)
    if mode == "bilinear" and align_corners and e.dialect.has("Interp"):
        param = {"height": out[0], "width": out[1]}
        place: Place = e.layer("Interp", [x], shape=(*x.shape[:2], *out), interp_param=param)
        return place
    if mode == "bilinear" and not align_corners and whole:
        return _bilinear(e, x, out, factors[0], matrices)
    return None


def _repeating(size: int, factor: int) -> torch.Tensor:
    return torch.eye(size).repeat_interleave(factor, 0)


def nearest(e: Emitter, x: Place, out: Sequence[int]) -> Place:
    """Each pixel repeated by whole factors."""
    rows, columns = (o // n for n, o in zip(x.shape[2:], out))
    channels = x.shape[1]
    shape = (x.shape[0], channels, *out)
    if rows == columns:
        return deconvolution(e, x, torch.ones(channels, 1, rows, rows), channels, rows, shape)
    param = dict(
        num_output=channels,
        group=channels,
        bias_term=False,
        kernel_h=rows,
        kernel_w=columns,
        stride_h=rows,
        stride_w=columns,
    )
    place: Place = e.layer(
        "Deconvolution",
        [x],
        shape=shape,
        blobs=[torch.ones(channels, 1, rows, columns)],
        convolution_param=param,
    )
    return place


def _bilinear(
    e: Emitter, x: Place, out: tuple[int, ...], factor: int, matrices: list[torch.Tensor]
) -> Place | None:
    """A Deconvolution by a tent. At the border, where half of the tent's sum lies outside, the sum is made 1: PyTorch
    repeats the last pixel there, which is the same.
    """
    width = 2 * factor - factor % 2
    pad = (width - factor) // 2
    center = (width - 1) / 2
    tent = torch.tensor([1 - abs(i - center) / factor for i in range(width)], dtype=torch.float64)
    channels = x.shape[1]
    sums = []
    for size, matrix in zip(x.shape[2:], matrices):
        got = F.conv_transpose1d(
            torch.eye(size, dtype=torch.float64).unsqueeze(1),
            tent.reshape(1, 1, -1),
            stride=factor,
            padding=pad,
        )[:, 0].t()
        total = got.sum(1)
        if got.shape != matrix.shape or not torch.allclose(got / total[:, None], matrix.double(), atol=1e-6):
            return None
        sums.append(total)
    kernel = (tent[:, None] * tent).float().expand(channels, 1, width, width)
    shape = (x.shape[0], channels, *out)
    top = deconvolution(e, x, kernel, channels, factor, shape, pad, suffix="tent")
    border = (1 / (sums[0][:, None] * sums[1])).float()
    e.notes.append(f"{top.blob}: bilinear by a Deconvolution, with the sums made 1 at the border")
    return e.each(top, "Scale", blobs=[border], scale_param={"axis": 2, "num_axes": 2})


def along_axes(e: Emitter, x: Place, matrices: Sequence[torch.Tensor]) -> Place:
    """Each spatial axis times a matrix (out × size): the last by an InnerProduct, the others by 1×1 convolutions
    over that axis in the channels' place.
    """
    if max(max(m.shape) for m in matrices) > _MOST:
        raise Inexpressible(f"a map of more than {_MOST} rows is too large to be resized by matrices")
    for i, matrix in enumerate(matrices):
        axis = i + 2
        out, size = matrix.shape
        if out == size and torch.equal(matrix, torch.eye(size)):
            continue
        last = axis == len(x.shape) - 1
        shape = tuple(out if k == axis else n for k, n in enumerate(x.shape))
        suffix = "" if last else "rows"
        if last:
            param: dict[str, Any] = {"num_output": out, "axis": axis, "bias_term": False}
            x = e.layer(
                "InnerProduct", [x], suffix=suffix, shape=shape, blobs=[matrix], inner_product_param=param
            )
            continue
        inner = 1
        for n in x.shape[axis + 1 :]:
            inner *= n
        outer = 1
        for n in x.shape[:axis]:
            outer *= n
        image = e.reshaped(x, (outer, size, inner, 1))
        param = {"num_output": out, "kernel_size": [1], "bias_term": False}
        top = e.layer(
            "Convolution",
            [image],
            suffix=suffix,
            shape=(outer, out, inner, 1),
            blobs=[matrix.reshape(out, size, 1, 1)],
            convolution_param=param,
        )
        x = Place.of(e.reshaped(top, shape).blob, shape)
    return x
