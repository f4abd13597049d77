"""SqueezeNet 1.0 and 1.1, which pools earlier and computes 2.4 times less.

Iandola et al., SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size, 2016.
"""

from __future__ import annotations

from typing import Any

from caffe.models import _nets
from caffe.models._nets import put
from caffe.net_spec import NetSpec, Top
from caffe.net_spec import layers as L
from caffe.proto import caffe_pb2

_FIRST: dict[str, dict[str, Any]] = {
    "1.0": dict(num_output=96, kernel_size=7, stride=2),
    "1.1": dict(num_output=64, kernel_size=3, stride=2),
}
_POOLED = {"1.0": (1, 4, 8), "1.1": (1, 3, 5)}
"""After which stages a pool comes; conv1 is stage 1, fire2 is stage 2."""
_SQUEEZED = {2: 16, 3: 16, 4: 32, 5: 32, 6: 48, 7: 48, 8: 64, 9: 64}
"""Channels of the squeeze layers; each of the two expansions has four times as many."""


def _conv(n: NetSpec, name: str, bottom: Top, **shape: Any) -> Top:
    n[name] = L.Convolution(bottom, weight_filler=dict(type="xavier"), **shape)
    group, slash, own = name.rpartition("/")
    relu = f"{group}{slash}relu_{own}"
    return put(n, relu, L.ReLU(n[name], in_place=True))


def _fire(n: NetSpec, i: int, bottom: Top) -> Top:
    squeezed = _conv(n, f"fire{i}/squeeze1x1", bottom, num_output=_SQUEEZED[i], kernel_size=1)
    wide = 4 * _SQUEEZED[i]
    one = _conv(n, f"fire{i}/expand1x1", squeezed, num_output=wide, kernel_size=1)
    three = _conv(n, f"fire{i}/expand3x3", squeezed, num_output=wide, pad=1, kernel_size=3)
    return put(n, f"fire{i}/concat", L.Concat(one, three))


def _body(version: str) -> _nets.Body:
    def body(n: NetSpec) -> Top:
        x = _conv(n, "conv1", n.data, **_FIRST[version])
        for stage in range(1, 10):
            if stage > 1:
                x = _fire(n, stage, x)
            if stage in _POOLED[version]:
                x = put(n, f"pool{stage}", L.Pooling(x, pool="MAX", kernel_size=3, stride=2))
        x = put(n, "drop9", L.Dropout(x, in_place=True, dropout_ratio=0.5))
        pad = dict(pad=1) if version == "1.0" else {}
        n.conv10 = L.Convolution(x, num_output=1000, kernel_size=1, weight_filler=_nets.gaussian(0.01), **pad)
        x = put(n, "relu_conv10", L.ReLU(n.conv10, in_place=True))
        return put(n, "pool10", L.Pooling(x, pool="AVE", global_pooling=True))

    return body


def _ending(version: str) -> _nets.Ending:
    tests: dict[str, Any] = dict(include=dict(phase="TEST"))

    def ending(n: NetSpec, scores: Top) -> None:
        trains: dict[str, Any] = dict(include=dict(phase="TRAIN")) if version == "1.0" else {}
        n.loss = L.SoftmaxWithLoss(scores, n.label, **trains)
        always = {} if version == "1.1" else tests
        n.accuracy = L.Accuracy(scores, n.label, **always)
        n.accuracy_top5 = L.Accuracy(scores, n.label, top_k=5, **always)

    return ending


def deploy(version: str) -> caffe_pb2.NetParameter:
    """3×227×227 in, ImageNet's thousand probabilities out, N×1000×1×1."""
    return _nets.deploy(f"SqueezeNet_v{version}", _body(version), (10, 3, 227, 227))


def train_val(version: str) -> caffe_pb2.NetParameter:
    """Over ImageNet's LMDBs, 32 images at a time, 16 times an iteration."""
    mean = dict(mean_value=[104, 117, 123])
    train = _nets.imagenet("TRAIN", 32, 227, **mean)
    test = _nets.imagenet("TEST", 25, 227, **mean)
    return _nets.train_val(f"SqueezeNet_v{version}", _body(version), _ending(version), train, test)


def solver(version: str) -> caffe_pb2.SolverParameter:
    """170,000 iterations of 512 images; the rate falls in a straight line."""
    return _nets.solver(
        f"models/squeezenet_v{version}",
        "train",
        test_iter=[2000],
        test_interval=1000,
        base_lr=0.04,
        display=40,
        max_iter=170000,
        iter_size=16,
        lr_policy="poly",
        power=1.0,
        momentum=0.9,
        weight_decay=0.0002,
        snapshot=1000,
        random_seed=42,
        test_initialization=False,
        average_loss=40,
    )
