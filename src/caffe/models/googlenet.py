"""GoogLeNet: nine inception modules, and two classifiers on the way that help its depth to learn.

Szegedy et al., Going deeper with convolutions, 2014; initialized by xavier, without the paper's changes of
light and aspect.
"""

from __future__ import annotations

from typing import Any

from caffe.models import _nets
from caffe.models._nets import put
from caffe.net_spec import NetSpec, Top
from caffe.net_spec import layers as L
from caffe.proto import caffe_pb2

FOLDER = "models/bvlc_googlenet"
_MEAN = dict(mean_value=[104, 117, 123])
_MODULES = {
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
"""Channels of 1x1, of 3x3's reduction and itself, of 5x5's reduction and itself, of the pool's projection."""


def _fillers(bias: float = 0.2) -> dict[str, Any]:
    return dict(
        weight_filler=dict(type="xavier"), bias_filler=_nets.constant(bias), param=_nets.RATES_AND_DECAYS
    )


def _conv(n: NetSpec, name: str, bottom: Top, channels: int, kernel: int, **shape: Any) -> Top:
    """A convolution and the ReLU beside it."""
    n[name] = L.Convolution(bottom, num_output=channels, kernel_size=kernel, **shape, **_fillers())
    group, _, own = name.rpartition("/")
    return put(n, f"{group}/relu_{own.removesuffix('_s2')}", L.ReLU(n[name], in_place=True))


def _pool(n: NetSpec, name: str, bottom: Top) -> Top:
    return put(n, name, L.Pooling(bottom, pool="MAX", kernel_size=3, stride=2))


def _norm(n: NetSpec, name: str, bottom: Top) -> Top:
    return put(n, name, L.LRN(bottom, local_size=5, alpha=0.0001, beta=0.75))


def _inception(n: NetSpec, module: str, bottom: Top) -> Top:
    one, reduce3, three, reduce5, five, projection = _MODULES[module]
    at = f"inception_{module}"
    branch1 = _conv(n, f"{at}/1x1", bottom, one, 1)
    branch3 = _conv(n, f"{at}/3x3", _conv(n, f"{at}/3x3_reduce", bottom, reduce3, 1), three, 3, pad=1)
    branch5 = _conv(n, f"{at}/5x5", _conv(n, f"{at}/5x5_reduce", bottom, reduce5, 1), five, 5, pad=2)
    n[f"{at}/pool"] = L.Pooling(bottom, pool="MAX", kernel_size=3, stride=1, pad=1)
    branch_pool = _conv(n, f"{at}/pool_proj", n[f"{at}/pool"], projection, 1)
    return put(n, f"{at}/output", L.Concat(branch1, branch3, branch5, branch_pool))


def _losses(n: NetSpec, at: str, scores: Top, weight: float, name: str) -> None:
    n[f"{at}/{at}"] = L.SoftmaxWithLoss(scores, n.label, loss_weight=weight, name=name)
    n[f"{at}/top-1"] = L.Accuracy(scores, n.label, include=dict(phase="TEST"))
    n[f"{at}/top-5"] = L.Accuracy(scores, n.label, include=dict(phase="TEST"), top_k=5)


def _side_classifier(n: NetSpec, at: str, bottom: Top) -> None:
    n[f"{at}/ave_pool"] = L.Pooling(bottom, pool="AVE", kernel_size=5, stride=3)
    x = _conv(n, f"{at}/conv", n[f"{at}/ave_pool"], 128, 1)
    n[f"{at}/fc"] = L.InnerProduct(x, num_output=1024, **_fillers())
    x = put(n, f"{at}/relu_fc", L.ReLU(n[f"{at}/fc"], in_place=True))
    x = put(n, f"{at}/drop_fc", L.Dropout(x, in_place=True, dropout_ratio=0.7))
    n[f"{at}/classifier"] = L.InnerProduct(x, num_output=1000, **_fillers(0))
    _losses(n, at, n[f"{at}/classifier"], 0.3, f"{at}/loss")


def _body(n: NetSpec) -> Top:
    x = _conv(n, "conv1/7x7_s2", n.data, 64, 7, pad=3, stride=2)
    x = _norm(n, "pool1/norm1", _pool(n, "pool1/3x3_s2", x))
    x = _conv(n, "conv2/3x3", _conv(n, "conv2/3x3_reduce", x, 64, 1), 192, 3, pad=1)
    x = _pool(n, "pool2/3x3_s2", _norm(n, "conv2/norm2", x))
    for module in _MODULES:
        x = _inception(n, module, x)
        if "label" in n and module in ("4a", "4d"):
            _side_classifier(n, "loss1" if module == "4a" else "loss2", x)
        if module in ("3b", "4e"):
            x = _pool(n, "pool3/3x3_s2" if module == "3b" else "pool4/3x3_s2", x)
    n["pool5/7x7_s1"] = L.Pooling(x, pool="AVE", kernel_size=7, stride=1)
    x = put(n, "pool5/drop_7x7_s1", L.Dropout(n["pool5/7x7_s1"], in_place=True, dropout_ratio=0.4))
    return put(n, "loss3/classifier", L.InnerProduct(x, num_output=1000, **_fillers(0)))


def deploy() -> caffe_pb2.NetParameter:
    """3×224×224 in, ImageNet's thousand probabilities out."""
    return _nets.deploy("GoogleNet", _body, (10, 3, 224, 224))


def train_val() -> caffe_pb2.NetParameter:
    """Over ImageNet's LMDBs, 32 images at a time, with three losses."""
    train = _nets.imagenet("TRAIN", 32, 224, mirror=True, **_MEAN)
    test = _nets.imagenet("TEST", 50, 224, mirror=False, **_MEAN)
    return _nets.train_val(
        "GoogleNet", _body, lambda n, scores: _losses(n, "loss3", scores, 1, "loss3/loss3"), train, test
    )


def _solver(prefix: str, **policy: Any) -> caffe_pb2.SolverParameter:
    return _nets.solver(
        FOLDER,
        prefix,
        test_iter=[1000],
        test_interval=4000,
        test_initialization=False,
        display=40,
        average_loss=40,
        base_lr=0.01,
        momentum=0.9,
        weight_decay=0.0002,
        snapshot=40000,
        **policy,
    )


def solver() -> caffe_pb2.SolverParameter:
    """The paper's: 4 % off the rate every eight epochs, ten million iterations."""
    return _solver("bvlc_googlenet", lr_policy="step", stepsize=320000, gamma=0.96, max_iter=10000000)


def quick_solver() -> caffe_pb2.SolverParameter:
    """A quarter of that: the rate falls with the root of what is left; the published weights are of this."""
    return _solver("bvlc_googlenet_quick", lr_policy="poly", power=0.5, max_iter=2400000)
