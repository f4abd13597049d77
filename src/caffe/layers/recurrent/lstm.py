"""LSTM."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from caffe.blob import Shape
from caffe.layers.recurrent._fork_lstm import Lstm
from caffe.layers.recurrent._recurrent import Recurrent, Tensors
from caffe.layers.recurrent.lstm_unit import lstm_step
from caffe.tensor_layer import BlobSpec

__all__ = ["LSTM", "Lstm"]


class LSTM(Recurrent):
    """Long short-term memory over T steps of N streams.

    Each step, with h and c zero where cont is 0 and D = ``num_output``: (i, f, o, g) = W_x·x + W_s·static + b
    + W_h·h, i, f, o through a sigmoid and g through tanh; c = f·c + i·g; h = o·tanh(c).

    bottom: x (T × N × …), cont (T × N; 0 where a sequence starts, else 1; without gradient), optionally
    static (N × …), and with ``expose_hidden`` h₀ and c₀ (1 × N × D).
    top: h of every step (T × N × D), and with ``expose_hidden`` the last h and c (1 × N × D), which pass no
    gradient.
    blobs: W_x (4D × I), b (4D), W_s (4D × S) with a static input, W_h (4D × D).
    Without ``expose_hidden`` the last states of a forward are the first ones of the next, unless cont is 0
    there.
    Differs from Caffe: the number of steps may change between forwards.
    Source: BVLC ``LSTM``; Hochreiter & Schmidhuber 1997; Donahue et al. 2015.
    """

    states = 2
    reads = {"recurrent_param": "*", "lstm_param": "*"}

    def declare(self, x: Shape, cont: Shape, *others: Shape) -> list[BlobSpec]:
        p = self.param.recurrent_param
        width = 4 * p.num_output
        return [*self.inputs(width, x, others), BlobSpec((width, p.num_output), p.weight_filler)]

    def steps(
        self, drive: torch.Tensor, cont: torch.Tensor, state: Tensors, params: Sequence[torch.Tensor]
    ) -> tuple[torch.Tensor, Tensors]:
        hidden, cell = state
        weight = params[0].t()
        outputs = []
        for gates, go_on in zip(drive.unbind(), cont.unbind()):
            cell, hidden = lstm_step(cell, torch.addmm(gates, hidden * go_on, weight), go_on)
            outputs.append(hidden)
        return torch.stack(outputs), (hidden, cell)
