"""Batch normalization in one layer or two."""

from __future__ import annotations

import numpy as np

from caffe.dialects.rewriting.draft import Array, Draft, Layer, Piece, constants, layer, renamed, rewrites
from caffe.layers.normalization.bn import BN


@rewrites("BN", says="as BatchNorm and Scale")
def bn(piece: Piece, draft: Draft) -> list[Piece] | None:
    of, p = piece.layer, piece.layer.bn_param
    arrays: list[Array] | None = None
    if piece.arrays is not None:
        arrays = [np.asarray(a).ravel() for a in piece.arrays]
    if len(of.top) > 1:
        return None
    if p.bn_mode == p.INFERENCE:
        return [Piece(_scale(of, of.name, of.bottom[0]), arrays)]
    layout = BN(of).layout
    normal = draft.between(of, "normal", draft.shape(of.top[0]))
    first = layer(of, "BatchNorm", normal, [of.bottom[0]], [normal])
    first.batch_norm_param.eps = layout.eps
    if layout.statistics:
        first.batch_norm_param.moving_average_fraction = layout.momentum
    if layout.frozen or not layout.statistics:
        first.batch_norm_param.use_global_stats = layout.frozen
    for _ in range(3):
        first.param.add(lr_mult=0, decay_mult=0)
    pieces = [Piece(first, None), Piece(_scale(of, of.name, normal, layout.frozen), None)]
    if arrays is None:
        return pieces
    count = len(arrays[0])
    mean: Array = np.zeros(count)
    variance: Array = np.ones(count)
    if layout.statistics:
        mean, variance = arrays[2], arrays[3]
        if p.inverse_std:
            variance = 1 / np.asarray(variance, np.float64) ** 2 - layout.eps
    pieces[0].arrays = constants(mean, variance, np.ones(1))
    pieces[1].arrays = constants(arrays[0], arrays[1])
    return pieces


def _scale(of: Layer, name: str, bottom: str, frozen: bool = False) -> Layer:
    made = layer(of, "Scale", name, [bottom], [of.top[0]])
    made.scale_param.bias_term = True
    for i in range(2):
        spec = made.param.add()
        if frozen:
            spec.lr_mult = spec.decay_mult = 0
        elif i < len(of.param):
            spec.CopyFrom(of.param[i])
    return made


@rewrites("BatchNorm", says="as BatchNorm and Scale")
def scaled_batch_norm(piece: Piece, draft: Draft) -> list[Piece] | None:
    """NVIDIA's with five blobs, and Intel's with a ReLU."""
    of, p = piece.layer, piece.layer.batch_norm_param
    learned = p.scale_bias or p.HasField("scale_filler") or (
        p.HasField("bias_filler") and not p.HasField("filler")
    )  # fmt: skip
    if not (learned or p.relu) or not p.add_eps_before_sqrt:
        return None
    first = renamed(of, "BatchNorm")
    new = first.batch_norm_param
    for field in ("scale_bias", "scale_filler", "bias_filler", "relu", "filler"):
        new.ClearField(field)  # type: ignore[arg-type]
    del first.param[:]
    pieces = [Piece(first, None if piece.arrays is None else list(piece.arrays[:3]))]
    if learned:
        new.eps = max(p.eps, 1e-5)
        normal = draft.between(of, "normal", draft.shape(of.top[0]))
        first.top[0] = normal
        behind = layer(of, "Scale", draft.unique(f"{of.name}_scale"), [normal], [of.top[0]])
        behind.scale_param.bias_term = True
        pieces.append(Piece(behind, None if piece.arrays is None else list(piece.arrays[3:])))
    if p.relu:
        sums = draft.between(of, "sums", draft.shape(of.top[0]))
        pieces[-1].layer.top[0] = sums
        pieces.append(Piece(layer(of, "ReLU", draft.unique(f"{of.name}_relu"), [sums], [of.top[0]]), []))
    return pieces


def line_of(piece: Piece) -> tuple[Array, Array] | None:
    """s and t (C each, float64) of y = s·x + t, for a normalization by known statistics or a Scale by channel."""
    of = piece.layer
    if piece.arrays is None:
        return None
    arrays = [np.asarray(a, np.float64).ravel() for a in piece.arrays]
    if of.type == "BatchNorm" and len(arrays) in (3, 5):
        p = of.batch_norm_param
        if p.relu or (p.HasField("use_global_stats") and not p.use_global_stats and len(arrays) == 3):
            return None
        total = arrays[2][0]
        mean, variance = (a / total if total else a * 0 for a in arrays[:2])
        eps = max(p.eps, 1e-5) if len(arrays) == 5 else p.eps
        root = np.sqrt(variance + eps) if p.add_eps_before_sqrt else np.sqrt(variance) + eps
        scale, shift = (arrays[3], arrays[4]) if len(arrays) == 5 else (1.0, 0.0)
        return scale / root, shift - mean * scale / root
    if of.type == "BN" and len(of.top) == 1:
        if of.bn_param.bn_mode == of.bn_param.INFERENCE:
            return arrays[0], arrays[1]
        layout = BN(of).layout
        if not layout.statistics:
            return None
        inverse = arrays[3] if of.bn_param.inverse_std else 1 / np.sqrt(arrays[3] + layout.eps)
        return arrays[0] * inverse, arrays[1] - arrays[2] * arrays[0] * inverse
    if (
        of.type == "Scale"
        and len(of.bottom) == 1
        and of.scale_param.axis == 1
        and of.scale_param.num_axes == 1
    ):
        return arrays[0], arrays[1] if len(arrays) > 1 else np.zeros_like(arrays[0])
    return None
