"""LSTMUnit."""

from __future__ import annotations

import torch

from caffe.blob import Shape
from caffe.tensor_layer import TensorLayer


def lstm_step(
    cell: torch.Tensor, gates: torch.Tensor, cont: torch.Tensor, axis: int = -1
) -> tuple[torch.Tensor, torch.Tensor]:
    """Next cell and hidden state from cell (… × D), unsquashed gates (… × 4D: i, f, o, g) and cont (… × 1).

    D may be the size of another ``axis``.
    """
    width = cell.shape[axis]
    squashed, new = gates.split((3 * width, width), axis)
    i, f, o = squashed.sigmoid().split(width, axis)
    cell = torch.addcmul(i * new.tanh(), f * cont, cell)
    return cell, o * cell.tanh()


class LSTMUnit(TensorLayer):
    """The part of one LSTM step that has no parameters.

    With i, f, o = sigmoid of the first three quarters of the gates and g = tanh of the last one:
    c′ = cont·f·c + i·g, h′ = o·tanh(c′).

    bottom: c (1 × N × D), gates (1 × N × 4D), cont (1 × N; 0 where a sequence starts, else 1; without
    gradient).
    top: c′ (1 × N × D), h′ (1 × N × D).
    Differs from Caffe: nothing known. Source: BVLC ``LSTMUnit``; Hochreiter & Schmidhuber 1997.
    """

    num_bottoms = 3
    num_tops = 2
    no_gradient = (2,)

    def check(self, cell: Shape, gates: Shape, cont: Shape) -> None:
        if len(cell) != 3 or cell[0] != 1:
            raise self.shape_error(f"bottom 0, the cell, must be 1×N×D; got shape {list(cell)}")
        _, count, width = cell
        if gates != (1, count, 4 * width):
            raise self.shape_error(
                f"bottom 1, the gates, must be 1×{count}×{4 * width}; got shape {list(gates)}"
            )
        if cont != (1, count):
            raise self.shape_error(f"bottom 2, the continuation, must be 1×{count}; got shape {list(cont)}")

    def compute(
        self, cell: torch.Tensor, gates: torch.Tensor, cont: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return lstm_step(cell, gates, cont.unsqueeze(-1))
