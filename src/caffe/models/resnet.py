"""ResNet with 50, 101 and 152 layers.

He, Zhang, Ren, Sun, Deep residual learning for image recognition, 2015. Only the deploy nets were published;
training is here as the paper and its readme have it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from caffe.models import _nets
from caffe.models._nets import put
from caffe.net_spec import NetSpec, Top
from caffe.net_spec import layers as L
from caffe.proto import caffe_pb2

_BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
_FIXED = [dict(lr_mult=0, decay_mult=0)] * 3
"""BatchNorm keeps statistics in its three blobs; the solver leaves them alone."""


def _block_names(depth: int, stage: int) -> Iterator[str]:
    """2a, 2b, 2c; long stages of the deep nets count: 3a, 3b1, 3b2 …"""
    count = _BLOCKS[depth][stage - 2]
    counts = depth > 50 and stage in (3, 4)
    for i in range(count):
        yield f"{stage}a" if i == 0 else f"{stage}b{i}" if counts else f"{stage}{chr(ord('a') + i)}"


def _normalized(n: NetSpec, suffix: str, bottom: Top) -> Top:
    """BatchNorm and Scale, in place."""
    n[f"bn{suffix}"] = L.BatchNorm(bottom, in_place=True, param=_FIXED)
    return put(n, f"scale{suffix}", L.Scale(n[f"bn{suffix}"], in_place=True, bias_term=True))


def _conv(n: NetSpec, branch: str, bottom: Top, channels: int, kernel: int, stride: int = 1) -> Top:
    name = f"res{branch}"
    n[name] = L.Convolution(
        bottom,
        num_output=channels,
        kernel_size=kernel,
        pad=kernel // 2,
        stride=stride,
        bias_term=False,
        weight_filler=dict(type="msra"),
    )
    return _normalized(n, branch, n[name])


def _relu(n: NetSpec, name: str, bottom: Top) -> Top:
    return put(n, f"{name}_relu", L.ReLU(bottom, in_place=True))


def _block(n: NetSpec, name: str, bottom: Top, channels: int, stride: int) -> Top:
    """1×1 to fewer channels, 3×3, 1×1 to four times as many, and the input added to that."""
    shortcut = bottom
    if name.endswith("a"):
        shortcut = _conv(n, f"{name}_branch1", bottom, 4 * channels, 1, stride)
    x = _relu(n, f"res{name}_branch2a", _conv(n, f"{name}_branch2a", bottom, channels, 1, stride))
    x = _relu(n, f"res{name}_branch2b", _conv(n, f"{name}_branch2b", x, channels, 3))
    x = _conv(n, f"{name}_branch2c", x, 4 * channels, 1)
    n[f"res{name}"] = L.Eltwise(shortcut, x)
    return _relu(n, f"res{name}", n[f"res{name}"])


def _body(depth: int) -> _nets.Body:
    def body(n: NetSpec) -> Top:
        first: dict[str, Any] = dict(num_output=64, kernel_size=7, pad=3, stride=2)
        if depth > 50:  # ResNet-50 was published with a bias that BatchNorm takes off again
            first["bias_term"] = False
        x = put(n, "conv1", L.Convolution(n.data, weight_filler=dict(type="msra"), **first))
        x = _relu(n, "conv1", _normalized(n, "_conv1", x))
        x = put(n, "pool1", L.Pooling(x, pool="MAX", kernel_size=3, stride=2))
        for stage in 2, 3, 4, 5:
            for i, name in enumerate(_block_names(depth, stage)):
                x = _block(n, name, x, 64 * 2 ** (stage - 2), 2 if stage > 2 and i == 0 else 1)
        n.pool5 = L.Pooling(x, pool="AVE", kernel_size=7, stride=1)
        return put(
            n,
            "fc1000",
            L.InnerProduct(
                n.pool5, num_output=1000, weight_filler=dict(type="msra"), bias_filler=_nets.constant()
            ),
        )

    return body


def deploy(depth: int) -> caffe_pb2.NetParameter:
    """3×224×224 in, ImageNet's thousand probabilities out."""
    return _nets.deploy(f"ResNet-{depth}", _body(depth), (1, 3, 224, 224), global_stats=True)


def train_val(depth: int) -> caffe_pb2.NetParameter:
    """Over ImageNet's LMDBs, 32 images at a time, so many as the authors' GPUs each normalized over."""
    mean = f"models/resnet_{depth}/ResNet_mean.binaryproto"
    train = _nets.imagenet("TRAIN", 32, 224, mirror=True, mean_file=mean)
    test = _nets.imagenet("TEST", 25, 224, mirror=False, mean_file=mean)
    return _nets.train_val(f"ResNet-{depth}", _body(depth), _nets.loss_and_accuracies, train, test)


def solver(depth: int) -> caffe_pb2.SolverParameter:
    """The paper's 600,000 iterations of 256 images; it takes a tenth of the rate when the error stands still."""
    return _nets.solver(
        f"models/resnet_{depth}",
        f"resnet_{depth}",
        test_iter=[2000],
        test_interval=5000,
        test_initialization=False,
        base_lr=0.1,
        lr_policy="multistep",
        gamma=0.1,
        stepvalue=[150000, 300000, 450000],
        display=20,
        max_iter=600000,
        iter_size=8,
        momentum=0.9,
        weight_decay=0.0001,
        snapshot=10000,
    )
