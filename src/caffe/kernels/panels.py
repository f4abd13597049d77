"""Kernels in the order in which the products of ``vectors.h`` read them."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from caffe.kernels import native


def pack(values: torch.Tensor) -> torch.Tensor:
    """Groups × outputs × points × channels, as groups × panels of outputs (points × channels × the panel's width)."""
    library = native.loaded()
    lanes = library.lanes()
    parts = []
    for part in values.split(library.panel(), 1):
        whole = F.pad(part, (0, 0, 0, 0, 0, -part.shape[1] % lanes))
        parts.append(whole.permute(0, 2, 3, 1).flatten(1))
    return torch.cat(parts, 1).float()


def pack_weight(weight: torch.Tensor) -> torch.Tensor:
    """Plain kernels (outputs × channels × size × size) of one group."""
    return pack(weight.flatten(1)[None, :, None])
