"""VGG with 16 and 19 layers: convolutions of 3×3 only.

Simonyan, Zisserman, Very deep convolutional networks for large-scale image recognition, 2014 (its
configurations D and E). Only the deploy nets were published; training is here as the paper has it. It begins
with xavier, which the paper found to do without training a shallower net first.
"""

from __future__ import annotations

from typing import Any

from caffe.models import _nets
from caffe.models._nets import put
from caffe.net_spec import NetSpec, Top
from caffe.net_spec import layers as L
from caffe.proto import caffe_pb2

_CONVOLUTIONS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""How many convolutions there are before each pool."""
_MEAN = dict(mean_value=[103.939, 116.779, 123.68])
_FILLERS: dict[str, Any] = dict(weight_filler=dict(type="xavier"), bias_filler=_nets.constant())


def convolutions(n: NetSpec, depth: int, stages: int = 5, **settings: Any) -> Top:
    """The convolutions of VGG, conv1_1 and so on, with a pool after each stage but the last."""
    x: Top = n.data
    for stage, count in enumerate(_CONVOLUTIONS[depth][:stages], 1):
        for i in range(1, count + 1):
            name = f"{stage}_{i}"
            n[f"conv{name}"] = L.Convolution(
                x, num_output=64 * 2 ** min(stage - 1, 3), pad=1, kernel_size=3, **_FILLERS, **settings
            )
            x = put(n, f"relu{name}", L.ReLU(n[f"conv{name}"], in_place=True))
        if stage < stages:
            x = put(n, f"pool{stage}", L.Pooling(x, pool="MAX", kernel_size=2, stride=2))
    return x


def _body(depth: int) -> _nets.Body:
    def body(n: NetSpec) -> Top:
        x = put(n, "pool5", L.Pooling(convolutions(n, depth), pool="MAX", kernel_size=2, stride=2))
        for i in 6, 7:
            n[f"fc{i}"] = L.InnerProduct(x, num_output=4096, **_FILLERS)
            n[f"relu{i}"] = L.ReLU(n[f"fc{i}"], in_place=True)
            x = put(n, f"drop{i}", L.Dropout(n[f"relu{i}"], in_place=True, dropout_ratio=0.5))
        return put(n, "fc8", L.InnerProduct(x, num_output=1000, **_FILLERS))

    return body


def deploy(depth: int) -> caffe_pb2.NetParameter:
    """3×224×224 in, ImageNet's thousand probabilities out."""
    return _nets.deploy(f"VGG_ILSVRC_{depth}_layers", _body(depth), (10, 3, 224, 224))


def train_val(depth: int) -> caffe_pb2.NetParameter:
    """Over ImageNet's LMDBs, 32 images at a time, eight times an iteration: the paper's 256."""
    train = _nets.imagenet("TRAIN", 32, 224, mirror=True, **_MEAN)
    test = _nets.imagenet("TEST", 50, 224, mirror=False, **_MEAN)
    return _nets.train_val(f"VGG_ILSVRC_{depth}_layers", _body(depth), _nets.accuracy_and_loss, train, test)


def solver(depth: int) -> caffe_pb2.SolverParameter:
    """370,000 iterations; the paper takes a tenth of the rate three times, when the accuracy stands still."""
    return _nets.solver(
        f"models/vgg{depth}",
        f"VGG_ILSVRC_{depth}_layers",
        test_iter=[1000],
        test_interval=5000,
        test_initialization=False,
        base_lr=0.01,
        lr_policy="multistep",
        gamma=0.1,
        stepvalue=[100000, 200000, 300000],
        display=20,
        max_iter=370000,
        iter_size=8,
        momentum=0.9,
        weight_decay=0.0005,
        snapshot=10000,
    )
