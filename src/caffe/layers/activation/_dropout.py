"""Values dropped at random."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def dropout(x: torch.Tensor, ratio: float) -> torch.Tensor:
    """x with a random share of its values zero and the others divided by 1 - ratio; 0 ≤ ratio < 1."""
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        return F.dropout(x, ratio)
    # whole numbers, as the original draws them: torch's own CPU dropout takes several times as long for its draws
    drawn = torch.empty_like(x, dtype=torch.int32).random_()
    return x * (drawn >= round(ratio * 2**31)).to(x.dtype).div_(1 - ratio)
