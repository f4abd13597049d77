"""What recurrent layers share: bottoms, tops, and the state that goes on from one forward to the next."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from caffe.blob import Shape
from caffe.proto import caffe_pb2
from caffe.tensor_layer import BlobSpec, Stateful, TensorLayer

Tensors = tuple[torch.Tensor, ...]


class Recurrent(TensorLayer):
    """A layer over sequences: T steps of N streams.

    Bottoms are x (T × N × …), cont (T × N; 0 where a sequence starts, else 1), with one more a static input
    (N × …), and with ``expose_hidden`` the states before the first step (1 × N × num_output each). Without
    ``expose_hidden`` the states after the last step are those before the first step of the next forward.
    """

    num_bottoms = (2, None)
    num_tops = (1, None)
    no_gradient = (1,)
    in_place = False
    states = 1
    """How many states a step hands to the next."""

    def __init__(self, param: caffe_pb2.LayerParameter) -> None:
        super().__init__(param)
        self._static = False

    def check(self, x: Shape, cont: Shape, *others: Shape) -> None:
        p = self.param.recurrent_param
        exposed = self.states if p.expose_hidden else 0
        least, most = 2 + exposed, 3 + exposed
        if not least <= self.bottom_count <= most:
            raise self.error(
                f"must have {least} bottoms, or {most} with a static input"
                f"{', with expose_hidden' if exposed else ''}; got {self.bottom_count}"
            )
        if self.top_count != 1 + exposed:
            raise self.error(
                f"must have {1 + exposed} tops{' with expose_hidden' if exposed else ''}; got {self.top_count}"
            )
        if p.num_output < 1:
            raise self.error(f"must be at least 1; got {p.num_output}", field="num_output")
        if len(x) < 2 or x[0] < 1:
            raise self.shape_error(f"bottom 0 must be T×N×… with at least 1 step; got shape {list(x)}")
        if cont != x[:2]:
            raise self.shape_error(
                f"bottom 1 must be {x[0]}×{x[1]}, a mark for each step and stream; got shape {list(cont)}"
            )
        self._static = self.bottom_count == most
        if self._static and (not others[0] or others[0][0] != x[1]):
            raise self.shape_error(
                f"bottom 2, the static input, must be {x[1]}×…, one row a stream; got shape {list(others[0])}"
            )
        for i, state in enumerate(others[self._static :], 2 + self._static):
            if state != (1, x[1], p.num_output):
                raise self.shape_error(
                    f"bottom {i}, a state, must be 1×{x[1]}×{p.num_output}; got shape {list(state)}"
                )
        for i, spec in enumerate(self.declare(x, cont, *others) if len(self.blobs) else ()):
            if self.blobs[i].shape != spec.shape:
                raise self.shape_error(
                    f"bottoms of shape {list(x)} … need a parameter {i} of shape {list(spec.shape)}; the layer has"
                    f" {list(self.blobs[i].shape)}",
                    fix="Keep the input size that the net was built for",
                )

    def inputs(self, width: int, x: Shape, others: Sequence[Shape]) -> list[BlobSpec]:
        """The parameters that take x, and the static input, to ``width`` values a step."""
        p = self.param.recurrent_param
        specs = [
            BlobSpec((width, math.prod(x[2:])), p.weight_filler),
            BlobSpec((width,), p.bias_filler),
        ]
        if self._static:
            specs.append(BlobSpec((width, math.prod(others[0][1:])), p.weight_filler))
        return specs

    def carries(self, x: Shape, cont: Shape, *others: Shape) -> list[Shape]:
        p = self.param.recurrent_param
        return [] if p.expose_hidden else [(x[1], p.num_output)] * self.states

    def infer(self, *shapes: Shape) -> Sequence[Shape]:
        # of one step, however many there are: top 0 alone has them all
        x, cont, *others = shapes
        top, *states = super().infer((1, *x[1:]), (1, *cont[1:]), *others)
        return [(x[0], *top[1:]), *states]

    def reset(self) -> None:
        """Forget the states: the next forward starts from zeros."""
        self.carried = ()

    def compute(self, x: torch.Tensor, cont: torch.Tensor, *rest: torch.Tensor) -> Tensors | Stateful:
        p = self.param.recurrent_param
        others, rest = rest[: self.bottom_count - 2], rest[self.bottom_count - 2 :]
        params, carried = rest[: len(self.blobs)], rest[len(self.blobs) :]
        weight, bias = params[:2]
        drive = torch.nn.functional.linear(x.flatten(2) if x.dim() > 2 else x.unsqueeze(2), weight, bias)
        if self._static:
            drive = drive + torch.nn.functional.linear(_rows(others[0]), params[2])
        if p.expose_hidden:
            # The original passes no gradient through exposed states.
            state: Tensors = tuple(s[0].detach() for s in others[self._static :])
        else:
            state = self._initial(x, p.num_output, carried)
        y, state = self.steps(drive, cont.unsqueeze(-1), state, params[2 + self._static :])
        state = tuple(s.detach() for s in state)
        return (y, *(s.unsqueeze(0) for s in state)) if p.expose_hidden else Stateful(y, state)

    def _initial(self, x: torch.Tensor, width: int, carried: Tensors) -> Tensors:
        if len(carried) == self.states and carried[0].shape == (x.shape[1], width):
            return tuple(s.to(x) for s in carried)
        return tuple(x.new_zeros(x.shape[1], width) for _ in range(self.states))

    def steps(
        self, drive: torch.Tensor, cont: torch.Tensor, state: Tensors, params: Sequence[torch.Tensor]
    ) -> tuple[torch.Tensor, Tensors]:
        """Outputs (T × N × num_output) and the last states (N × num_output each).

        drive (T × N × width) is what the inputs bring to each step, cont is T × N × 1.
        """
        raise self.error("has no steps()")


def _rows(x: torch.Tensor) -> torch.Tensor:
    return x.flatten(1) if x.dim() > 1 else x.unsqueeze(1)
