"""The six nets as prototxts: LeNet, CaffeNet, GoogLeNet, ResNet-50, SqueezeNet 1.1, MobileNet.

``definition(name, batch, training)`` has an input ``data`` and, in training, an input ``label`` and the losses of
the published train_val files.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from caffe import layers as L
from caffe import params as P
from caffe.net_spec import NetSpec

INPUTS = {
    "lenet": (1, 28, 28),
    "caffenet": (3, 227, 227),
    "googlenet": (3, 224, 224),
    "resnet50": (3, 224, 224),
    "squeezenet": (3, 227, 227),
    "mobilenet": (3, 224, 224),
}
CLASSES = {"lenet": 10}
MAX, AVE = P.Pooling.MAX, P.Pooling.AVE
_FILLER = dict(type="msra")


def classes(name: str) -> int:
    """How many classes a net tells apart."""
    return CLASSES.get(name, 1000)


def definition(name: str, batch: int, training: bool) -> Any:
    """The NetParameter of a net for a batch."""
    n = NetSpec()
    n.data = L.Input(shape=dict(dim=[batch, *INPUTS[name]]))
    if training:
        n.label = L.Input(shape=dict(dim=[batch]))
    _BUILDERS[name](n, training)
    proto = n.to_proto()
    proto.name = name
    return proto


def _end(n: NetSpec, scores: Any, training: bool, name: str = "loss", weight: float = 1) -> None:
    if training:
        setattr(n, name, L.SoftmaxWithLoss(scores, n.label, loss_weight=weight))
    else:
        n.prob = L.Softmax(scores)


def _conv(
    n: NetSpec, name: str, bottom: Any, outputs: int, kernel: int, relu: bool = True, **more: Any
) -> Any:
    n[name] = L.Convolution(bottom, num_output=outputs, kernel_size=kernel, weight_filler=_FILLER, **more)
    if not relu:
        return n[name]
    n[f"{name}_relu"] = L.ReLU(n[name], in_place=True)
    return n[f"{name}_relu"]


def _inner(n: NetSpec, name: str, bottom: Any, outputs: int) -> Any:
    n[name] = L.InnerProduct(bottom, num_output=outputs, weight_filler=_FILLER)
    return n[name]


def _pool(n: NetSpec, name: str, bottom: Any, kernel: int, stride: int, kind: int = MAX, pad: int = 0) -> Any:
    n[name] = L.Pooling(bottom, pool=kind, kernel_size=kernel, stride=stride, pad=pad)
    return n[name]


def _lenet(n: NetSpec, training: bool) -> None:
    x = _pool(n, "pool1", _conv(n, "conv1", n.data, 20, 5, relu=False), 2, 2)
    x = _pool(n, "pool2", _conv(n, "conv2", x, 50, 5, relu=False), 2, 2)
    n.ip1 = L.InnerProduct(x, num_output=500, weight_filler=_FILLER)
    n.relu1 = L.ReLU(n.ip1, in_place=True)
    _end(n, _inner(n, "ip2", n.relu1, 10), training)


def _caffenet(n: NetSpec, training: bool) -> None:
    norm = dict(local_size=5, alpha=1e-4, beta=0.75)
    x = _pool(n, "pool1", _conv(n, "conv1", n.data, 96, 11, stride=4), 3, 2)
    n.norm1 = L.LRN(x, lrn_param=norm)
    x = _pool(n, "pool2", _conv(n, "conv2", n.norm1, 256, 5, pad=2, group=2), 3, 2)
    n.norm2 = L.LRN(x, lrn_param=norm)
    x = _conv(n, "conv3", n.norm2, 384, 3, pad=1)
    x = _conv(n, "conv4", x, 384, 3, pad=1, group=2)
    x = _pool(n, "pool5", _conv(n, "conv5", x, 256, 3, pad=1, group=2), 3, 2)
    for i in (6, 7):
        n[f"relu{i}"] = L.ReLU(_inner(n, f"fc{i}", x, 4096), in_place=True)
        n[f"drop{i}"] = L.Dropout(n[f"relu{i}"], dropout_ratio=0.5, in_place=True)
        x = n[f"drop{i}"]
    _end(n, _inner(n, "fc8", x, 1000), training)


INCEPTIONS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


def _inception(n: NetSpec, name: str, x: Any, sizes: tuple[int, ...]) -> Any:
    one, reduce3, three, reduce5, five, pooled = sizes
    branches = [
        _conv(n, f"{name}_1x1", x, one, 1),
        _conv(n, f"{name}_3x3", _conv(n, f"{name}_3x3_reduce", x, reduce3, 1), three, 3, pad=1),
        _conv(n, f"{name}_5x5", _conv(n, f"{name}_5x5_reduce", x, reduce5, 1), five, 5, pad=2),
        _conv(n, f"{name}_pool_proj", _pool(n, f"{name}_pool", x, 3, 1, pad=1), pooled, 1),
    ]
    n[name] = L.Concat(*branches)
    return n[name]


def _googlenet(n: NetSpec, training: bool) -> None:
    norm = dict(local_size=5, alpha=1e-4, beta=0.75)
    x = _pool(n, "pool1", _conv(n, "conv1", n.data, 64, 7, stride=2, pad=3), 3, 2)
    n.norm1 = L.LRN(x, lrn_param=norm)
    x = _conv(n, "conv2", _conv(n, "conv2_reduce", n.norm1, 64, 1), 192, 3, pad=1)
    n.norm2 = L.LRN(x, lrn_param=norm)
    x = _pool(n, "pool2", n.norm2, 3, 2)
    for name, sizes in INCEPTIONS.items():
        x = _inception(n, f"inception_{name}", x, sizes)
        if name in ("3b", "4e"):
            x = _pool(n, f"pool{name[0]}_out", x, 3, 2)
        if training and name in ("4a", "4d"):
            side = f"loss{name}"
            y = _conv(n, f"{side}_conv", _pool(n, f"{side}_pool", x, 5, 3, AVE), 128, 1)
            n[f"{side}_relu"] = L.ReLU(_inner(n, f"{side}_fc", y, 1024), in_place=True)
            n[f"{side}_drop"] = L.Dropout(n[f"{side}_relu"], dropout_ratio=0.7, in_place=True)
            scores = _inner(n, f"{side}_scores", n[f"{side}_drop"], 1000)
            _end(n, scores, training, side, 0.3)
    n.drop = L.Dropout(_pool(n, "pool5", x, 7, 1, AVE), dropout_ratio=0.4, in_place=True)
    _end(n, _inner(n, "scores", n.drop, 1000), training)


def _normed(
    n: NetSpec, name: str, bottom: Any, outputs: int, kernel: int, relu: bool = True, **more: Any
) -> Any:
    """Convolution, BatchNorm, Scale, ReLU: how Caffe's model files write a normalized convolution."""
    x = _conv(n, name, bottom, outputs, kernel, relu=False, bias_term=False, **more)
    n[f"{name}_bn"] = L.BatchNorm(x, in_place=True)
    n[f"{name}_scale"] = L.Scale(n[f"{name}_bn"], bias_term=True, in_place=True)
    if not relu:
        return n[f"{name}_scale"]
    n[f"{name}_relu"] = L.ReLU(n[f"{name}_scale"], in_place=True)
    return n[f"{name}_relu"]


def _resnet50(n: NetSpec, training: bool) -> None:
    x = _pool(n, "pool1", _normed(n, "conv1", n.data, 64, 7, stride=2, pad=3), 3, 2)
    for stage, (blocks, width) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512)), 2):
        for block in range(blocks):
            name, stride = f"res{stage}{'abcdef'[block]}", 2 if block == 0 and stage > 2 else 1
            y = _normed(n, f"{name}_2a", x, width, 1, stride=stride)
            y = _normed(n, f"{name}_2b", y, width, 3, pad=1)
            y = _normed(n, f"{name}_2c", y, 4 * width, 1, relu=False)
            if block == 0:
                x = _normed(n, f"{name}_1", x, 4 * width, 1, relu=False, stride=stride)
            n[name] = L.Eltwise(x, y)
            n[f"{name}_relu"] = L.ReLU(n[name], in_place=True)
            x = n[f"{name}_relu"]
    _end(n, _inner(n, "fc1000", _pool(n, "pool5", x, 7, 1, AVE), 1000), training)


FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))


def _squeezenet(n: NetSpec, training: bool) -> None:
    x = _pool(n, "pool1", _conv(n, "conv1", n.data, 64, 3, stride=2), 3, 2)
    for i, (squeeze, expand) in enumerate(FIRES, 2):
        x = _conv(n, f"fire{i}_squeeze", x, squeeze, 1)
        one, three = (_conv(n, f"fire{i}_expand{k}", x, expand, k, pad=k // 2) for k in (1, 3))
        n[f"fire{i}"] = L.Concat(one, three)
        x = _pool(n, f"pool{i}", n[f"fire{i}"], 3, 2) if i in (3, 5) else n[f"fire{i}"]
    n.drop9 = L.Dropout(x, dropout_ratio=0.5, in_place=True)
    n.pool10 = L.Pooling(_conv(n, "conv10", n.drop9, 1000, 1), pool=AVE, global_pooling=True)
    n.scores = L.Flatten(n.pool10)
    _end(n, n.scores, training)


MOBILE = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))


def _mobilenet(n: NetSpec, training: bool) -> None:
    x, width = _normed(n, "conv1", n.data, 32, 3, stride=2, pad=1), 32
    for i, (outputs, stride) in enumerate(MOBILE):
        x = _normed(n, f"conv{i}_dw", x, width, 3, stride=stride, pad=1, group=width)
        x, width = _normed(n, f"conv{i}_sep", x, outputs, 1), outputs
    n.pool6 = L.Pooling(x, pool=AVE, global_pooling=True)
    n.scores = L.Flatten(_conv(n, "fc7", n.pool6, 1000, 1, relu=False))
    _end(n, n.scores, training)


_BUILDERS: dict[str, Callable[[NetSpec, bool], None]] = {
    "lenet": _lenet,
    "caffenet": _caffenet,
    "googlenet": _googlenet,
    "resnet50": _resnet50,
    "squeezenet": _squeezenet,
    "mobilenet": _mobilenet,
}
