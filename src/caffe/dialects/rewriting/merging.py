"""Normalizations in the kernels before them, and pairs of layers as one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from caffe.dialects import checking
from caffe.dialects.rewriting.draft import Draft, Piece, layer, renamed
from caffe.dialects.rewriting.normalizations import line_of

_NORMALIZATIONS = ("BatchNorm", "BN", "Scale")
_KERNELS = ("Convolution", "DepthwiseConvolution", "ConvolutionDepthwise", "InnerProduct", "Deconvolution")


def pair_normalizations(pieces: list[Piece], draft: Draft, report: list[str]) -> list[Piece]:
    """BatchNorm and the Scale behind it as BN, where a dialect has that and not both of them."""
    dialect = draft.dialect
    if dialect.has("BatchNorm") and dialect.has("Scale"):
        return pieces
    if not (dialect.has("BN") and dialect.takes("BN", "bn_param.slope_filler")):
        return pieces
    done = list(pieces)
    for first, second in _pairs(pieces):
        a, b = first.layer, second.layer
        if (
            a.type != "BatchNorm"
            or b.type != "Scale"
            or not b.scale_param.bias_term
            or b.scale_param.axis != 1
        ):
            continue
        p = a.batch_norm_param
        if p.relu or p.scale_bias or not p.add_eps_before_sqrt or b.scale_param.num_axes != 1:
            continue
        made = layer(b, "BN", a.name, [a.bottom[0]], [b.top[0]])
        made.bn_param.slope_filler.CopyFrom(b.scale_param.filler)
        if not b.scale_param.HasField("filler"):
            made.bn_param.slope_filler.value = 1
        made.bn_param.bias_filler.CopyFrom(b.scale_param.bias_filler)
        made.bn_param.eps = p.eps
        made.bn_param.momentum = p.moving_average_fraction
        if p.HasField("use_global_stats") and p.use_global_stats:
            made.bn_param.frozen = True
        if dialect.takes("BN", "bn_param.icnet"):
            made.bn_param.icnet = True
        elif any(m.type == "BN" and "inverse_std" in m.set for m in dialect.meanings):
            continue
        arrays = None
        if first.arrays is not None and second.arrays is not None:
            total = float(np.ravel(first.arrays[2])[0])
            values = [
                *second.arrays,
                *(np.asarray(v) / total if total else np.asarray(v) * 0 for v in first.arrays[:2]),
            ]
            shape = (1, -1, 1, 1) if made.bn_param.icnet else (1, -1)
            arrays = [np.asarray(v, np.float32).reshape(shape) for v in values]
        if any(checking.check_layer(dialect, made, draft.shapes)):
            continue
        done[done.index(first)] = Piece(made, arrays)
        done.remove(second)
        report.append(f"layers '{a.name}' (BatchNorm) and '{b.name}' (Scale): as BN")
    return done


def _pairs(pieces: list[Piece]) -> Iterator[tuple[Piece, Piece]]:
    """Each piece and the one that alone reads its first top, where that follows before the blob is made anew."""
    for i, piece in enumerate(pieces):
        if not piece.layer.top:
            continue
        blob, readers = piece.layer.top[0], []
        for other in pieces[i + 1 :]:
            if blob in other.layer.bottom:
                readers.append(other)
            if blob in other.layer.top:
                break
        if len(readers) == 1 and [*readers[0].layer.bottom] == [blob] and len(piece.layer.top) == 1:
            yield piece, readers[0]


def merge_normalizations(pieces: list[Piece], draft: Draft, report: list[str]) -> list[Piece]:
    """Normalizations that the dialect has not in the kernels of the layer before them; for TEST."""
    changed = True
    while changed:
        changed = False
        for first, second in _pairs(pieces):
            if second.layer.type not in _NORMALIZATIONS or first.layer.type not in _KERNELS:
                continue
            if not any(checking.check_layer(draft.dialect, second.layer, draft.shapes)):
                continue
            merged = _merged(first, second)
            if merged is None:
                continue
            pieces = [merged if p is first else p for p in pieces if p is not second]
            report.append(
                f"layer '{second.layer.name}' ({second.layer.type}): in the kernels of '{first.layer.name}'"
            )
            changed = True
            break
    return pieces


def _merged(first: Piece, second: Piece) -> Piece | None:
    line = line_of(second)
    if line is None or not first.arrays:
        return None
    scale, shift = line
    made = renamed(first.layer, first.layer.type)
    p = made.inner_product_param if made.type == "InnerProduct" else made.convolution_param
    if made.type != "InnerProduct" and (made.convolution_param.relu or made.convolution_param.axis != 1):
        return None
    weights = np.asarray(first.arrays[0], np.float64)
    if made.type == "Deconvolution":  # inputs × outputs of a group × kernel
        groups = made.convolution_param.group
        of_group = scale.reshape(groups, -1)
        split = weights.reshape(groups, -1, *weights.shape[1:])
        split = split * of_group.reshape(groups, 1, -1, *[1] * (weights.ndim - 2))
        weights = split.reshape(weights.shape)
    elif made.type == "InnerProduct":
        matrix = weights.reshape(weights.shape[-2:])
        if made.inner_product_param.transpose:
            weights = (matrix * scale).reshape(weights.shape)
        else:
            weights = (matrix * scale[:, None]).reshape(weights.shape)
    else:
        weights = weights * scale.reshape(-1, *[1] * (weights.ndim - 1))
    bias = np.asarray(first.arrays[1], np.float64).ravel() if len(first.arrays) > 1 else 0.0
    p.bias_term = True
    made.top[0] = second.layer.top[0]
    return Piece(made, [weights.astype(np.float32), (bias * scale + shift).astype(np.float32)])
