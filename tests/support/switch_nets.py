"""Nets of five kinds and every action on them, for sequences of switches, forwards, backwards, reads and writes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

import caffe
from caffe import layers as L
from caffe import runtime

XAVIER = dict(type="xavier")
UNIFORM = dict(type="uniform", min=-0.5, max=0.5)


def plain() -> Any:
    """Nothing in place; random numbers; a part that no loss needs."""
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[2, 3, 7, 6]))
    n.label = L.Input(shape=dict(dim=[2]))
    n.one = L.Convolution(n.data, kernel_size=3, num_output=4, weight_filler=XAVIER, bias_filler=UNIFORM)
    n.relu = L.ReLU(n.one)
    n.mid = L.Pooling(n.relu, kernel_size=2, stride=2)
    n.drop = L.Dropout(n.mid, dropout_ratio=0.4)
    n.two = L.InnerProduct(n.drop, num_output=5, weight_filler=XAVIER)
    n.prob = L.Softmax(n.two, propagate_down=False)
    n.loss = L.SoftmaxWithLoss(n.two, n.label)
    return n


def in_place() -> Any:
    """ReLUs, Dropout and Sigmoid that overwrite, over blobs that two layers read."""
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[2, 3, 7, 6]))
    n.label = L.Input(shape=dict(dim=[2]))
    n.one = L.Convolution(n.data, kernel_size=3, num_output=4, weight_filler=XAVIER, bias_filler=UNIFORM)
    n.relu = L.ReLU(n.one, in_place=True)
    n.left = L.Convolution(n.relu, kernel_size=1, num_output=4, weight_filler=XAVIER)
    n.act = L.ReLU(n.left, in_place=True)
    n.mid = L.Eltwise(n.act, n.relu)
    n.sig = L.Sigmoid(n.mid, in_place=True)
    n.drop = L.Dropout(n.sig, dropout_ratio=0.4, in_place=True)
    n.two = L.InnerProduct(n.drop, num_output=5, weight_filler=XAVIER)
    n.loss = L.SoftmaxWithLoss(n.two, n.label)
    return n


def recurrent() -> Any:
    """Values that go on from one forward to the next."""
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[3, 2, 4]))
    n.cont = L.Input(shape=dict(dim=[3, 2]))
    n.label = L.Input(shape=dict(dim=[3, 2]))
    n.one = L.LSTM(n.data, n.cont, recurrent_param=dict(num_output=5, weight_filler=UNIFORM))
    n.mid = L.TanH(n.one)
    n.again = L.RNN(n.mid, n.cont, recurrent_param=dict(num_output=4, weight_filler=UNIFORM))
    n.two = L.InnerProduct(n.again, num_output=3, axis=2, weight_filler=XAVIER)
    n.loss = L.SoftmaxWithLoss(n.two, n.label, softmax_param=dict(axis=2))
    return n


def normalized() -> Any:
    """BatchNorm, Scale and ReLU in place, two branches that share all parameters."""
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[2, 3, 7, 6]))
    n.label = L.Input(shape=dict(dim=[2]))
    n.pre = L.Convolution(n.data, kernel_size=1, num_output=4, weight_filler=XAVIER)
    x, branches = n.pre, []
    for k in "ab":
        n[f"conv{k}"] = L.Convolution(
            x, kernel_size=3, pad=1, num_output=4, bias_term=False, weight_filler=XAVIER,
            param=dict(name="w"),
        )  # fmt: skip
        n[f"bn{k}"] = L.BatchNorm(
            n[f"conv{k}"], in_place=True, param=[dict(name=f"s{i}", lr_mult=0) for i in range(3)]
        )
        n[f"scale{k}"] = L.Scale(
            n[f"bn{k}"], bias_term=True, in_place=True, filler=dict(type="uniform", min=0.5, max=2),
            param=[dict(name="g"), dict(name="h")],
        )  # fmt: skip
        n[f"relu{k}"] = L.ReLU(n[f"scale{k}"], in_place=True)
        branches.append(n[f"relu{k}"])
        x = n[f"relu{k}"]
    n.mid = L.Eltwise(*branches)
    n.two = L.InnerProduct(n.mid, num_output=5, weight_filler=XAVIER)
    n.loss = L.SoftmaxWithLoss(n.two, n.label)
    return n


def python() -> Any:
    """A layer of the user's in the middle."""
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[2, 3, 5, 6]))
    n.label = L.Input(shape=dict(dim=[2]))
    n.one = L.Convolution(n.data, kernel_size=3, num_output=4, weight_filler=XAVIER, bias_filler=UNIFORM)
    n.relu = L.ReLU(n.one, in_place=True)
    n.mid = L.Python(n.relu, module="python_layers", layer="Scaled", param_str="1.5")
    n.act = L.TanH(n.mid)
    n.two = L.InnerProduct(n.act, num_output=5, weight_filler=XAVIER)
    n.loss = L.SoftmaxWithLoss(n.two, n.label)
    return n


KINDS: dict[str, Callable[[], Any]] = {
    f.__name__: f for f in (plain, in_place, recurrent, normalized, python)
}


@cache
def _definition(kind: str) -> Any:
    return KINDS[kind]().to_proto()


def build(kind: str, phase: int) -> caffe.Net:
    """A net with values in its inputs and statistics."""
    caffe.set_random_seed(3)
    net = caffe.Net(_definition(kind), phase)
    rng = np.random.default_rng(5)
    for name in net.inputs:
        shape = net.blobs[name].data.shape
        values = rng.normal(size=shape)
        if name == "label":
            values = rng.integers(0, 3, size=shape)
        elif name == "cont":
            values = (rng.random(shape) > 0.2).astype(float)
        net.blobs[name].data[...] = values
    for name, blobs in net.params.items():
        if name.startswith("bn"):
            for i, blob in enumerate(blobs):
                blob.data[...] = 1 + 0.2 * i
    return net


def _first_part(net: caffe.Net) -> Any:
    return net.forward(end="mid")


def _reshape(net: caffe.Net) -> None:
    """To a batch of 3, or back to 2; values anew."""
    rng = np.random.default_rng(8)
    axis = 1 if "cont" in net.inputs else 0
    size = 5 - net.blobs["data"].shape[axis]
    for name in net.inputs:
        shape = list(net.blobs[name].shape)
        shape[axis] = size
        net.blobs[name].reshape(*shape)
        if name == "data":
            net.blobs[name].data[...] = rng.normal(size=shape)
        else:
            net.blobs[name].data[...] = 1
    net.reshape()
    net.forward(end="mid")


def _write_parameter(net: caffe.Net) -> None:
    net.params["two"][0].data[...] *= 1.3
    next(iter(net.params.values()))[0].data[...] -= 0.1


def _write_input(net: caffe.Net) -> None:
    net.blobs["data"].data[...] *= -0.7


def _read(net: caffe.Net) -> Any:
    return {name: net.blobs[name].data for name in ("mid", "two")}


def _hooks(net: caffe.Net) -> None:
    net.after_forward(lambda i: None)
    net.after_backward(lambda i: None)


def _no_hooks(net: caffe.Net) -> None:
    for hooks in net.hooks.values():
        hooks.clear()


BOTH: dict[str, Callable[[caffe.Net], Any]] = {
    "forward": lambda net: net.forward(),
    "first part": _first_part,
    "last part": lambda net: net.forward(start="mid"),
    "backward": lambda net: net.backward(),
    "backward last part": lambda net: net.backward(end="two"),
    "backward first part": lambda net: net.backward(start="mid"),
    "reshape": _reshape,
    "read": _read,
    "write parameter": _write_parameter,
    "write input": _write_input,
    "clear": lambda net: net.clear_param_diffs(),
}
"""What is done to the net under test, and to the one whose switches are all off."""

SWITCHES: dict[str, Callable[[caffe.Net], Any]] = {
    "hooks": _hooks,
    "no hooks": _no_hooks,
    "inference": lambda net: net.set_inference(),
    "recompute": lambda net: net.set_inference(recompute=True),
    "no inference": lambda net: net.set_inference(False),
    "checkpointing": lambda net: net.set_checkpointing(),
    "no checkpointing": lambda net: net.set_checkpointing(False),
    "compile": lambda net: net.compile(),
    "no compile": lambda net: net.compile(False),
}
"""What is done to the net under test alone."""


def _gpu() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is none, and that the CPU goes on
        caffe.set_mode_gpu()
        runtime.device()


GLOBAL: dict[str, Callable[[], None]] = {
    "amp": lambda: caffe.set_amp("bf16"),
    "no amp": lambda: caffe.set_amp(None),
    "cpu": caffe.set_mode_cpu,
    "gpu": _gpu,
}


@dataclass
class Difference(Exception):
    """The two nets disagree."""

    sequence: tuple[str, ...]
    step: int
    what: str

    def __str__(self) -> str:
        return f"{' → '.join(self.sequence)}: after '{self.sequence[self.step]}' {self.what}"
