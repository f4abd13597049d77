"""Convolutions: depthwise ones under their names, a fused ReLU, old fields."""

from __future__ import annotations

import numpy as np

from caffe.dialects.rewriting.draft import Draft, Layer, Piece, renamed, rewrites, step

_NAMES = ("DepthwiseConvolution", "ConvolutionDepthwise")


@rewrites("ConvolutionDepthwise", says="as Convolution with a group for each channel")
def depthwise(piece: Piece, draft: Draft) -> list[Piece] | None:
    channels = _channels(piece, draft)
    if channels is None:
        return None
    made = renamed(piece.layer, "Convolution")
    p = made.convolution_param
    if p.num_output % channels:
        p.num_output = channels  # as the layer itself does
    p.group = channels
    return [Piece(made, piece.arrays)]


@rewrites("DepthwiseConvolution", says="as Convolution with groups")
def depthwise_by_name(piece: Piece, draft: Draft) -> list[Piece]:
    return [Piece(renamed(piece.layer, "Convolution"), piece.arrays)]


@rewrites("Convolution", "DepthwiseConvolution", says="as the layer for depthwise convolution")
def grouped(piece: Piece, draft: Draft) -> list[Piece] | None:
    p, channels = piece.layer.convolution_param, _channels(piece, draft)
    name = next((n for n in reversed(_NAMES) if draft.dialect.has(n) and n != piece.layer.type), None)
    if name is None or p.group < 2 or p.group != channels or p.axis != 1:
        return None
    if name == "DepthwiseConvolution" and p.num_output != channels:
        return None
    return [Piece(renamed(piece.layer, name), piece.arrays)]


@rewrites("Convolution", "ConvolutionDepthwise", "DepthwiseConvolution", says="with a ReLU behind it")
def fused_relu(piece: Piece, draft: Draft) -> list[Piece] | None:
    p = piece.layer.convolution_param
    if not p.relu:
        return None
    sums = draft.between(piece.layer, "sums", draft.shape(piece.layer.top[0]))
    made, behind = renamed(piece.layer, piece.layer.type), step(piece.layer, "ReLU", sums, piece.layer.top[0])
    made.top[0] = sums
    behind.name = draft.unique(f"{piece.layer.name}_relu")  # the weights stay under the layer's name
    behind.relu_param.negative_slope = p.negative_slope
    made.convolution_param.ClearField("relu")
    made.convolution_param.ClearField("negative_slope")
    return [Piece(made, piece.arrays), Piece(behind, [])]


@rewrites("Convolution", says="with dilation for hole")
def holes(piece: Piece, draft: Draft) -> list[Piece] | None:
    p = piece.layer.convolution_param
    if not (p.hole or p.HasField("hole_h") or p.HasField("hole_w")) or p.dilation:
        return None
    made = renamed(piece.layer, "Convolution")
    sides = list(p.hole) or [p.hole_h, p.hole_w]
    made.convolution_param.dilation.extend(sides if len(set(sides)) > 1 else sides[:1])
    for field in ("hole", "hole_h", "hole_w"):
        made.convolution_param.ClearField(field)  # type: ignore[arg-type]
    return [Piece(made, piece.arrays)]


@rewrites("Convolution", "Deconvolution", says="with equal padding of both sides")
def sides(piece: Piece, draft: Draft) -> list[Piece] | None:
    p = piece.layer.convolution_param
    if not any(p.HasField(f"pad_{s}") for s in "lrtb") or p.pad_type:  # type: ignore[arg-type]
        return None
    if p.pad_l != p.pad_r or p.pad_t != p.pad_b:
        return None
    made = renamed(piece.layer, piece.layer.type)
    new = made.convolution_param
    for field in ("pad", "pad_h", "pad_w", "pad_l", "pad_r", "pad_t", "pad_b"):
        new.ClearField(field)  # type: ignore[arg-type]
    new.pad_h, new.pad_w = p.pad_t, p.pad_l
    return [Piece(made, piece.arrays)]


def bilinear(of: Layer, piece: Piece, bottom: str, top: str, channels: int, zoom: int) -> Piece:
    """Deconvolution with a triangle's weights: corners aligned, (n - 1) · zoom + 1 pixels of n."""
    line = 1 - np.abs(np.arange(2 * zoom - 1) - (zoom - 1)) / zoom
    return _fixed_deconvolution(
        of, piece, bottom, top, channels, np.outer(line, line), zoom, zoom - 1, "bilinear"
    )


def repeated(of: Layer, piece: Piece, bottom: str, top: str, channels: int, zoom: int) -> Piece:
    """Deconvolution that repeats every pixel ``zoom`` times in both directions."""
    return _fixed_deconvolution(of, piece, bottom, top, channels, np.ones((zoom, zoom)), zoom, 0, "constant")


def _fixed_deconvolution(
    of: Layer,
    piece: Piece,
    bottom: str,
    top: str,
    channels: int,
    kernel: np.ndarray,
    stride: int,
    pad: int,
    filler: str,
) -> Piece:
    made = step(of, "Deconvolution", bottom, top)
    p = made.convolution_param
    p.num_output = p.group = channels
    p.bias_term = False
    p.kernel_size.append(len(kernel))
    p.stride.append(stride)
    if pad:
        p.pad.append(pad)
    p.weight_filler.type = filler
    if filler == "constant":
        p.weight_filler.value = 1
    made.param.add(lr_mult=0, decay_mult=0)
    weights = np.broadcast_to(kernel, (channels, 1, *kernel.shape)).astype(np.float32)
    return Piece(made, None if piece.arrays is None else [weights])


def _channels(piece: Piece, draft: Draft) -> int | None:
    shape = draft.shape(piece.layer.bottom[0])
    if shape is not None and len(shape) > 1:
        return shape[1]
    if piece.layer.type == "ConvolutionDepthwise" and piece.arrays:
        outputs = piece.arrays[0].shape[0]
        return outputs if outputs == piece.layer.convolution_param.num_output else None
    return None
