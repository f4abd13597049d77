"""Numbers of fixed point: ``il`` bits before the point, its sign one of them, and ``fl`` behind it.

The layers of ICT-CHASE/On-accelerator-training compute with them forward; gradients pass the rounding unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from caffe.layer import Layer


@dataclass(frozen=True)
class FixedPoint:
    """A format: multiples of 2^-fl from -2^(il - 1) on to below 2^(il - 1)."""

    il: int
    fl: int

    def round(self, x: torch.Tensor) -> torch.Tensor:
        """x to the nearest number of the format, the lower of two; its gradient is the result's."""
        steps, most = 2.0**self.fl, 2.0 ** (self.il + self.fl - 1)
        return passing(x, (x.detach() * steps - 0.5).ceil().clamp(-most, most - 1) / steps)


@dataclass(frozen=True)
class Formats:
    """Those of a layer with weights."""

    weights: FixedPoint
    input: FixedPoint
    output: FixedPoint

    @property
    def bias(self) -> FixedPoint:
        """The biases' format, that of the products."""
        return FixedPoint(self.weights.il + self.input.il, self.weights.fl + self.input.fl)

    def result(self, sums: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """Sums of products cut off, plus the bias (shaped to go with them), rounded."""
        most = 2.0 ** (self.bias.il - 1)
        y = passing(sums, sums.detach().clamp(-most, most))
        return self.output.round(y if bias is None else y + self.bias.round(bias))


def read_formats(layer: Layer) -> Formats:
    """The formats that a layer's ``qcodeconfig`` gives, in order: weights, input, output.

    Raises LayerError where one has no bits, or too many.
    """
    given = layer.param.qcodeconfig
    formats = [FixedPoint(2, 6), FixedPoint(3, 5), FixedPoint(3, 5)]  # the fork's, where the file is silent
    for i, config in enumerate(given[:3]):
        if config.fl < 0 or not 1 <= config.il + config.fl <= 24:
            raise layer.error(
                f"must have fl of at least 0, and il + fl from 1 to 24; got il {config.il} and fl {config.fl}",
                field="qcodeconfig",
            )
        formats[i] = FixedPoint(config.il, config.fl)
    if formats[0].il + formats[1].il < 1:
        raise layer.error(
            f"il of weights and input must be at least 1 together; got {formats[0].il} and {formats[1].il}",
            field="qcodeconfig",
        )
    return Formats(*formats)


def passing(x: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """``value``, whose gradient goes to x as it is."""
    y: torch.Tensor = _Passing.apply(x, value)  # type: ignore[no-untyped-call]
    return y


class _Passing(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        return value

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        return grads[0], None
