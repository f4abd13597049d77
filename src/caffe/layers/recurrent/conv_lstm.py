"""ConvLSTM."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
import torch.nn.functional as F

from caffe.blob import Shape
from caffe.layers.recurrent.lstm_unit import lstm_step
from caffe.proto import caffe_pb2
from caffe.tensor_layer import BlobSpec, Stateful, TensorLayer

_STATES = {"h": 0, "c": 1}


class ConvLSTM(TensorLayer):
    """Long short-term memory over T steps of N streams of maps: the products of an LSTM are convolutions.

    Each step, with h zero where cont is 0 and D = ``num_output``: (i, f, o, g) = W_x ∗ x + W_s ∗ static +
    W_h ∗ h + b + (p_i·c, p_f·c, p_o·c, 0), i, f, o through a sigmoid and g through tanh; c = f·c + i·g, f zero
    where cont is 0; h = o·tanh(c). All p take c before the step, also p_o, and where cont is 0.

    ``lstm_conv_param``: one for x and h, or two with ``type`` "input" and "hidden". ``lstm_debug_param``:
    p has the sizes of ``num_axes_hadamard`` axes from ``axis_hadamard`` (H × W), or there is none
    (``disable_hadamard``); without x (``ignore_x``); ``expose`` "c_t=K" or "h_t=K", the states after step K.

    bottom: x (T × N × C × H × W), cont (T × N; 0 where a sequence starts, else 1; without gradient), optionally
    static (1 × N × S × H × W), and with ``expose_hidden`` h₀ and c₀ (1 × N × D × H × W).
    top: h of every step (T × N × D × H × W), each exposed state, and with ``expose_hidden`` the last h and c
    (1 × N × D × H × W); all pass gradients.
    blobs: W_x (4D × C × kernel), W_s (4D × S × kernel) with a static input, W_h (4D × D × kernel), b (4D) with
    ``bias_term``, p_i, p_f, p_o (H × W).
    Without ``expose_hidden`` the last states of a forward are the first ones of the next.
    Differs from Caffe: the number of steps may change between forwards; a static input works for N > 1.
    Source: DengPingFan/DAVSOD ``ConvLSTM`` (S. Agethen's); Shi et al. 2015.
    """

    origin = "DAVSOD (DengPingFan/DAVSOD)"
    reads = {
        "recurrent_param": "expose_hidden",
        "lstm_conv_param": (
            "num_output bias_term pad kernel_size stride dilation group weight_filler bias_filler type"
        ),
        "lstm_debug_param": "*",
    }
    num_bottoms = (2, 5)
    num_tops = (1, None)
    no_gradient = (1,)
    in_place = False

    def check(self, x: Shape, cont: Shape, *others: Shape) -> None:
        self._read()
        p, debug = self.param.recurrent_param, self.param.lstm_debug_param
        exposed = 2 if p.expose_hidden else 0
        least, tops = 2 + exposed, 1 + exposed + len(debug.expose)
        if not least <= self.bottom_count <= least + 1:
            raise self.error(
                f"must have {least} bottoms, or {least + 1} with a static input; got {self.bottom_count}"
            )
        if self.top_count != tops:
            raise self.error(f"must have {tops} tops; got {self.top_count}")
        if len(x) != 5 or x[0] < 1:
            raise self.shape_error(f"bottom 0 must be T×N×C×H×W with at least 1 step; got shape {list(x)}")
        if cont != x[:2]:
            raise self.shape_error(
                f"bottom 1 must be {x[0]}×{x[1]}, a mark for each step and stream; got shape {list(cont)}"
            )
        self._static = self.bottom_count == least + 1
        if self._static and (len(others[0]) != 5 or others[0][:2] != (1, x[1]) or others[0][3:] != x[3:]):
            raise self.shape_error(
                f"bottom 2, the static input, must be 1×{x[1]}×S×{x[3]}×{x[4]}; got shape {list(others[0])}"
            )
        width = self._input.num_output
        for i, state in enumerate(others[self._static :], 2 + self._static):
            if state != (1, x[1], width, *x[3:]):
                raise self.shape_error(
                    f"bottom {i}, a state, must be 1×{x[1]}×{width}×{x[3]}×{x[4]}; got shape {list(state)}"
                )
        steps = [int(name.partition("=")[2]) for name in debug.expose if re.fullmatch(r"[ch]_t=\d+", name)]
        if len(steps) != len(debug.expose) or any(not 1 <= t <= x[0] for t in steps):
            raise self.error(
                f"must be c_t=K or h_t=K with K from 1 to {x[0]}; got {', '.join(debug.expose)}",
                field="expose",
            )
        for channels, conv in ((x[2], self._input), (width, self._hidden)):
            if channels % conv.group or 4 * width % conv.group:
                raise self.error(
                    f"must divide {channels} and {4 * width} channels; got {conv.group}", field="group"
                )
            kernel, stride, pad, dilation = _window(conv)
            sizes = tuple(
                (n + 2 * b - d * (k - 1) - 1) // s + 1
                for n, k, s, b, d in zip(x[3:], kernel, stride, pad, dilation)
            )
            if sizes != x[3:]:
                raise self.shape_error(
                    f"the convolutions must keep the maps' size {x[3]}×{x[4]}; got {sizes[0]}×{sizes[1]}",
                    field="pad",
                )
        axis, count = debug.axis_hadamard, debug.num_axes_hadamard
        if not debug.disable_hadamard and not axis <= axis + count <= 5:
            raise self.error(f"must be within 5 axes; got {count} from {axis}", field="num_axes_hadamard")

    def _read(self) -> None:
        convs = list(self.param.lstm_conv_param)
        if not 1 <= len(convs) <= 2:
            raise self.error(f"must be given once or twice; got {len(convs)}", field="lstm_conv_param")
        kinds = [c.type for c in convs]
        if len(convs) == 2 and sorted(kinds) != ["hidden", "input"]:
            raise self.error(f'must be "input" and "hidden"; got {kinds[0]} and {kinds[1]}', field="type")
        if len({c.num_output for c in convs}) > 1 or convs[0].num_output < 1:
            raise self.error("must be the same, and at least 1", field="num_output")
        self._input = convs[kinds.index("input")] if "input" in kinds else convs[0]
        self._hidden = convs[kinds.index("hidden")] if "hidden" in kinds else convs[0]
        for conv in convs:
            if not conv.kernel_size or min(*conv.kernel_size, *conv.stride, *conv.dilation, conv.group) < 1:
                raise self.error(
                    "must be given; it, stride, dilation and group at least 1", field="kernel_size"
                )

    def declare(self, x: Shape, cont: Shape, *others: Shape) -> list[BlobSpec]:
        width, debug = 4 * self._input.num_output, self.param.lstm_debug_param
        inputs = [] if debug.ignore_x else [x[2], *([others[0][2]] if self._static else [])]
        specs = [
            BlobSpec((width, channels // conv.group, *_window(conv)[0]), conv.weight_filler)
            for channels, conv in [*((c, self._input) for c in inputs), (width // 4, self._hidden)]
        ]
        if self._hidden.bias_term:
            specs.append(BlobSpec((width,), self._hidden.bias_filler))
        if not debug.disable_hadamard:
            state = (1, x[1], width // 4, *x[3:])
            shape = state[debug.axis_hadamard :][: debug.num_axes_hadamard]
            ones = caffe_pb2.FillerParameter(type="constant", value=1)
            specs += [BlobSpec(shape, ones)] * 3
        return specs

    def carries(self, x: Shape, cont: Shape, *others: Shape) -> list[Shape]:
        exposed = self.param.recurrent_param.expose_hidden
        return [] if exposed else [(x[1], self._input.num_output, *x[3:])] * 2

    def compute(
        self, x: torch.Tensor, cont: torch.Tensor, *rest: torch.Tensor
    ) -> tuple[torch.Tensor, ...] | Stateful:
        debug, exposed = self.param.lstm_debug_param, self.param.recurrent_param.expose_hidden
        others, rest = rest[: self.bottom_count - 2], rest[self.bottom_count - 2 :]
        blobs, carried = list(rest[: len(self.blobs)]), rest[len(self.blobs) :]
        state = (x.shape[1], self._input.num_output, *x.shape[3:])
        drive: Sequence[torch.Tensor | float] = [0.0] * x.shape[0]
        if not debug.ignore_x:
            driven = _convolve(self._input, x.flatten(0, 1), blobs.pop(0)).unflatten(0, x.shape[:2])
            if self._static:
                driven = driven + _convolve(self._input, others[0][0], blobs.pop(0))
            drive = driven.unbind()
        weight = blobs.pop(0)
        bias = blobs.pop(0) if self._hidden.bias_term else None
        peepholes = [self._spread(p) for p in blobs]
        if exposed:
            hidden, cell = (s[0] for s in others[self._static :])
        elif carried and carried[0].shape == state:
            hidden, cell = carried
        else:
            hidden = cell = x.new_zeros(state)
        states = []
        for step, go_on in zip(drive, cont[..., None, None, None].unbind()):
            gates = _convolve(self._hidden, hidden * go_on, weight, bias) + step
            if peepholes:
                gates = gates + torch.cat([*(p * cell for p in peepholes), torch.zeros_like(cell)], 1)
            cell, hidden = lstm_step(cell, gates, go_on, 1)
            states.append((hidden, cell))
        tops = [torch.stack([h for h, _ in states])]
        for name in debug.expose:
            tops.append(states[int(name[4:]) - 1][_STATES[name[0]]][None])
        if exposed:
            return (*tops, hidden[None], cell[None])
        return Stateful(tuple(tops), (hidden.detach(), cell.detach()))

    def _spread(self, peephole: torch.Tensor) -> torch.Tensor:
        """A parameter along the axes that it is for, to be multiplied with a state (N × D × H × W)."""
        after = 5 - self.param.lstm_debug_param.axis_hadamard - peephole.dim()
        shaped = peephole.reshape(*peephole.shape, *[1] * after)
        return shaped[0] if shaped.dim() == 5 else shaped


def _window(conv: caffe_pb2.LSTMConvolutionParameter) -> list[tuple[int, int]]:
    """Kernel, stride, padding and dilation by rows and columns."""
    fields = ((conv.kernel_size, 1), (conv.stride, 1), (conv.pad, 0), (conv.dilation, 1))
    return [(values[0], values[-1]) if values else (default, default) for values, default in fields]


def _convolve(
    conv: caffe_pb2.LSTMConvolutionParameter,
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
) -> torch.Tensor:
    _, stride, pad, dilation = _window(conv)
    return F.conv2d(x, weight, bias, stride, pad, dilation, conv.group)
