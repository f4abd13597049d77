"""RNN."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from caffe.blob import Shape
from caffe.layers.recurrent._recurrent import Recurrent, Tensors
from caffe.tensor_layer import BlobSpec


class RNN(Recurrent):
    """A plain recurrent network over T steps of N streams, with an output layer.

    Each step, with h zero where cont is 0: h = tanh(W_x·x + W_s·static + b + W_h·h), y = tanh(W_o·h + b_o).

    bottom: x (T × N × …), cont (T × N; 0 where a sequence starts, else 1; without gradient), optionally
    static (N × …), and with ``expose_hidden`` h₀ (1 × N × D), where D = ``num_output``.
    top: y of every step (T × N × D), and with ``expose_hidden`` the last h (1 × N × D), which passes no
    gradient.
    blobs: W_x (D × I), b (D), W_s (D × S) with a static input, W_h (D × D), W_o (D × D), b_o (D).
    Without ``expose_hidden`` the last state of a forward is the first one of the next, unless cont is 0
    there.
    Differs from Caffe: the number of steps may change between forwards.
    Source: BVLC ``RNN``; Elman 1990; Donahue et al. 2015.
    """

    reads = {"recurrent_param": "*"}

    def declare(self, x: Shape, cont: Shape, *others: Shape) -> list[BlobSpec]:
        p = self.param.recurrent_param
        square = (p.num_output, p.num_output)
        return [
            *self.inputs(p.num_output, x, others),
            BlobSpec(square, p.weight_filler),
            BlobSpec(square, p.weight_filler),
            BlobSpec((p.num_output,), p.bias_filler),
        ]

    def steps(
        self, drive: torch.Tensor, cont: torch.Tensor, state: Tensors, params: Sequence[torch.Tensor]
    ) -> tuple[torch.Tensor, Tensors]:
        (hidden,) = state
        weight, weight_out, bias_out = params
        weight = weight.t()
        outputs = []
        for step, go_on in zip(drive.unbind(), cont.unbind()):
            hidden = torch.addmm(step, hidden * go_on, weight).tanh()
            outputs.append(hidden)
        return F.linear(torch.stack(outputs), weight_out, bias_out).tanh(), (hidden,)
