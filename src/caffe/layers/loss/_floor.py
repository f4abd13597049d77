"""A limit from below that lets the gradient through."""

from __future__ import annotations

from typing import Any

import torch


class _Floor(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, least: float) -> torch.Tensor:
        return x.clamp(min=least)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        return grads[0], None


def at_least(x: torch.Tensor, least: float) -> torch.Tensor:
    """max(x, least), with the gradient of x everywhere: how the original keeps logarithms finite."""
    y: torch.Tensor = _Floor.apply(x, least)  # type: ignore[no-untyped-call]
    return y
