"""Lstm, of caffe-lstm, CTPN and caffe_ocr; found through lstm.py, as its name differs from LSTM by case
only."""

from __future__ import annotations

import math
from typing import Any

import torch

from caffe.blob import Shape
from caffe.tensor_layer import BlobSpec, TensorLayer


class _ClipGradient(torch.autograd.Function):
    """x itself; its gradient is cut to [-limit, limit]."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, limit: float) -> torch.Tensor:
        ctx.limit = limit
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        return grads[0].clamp(-ctx.limit, ctx.limit), None


class Lstm(TensorLayer):
    """Long short-term memory: (i, f, o, g) = W·x + U·h + b, c = σ(f)·c + σ(i)·tanh(g), h = σ(o)·tanh(c).

    h and c are 0 at the first step, and where ``clip`` is 0. Gradients at (i, f, o, g) are cut to
    ±clipping_threshold where that is above 0.

    bottom: x (T × N × …, or T·N × I with N the ``batch_size``); optionally clip (T·N values: 0 where a
    sequence starts, else 1). top: h (T × N × num_output, or T·N × num_output).
    blobs: W (4·num_output × I), U (4·num_output × num_output), b (4·num_output).
    Differs from Caffe: the state is not carried from one forward to the next.
    Source: junhyukoh/caffe-lstm, tianzhi0549/CTPN; Hochreiter & Schmidhuber 1997.
    """

    num_bottoms = (1, 2)
    no_gradient = (1,)
    origin = "caffe-lstm (junhyukoh/caffe-lstm)"
    reads = {"lstm_param": "*"}
    in_place = False

    def _sizes(self, shape: Shape) -> tuple[int, int, int]:
        """Steps, streams and inputs."""
        if len(shape) > 2:
            return shape[0], shape[1], math.prod(shape[2:])
        streams = self.param.lstm_param.batch_size
        return shape[0] // streams, streams, shape[1]

    def check(self, x: Shape, clip: Shape | None = None) -> None:
        p = self.param.lstm_param
        for field in ("num_output", "batch_size"):
            if getattr(p, field) < 1:
                raise self.error(f"must be at least 1; got {getattr(p, field)}", field=field)
        if len(x) < 2 or (len(x) == 2 and x[0] % p.batch_size):
            raise self.shape_error(
                f"bottom 0 must be T×N×… or T·N×I with N = batch_size {p.batch_size}; got shape {list(x)}"
            )
        steps, streams, _ = self._sizes(x)
        if clip is not None and math.prod(clip) != steps * streams:
            raise self.shape_error(f"bottom 1 must hold {steps}·{streams} values; got shape {list(clip)}")

    def declare(self, x: Shape, *clip: Shape) -> list[BlobSpec]:
        p = self.param.lstm_param
        width = 4 * p.num_output
        return [
            BlobSpec((width, self._sizes(x)[2]), p.weight_filler),
            BlobSpec((width, p.num_output), p.weight_filler),
            BlobSpec((width,), p.bias_filler),
        ]

    def compute(self, x: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
        p = self.param.lstm_param
        clip, (from_input, from_state, bias) = others[:-3], others[-3:]
        steps, streams, inputs = self._sizes(tuple(x.shape))
        shape = (*x.shape[:2], p.num_output) if x.dim() > 2 else (x.shape[0], p.num_output)
        if x.is_meta:
            return x.new_empty(shape)
        goes_on = clip[0].reshape(steps, streams, 1) if clip else None
        gates = torch.nn.functional.linear(x.reshape(steps, streams, inputs), from_input, bias)
        h = c = x.new_zeros(streams, p.num_output)
        hidden = []
        for step in range(steps):
            if goes_on is not None and step:
                h, c = h * goes_on[step], c * goes_on[step]
            pre = gates[step] + h @ from_state.t()
            if p.clipping_threshold > 0:
                pre = _ClipGradient.apply(pre, p.clipping_threshold)  # type: ignore[no-untyped-call]
            i, f, o, g = pre.chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            hidden.append(h)
        return torch.stack(hidden).reshape(shape) if hidden else x.new_zeros(shape)
