"""Enlarged images: interpolation and repeated pixels as Deconvolution, and back."""

from __future__ import annotations

import numpy as np

from caffe.dialects.rewriting.convolutions import bilinear, repeated
from caffe.dialects.rewriting.draft import Draft, Piece, layer, rewrites, step, without_values


@rewrites("Interp", says="as Deconvolution with bilinear weights")
def interp(piece: Piece, draft: Draft) -> list[Piece] | None:
    of, p = piece.layer, piece.layer.interp_param
    before, after = draft.shape(of.bottom[0]), draft.shape(of.top[0])
    if before is None or after is None or p.pad_beg or p.pad_end or p.mode != p.BILINEAR:
        return None
    zoom = _zoom(before[2:], after[2:])
    if zoom is None:
        return None
    return [bilinear(of, piece, of.bottom[0], of.top[0], before[1], zoom)]


def _zoom(before: tuple[int, ...], after: tuple[int, ...]) -> int | None:
    """The factor with which the distances between the corners grew, if it is one whole number."""
    zooms = set()
    for small, large in zip(before, after):
        if small == large == 1:
            continue
        if small < 2 or (large - 1) % (small - 1):
            return None
        zooms.add((large - 1) // (small - 1))
    zoom = zooms.pop() if len(zooms) == 1 else None
    return zoom if zoom and zoom > 1 else None


@rewrites("Upsample", says="as UpsampleDarknet")
def upsample_as_darknet(piece: Piece, draft: Draft) -> list[Piece] | None:
    zoom = _repeats(piece, draft)
    if zoom is None:
        return None
    made = step(piece.layer, "UpsampleDarknet", piece.layer.bottom[0], piece.layer.top[0])
    made.upsample_darknet_param.stride = zoom
    return without_values(made)


@rewrites("UpsampleDarknet", says="as Upsample with one bottom")
def darknet_as_upsample(piece: Piece, draft: Draft) -> list[Piece]:
    made = step(piece.layer, "Upsample", piece.layer.bottom[0], piece.layer.top[0])
    made.upsample_param.scale = piece.layer.upsample_darknet_param.stride
    return without_values(made)


@rewrites("Upsample", "UpsampleDarknet", says="as Deconvolution with weights of 1")
def repeat(piece: Piece, draft: Draft) -> list[Piece] | None:
    of = piece.layer
    zoom, before = _repeats(piece, draft), draft.shape(of.bottom[0])
    if zoom is None or before is None:
        return None
    return [repeated(of, piece, of.bottom[0], of.top[0], before[1], zoom)]


@rewrites("Resample", "ResizeNearestNeighbor", says="as Deconvolution with weights of 1")
def repeat_nearest(piece: Piece, draft: Draft) -> list[Piece] | None:
    of = piece.layer
    if of.type == "Resample":
        nearest = of.resample_param.type == of.resample_param.NEAREST
    else:
        p = of.resize_nearest_neighbor_param
        nearest = p.data_format == "NCHW" and not p.align_corners and not p.half_pixel_centers
    before, after = draft.shape(of.bottom[0]), draft.shape(of.top[0])
    if not nearest or before is None or after is None or len(of.bottom) > 1:
        return None
    if after[2] % before[2] or after[3] % before[3] or after[2] // before[2] != after[3] // before[3]:
        return None
    return [repeated(of, piece, of.bottom[0], of.top[0], before[1], after[2] // before[2])]


@rewrites("Deconvolution", says="as Interp")
def deconvolution_as_interp(piece: Piece, draft: Draft) -> list[Piece] | None:
    of, p = piece.layer, piece.layer.convolution_param
    if p.bias_term or not piece.arrays or len(p.kernel_size) != 1 or len(p.stride) != 1:
        return None
    zoom, weights = p.stride[0], np.asarray(piece.arrays[0])
    line = 1 - np.abs(np.arange(2 * zoom - 1) - (zoom - 1)) / zoom
    kernel = np.outer(line, line)
    if (
        list(p.pad) != [zoom - 1]
        or p.group != p.num_output
        or weights.shape[1:] != (1, *kernel.shape)
        or not np.allclose(weights, kernel, rtol=0, atol=1e-6)
    ):
        return None
    made = layer(of, "Interp", of.name, [*of.bottom], [*of.top])
    made.interp_param.zoom_factor = zoom
    return without_values(made)


@rewrites("Deconvolution", says="as an Upsample that repeats pixels")
def deconvolution_as_upsample(piece: Piece, draft: Draft) -> list[Piece] | None:
    of, p = piece.layer, piece.layer.convolution_param
    if (
        p.bias_term
        or not piece.arrays
        or p.pad
        or len(p.kernel_size) != 1
        or list(p.stride) != [*p.kernel_size]
    ):
        return None
    weights = np.asarray(piece.arrays[0])
    if p.group != p.num_output or weights.shape[1] != 1 or not (weights == 1).all():
        return None
    made = layer(of, "Upsample", of.name, [*of.bottom], [*of.top])
    made.upsample_param.scale = p.stride[0]
    return without_values(made)


def _repeats(piece: Piece, draft: Draft) -> int | None:
    """How often an Upsample repeats each pixel in both directions, if that is what it does."""
    of = piece.layer
    if of.type == "UpsampleDarknet":
        return of.upsample_darknet_param.stride
    p = of.upsample_param
    before, after = draft.shape(of.bottom[0]), draft.shape(of.top[0])
    if len(of.bottom) > 1 or (p.HasField("mode") and p.mode != p.NEAREST):
        return None
    if before is None or after is None:
        return p.scale if p.HasField("scale") else None
    if after[2] % before[2] or after[3] % before[3] or after[2] // before[2] != after[3] // before[3]:
        return None
    return after[2] // before[2]
