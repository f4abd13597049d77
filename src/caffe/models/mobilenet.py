"""MobileNet v1 and v2 (width 1, 224×224), with the names of Shi Cai's port, whose weights are published.

Howard et al., MobileNets: efficient convolutional neural networks for mobile vision applications, 2017.
Sandler et al., MobileNetV2: inverted residuals and linear bottlenecks, 2018. The port's training nets are for
fine-tuning; from the start they learn here as the papers have it, but without momentum, since Caffe's RMSProp
has none.
"""

from __future__ import annotations

from typing import Any

from caffe.models import _nets
from caffe.models._nets import put
from caffe.net_spec import NetSpec, Top
from caffe.net_spec import layers as L
from caffe.proto import caffe_pb2

_WEIGHTS = [dict(lr_mult=1, decay_mult=1)]
_FIXED = [dict(lr_mult=0, decay_mult=0)] * 3
_UNDECAYED = [dict(lr_mult=1, decay_mult=0)] * 2
_DATA: dict[str, Any] = dict(scale=0.017, mean_value=[103.94, 116.78, 123.68])
_V1 = (
    ("2_1", 64, 1),
    ("2_2", 128, 2),
    ("3_1", 128, 1),
    ("3_2", 256, 2),
    ("4_1", 256, 1),
    ("4_2", 512, 2),
    ("5_1", 512, 1),
    ("5_2", 512, 1),
    ("5_3", 512, 1),
    ("5_4", 512, 1),
    ("5_5", 512, 1),
    ("5_6", 1024, 2),
    ("6", 1024, 1),
)
_V2 = (
    ("2_1", 16, 1),
    ("2_2", 24, 2),
    ("3_1", 24, 1),
    ("3_2", 32, 2),
    ("4_1", 32, 1),
    ("4_2", 32, 1),
    ("4_3", 64, 1),
    ("4_4", 64, 1),
    ("4_5", 64, 1),
    ("4_6", 64, 1),
    ("4_7", 96, 2),
    ("5_1", 96, 1),
    ("5_2", 96, 1),
    ("5_3", 160, 2),
    ("6_1", 160, 1),
    ("6_2", 160, 1),
    ("6_3", 320, 1),
)
"""Blocks: name, channels that leave it, stride."""


def _conv(n: NetSpec, name: str, bottom: Top, channels: int, kernel: int, **shape: Any) -> Top:
    return put(
        n,
        name,
        L.Convolution(
            bottom,
            num_output=channels,
            bias_term=False,
            kernel_size=kernel,
            weight_filler=dict(type="msra"),
            param=_WEIGHTS,
            **shape,
        ),
    )


def _relu(n: NetSpec, name: str, bottom: Top) -> Top:
    return put(n, name.replace("conv", "relu"), L.ReLU(bottom, in_place=True))


def _v1_conv(n: NetSpec, name: str, bottom: Top, channels: int, kernel: int, **shape: Any) -> Top:
    """Convolution, BatchNorm, Scale and ReLU, all in one blob."""
    x = _conv(n, name, bottom, channels, kernel, **shape)
    n[f"{name}/bn"] = L.BatchNorm(x, in_place=True, param=_FIXED)
    n[f"{name}/scale"] = L.Scale(
        n[f"{name}/bn"], in_place=True, filler=dict(value=1), bias_term=True, bias_filler=dict(value=0)
    )
    return _relu(n, name, n[f"{name}/scale"])


def _v2_conv(
    n: NetSpec, name: str, bottom: Top, channels: int, kernel: int, relu: bool = True, **shape: Any
) -> Top:
    """Convolution; BatchNorm, Scale and ReLU in a blob of their own."""
    x = _conv(n, name, bottom, channels, kernel, **shape)
    n[f"{name}/bn"] = L.BatchNorm(x, param=_FIXED, eps=1e-5)
    x = put(n, f"{name}/scale", L.Scale(n[f"{name}/bn"], in_place=True, bias_term=True, param=_UNDECAYED))
    return _relu(n, name, x) if relu else x


def _v1(n: NetSpec) -> Top:
    x = _v1_conv(n, "conv1", n.data, 32, 3, pad=1, stride=2)
    channels = 32
    for name, out, stride in _V1:
        x = _v1_conv(n, f"conv{name}/dw", x, channels, 3, pad=1, group=channels, stride=stride)
        x = _v1_conv(n, f"conv{name}/sep", x, out, 1, pad=0, stride=1)
        channels = out
    n.pool6 = L.Pooling(x, pool="AVE", kernel_size=7)
    return _classifier(n)


def _v2(n: NetSpec) -> Top:
    x = _v2_conv(n, "conv1", n.data, 32, 3, pad=1, stride=2)
    channels = 32
    for name, out, stride in _V2:
        wide = channels * (1 if name == "2_1" else 6)
        y = _v2_conv(n, f"conv{name}/expand", x, wide, 1)
        strided: dict[str, Any] = dict(stride=stride) if stride > 1 else {}
        y = _v2_conv(n, f"conv{name}/dwise", y, wide, 3, pad=1, group=wide, **strided)
        y = _v2_conv(n, f"conv{name}/linear", y, out, 1, relu=False)
        if stride == 1 and channels == out:
            y = put(n, f"block_{name}", L.Eltwise(x, y))
        x, channels = y, out
    x = _v2_conv(n, "conv6_4", x, 1280, 1)
    n.pool6 = L.Pooling(x, pool="AVE", global_pooling=True)
    return _classifier(n)


def _classifier(n: NetSpec) -> Top:
    return put(
        n,
        "fc7",
        L.Convolution(
            n.pool6,
            num_output=1000,
            kernel_size=1,
            weight_filler=dict(type="msra"),
            bias_filler=_nets.constant(),
            param=_nets.RATES_AND_DECAYS,
        ),
    )


_BODIES = {1: _v1, 2: _v2}
_NAMES = {1: "MOBILENET", 2: "MOBILENET_V2"}


def deploy(version: int) -> caffe_pb2.NetParameter:
    """3×224×224 in (less the mean, times 0.017), ImageNet's thousand probabilities out, N×1000×1×1."""
    return _nets.deploy(_NAMES[version], _BODIES[version], (1, 3, 224, 224), global_stats=version == 2)


def train_val(version: int) -> caffe_pb2.NetParameter:
    """Over ImageNet's LMDBs, 96 images at a time."""
    train = _nets.imagenet("TRAIN", 96, 224, mirror=True, **_DATA)
    test = _nets.imagenet("TEST", 50, 224, mirror=False, **_DATA)
    return _nets.train_val(_NAMES[version], _BODIES[version], _nets.loss_and_accuracies, train, test)


def solver(version: int) -> caffe_pb2.SolverParameter:
    """RMSProp from a rate of 0.045, two per cent off it every epoch, 4e-5 decay, as the second paper has it."""
    return _nets.solver(
        f"models/mobilenet_v{version}",
        f"mobilenet_v{version}",
        type="RMSProp",
        rms_decay=0.9,
        delta=1.0,
        test_iter=[1000],
        test_interval=5000,
        test_initialization=False,
        base_lr=0.045,
        lr_policy="step",
        gamma=0.98,
        stepsize=13345,
        display=40,
        average_loss=40,
        max_iter=4000000,
        weight_decay=0.00004,
        snapshot=50000,
    )
