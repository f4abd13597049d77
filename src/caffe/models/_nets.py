"""How a body of layers becomes the nets that are published: one to train and test, one to deploy.

A family writes its layers once, as a function that fills a NetSpec with tops from ``n.data`` on, with
fillers and learning rates. Training puts data layers before them and losses behind; deploying puts an
Input before them and takes out what only training reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from caffe.net_spec import NetSpec, Top
from caffe.net_spec import layers as L
from caffe.proto import caffe_pb2

Body = Callable[[NetSpec], Top]
"""Fills a NetSpec from its data on; returns the scores."""
Ending = Callable[[NetSpec, Top], None]
"""Puts losses and accuracies (or what deploying wants) behind the scores."""

RATES = [dict(lr_mult=1), dict(lr_mult=2)]
"""Biases learn at twice the rate of weights."""
RATES_AND_DECAYS = [dict(lr_mult=1, decay_mult=1), dict(lr_mult=2, decay_mult=0)]
"""Biases learn at twice the rate of weights and do not decay."""
IMAGENET = {"TRAIN": "examples/imagenet/ilsvrc12_train_lmdb", "TEST": "examples/imagenet/ilsvrc12_val_lmdb"}
"""Where the ImageNet tutorial puts its databases."""

_ONLY_FOR_TRAINING = ("weight_filler", "bias_filler")


def put(n: NetSpec, name: str, top: Top) -> Top:
    """Name a top and its layer; returns the top."""
    n[name] = top
    return top


def gaussian(std: float) -> dict[str, Any]:
    """A filler of normal noise around 0."""
    return dict(type="gaussian", std=std)


def constant(value: float = 0) -> dict[str, Any]:
    """A filler with one value."""
    return dict(type="constant", value=value)


def imagenet(phase: str, batch_size: int, crop_size: int, **transform: Any) -> dict[str, Any]:
    """Arguments of a Data layer over ImageNet: crops, the mean taken off; ``transform`` says which mean."""
    return dict(
        source=IMAGENET[phase],
        batch_size=batch_size,
        backend="LMDB",
        transform_param=dict(crop_size=crop_size, **transform),
    )


def train_val(
    name: str,
    body: Body,
    ending: Ending,
    train: Mapping[str, Any],
    test: Mapping[str, Any],
    *,
    data: str = "data",
    kind: str = "Data",
) -> caffe_pb2.NetParameter:
    """The net over two layers of a ``kind`` called ``data``, whose arguments ``train`` and ``test`` are."""
    source = getattr(L, kind)
    n = NetSpec(name)
    n.data, n.label = source(name=data, ntop=2, include=dict(phase="TRAIN"), **train)
    ending(n, body(n))
    t = NetSpec()
    t.data, t.label = source(name=data, ntop=2, include=dict(phase="TEST"), **test)
    net = n.to_proto()
    return caffe_pb2.NetParameter(name=name, layer=[net.layer[0], t.to_proto().layer[0], *net.layer[1:]])


def deploy(
    name: str, body: Body, shape: Sequence[int], ending: Ending | None = None, *, global_stats: bool = False
) -> caffe_pb2.NetParameter:
    """The net over an Input of ``shape`` (N×C×H×W), without rates and fillers; ends in ``prob`` by default.

    ``global_stats`` has BatchNorm layers use their learned statistics in every phase.
    """
    n = NetSpec(name)
    n.data = L.Input(shape=dict(dim=list(shape)))
    scores = body(n)
    if ending is None:
        n.prob = L.Softmax(scores)
    else:
        ending(n, scores)
    net = n.to_proto()
    for layer in net.layer:
        layer.ClearField("param")
        for _, message in layer.ListFields():
            for field in _ONLY_FOR_TRAINING:
                if field in getattr(getattr(message, "DESCRIPTOR", None), "fields_by_name", ()):
                    message.ClearField(field)
        if global_stats and layer.type == "BatchNorm":
            layer.batch_norm_param.use_global_stats = True
    return net


def accuracy_and_loss(n: NetSpec, scores: Top) -> None:
    """The accuracy in tests, then the loss."""
    n.accuracy = L.Accuracy(scores, n.label, include=dict(phase="TEST"))
    n.loss = L.SoftmaxWithLoss(scores, n.label)


def loss_and_accuracies(n: NetSpec, scores: Top) -> None:
    """The loss, then in tests the share of images whose label is the first guess, or among the first five."""
    n.loss = L.SoftmaxWithLoss(scores, n.label)
    n["accuracy/top1"] = L.Accuracy(scores, n.label, include=dict(phase="TEST"))
    n["accuracy/top5"] = L.Accuracy(scores, n.label, include=dict(phase="TEST"), top_k=5)


def solver(
    folder: str, prefix: str, *, net: str = "train_val.prototxt", **settings: Any
) -> caffe_pb2.SolverParameter:
    """A solver over a net in the same folder; ``prefix`` is of its snapshots. Paths are from caffe_root."""
    return caffe_pb2.SolverParameter(
        net=f"{folder}/{net}", snapshot_prefix=f"{folder}/{prefix}", solver_mode="GPU", **settings
    )
