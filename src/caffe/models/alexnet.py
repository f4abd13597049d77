"""AlexNet, CaffeNet, which pools before it normalizes, and R-CNN's variant of that for ILSVRC13.

Krizhevsky, Sutskever, Hinton, ImageNet classification with deep convolutional neural networks, 2012; without
its change of the light. Girshick et al., Rich feature hierarchies, 2014, for R-CNN.
"""

from __future__ import annotations

from typing import Any

from caffe.models import _nets
from caffe.models._nets import put
from caffe.net_spec import NetSpec, Top
from caffe.net_spec import layers as L
from caffe.proto import caffe_pb2

ALEXNET, CAFFENET = "models/bvlc_alexnet", "models/bvlc_reference_caffenet"
RCNN, FLICKR = "models/bvlc_reference_rcnn_ilsvrc13", "models/finetune_flickr_style"
_MEAN = dict(mean_file="data/ilsvrc12/imagenet_mean.binaryproto")
_SHAPE = (10, 3, 227, 227)
_CONVOLUTIONS: tuple[dict[str, Any], ...] = (
    dict(num_output=96, kernel_size=11, stride=4),
    dict(num_output=256, pad=2, kernel_size=5, group=2),
    dict(num_output=384, pad=1, kernel_size=3),
    dict(num_output=384, pad=1, kernel_size=3, group=2),
    dict(num_output=256, pad=1, kernel_size=3, group=2),
)
_BIASED = (2, 4, 5)
"""Convolutions whose biases start above 0, so that ReLUs have something to learn from at first."""


def _fillers(std: float, bias: float) -> dict[str, Any]:
    return dict(
        weight_filler=_nets.gaussian(std), bias_filler=_nets.constant(bias), param=_nets.RATES_AND_DECAYS
    )


def _features(n: NetSpec, *, bias: float, pool_first: bool) -> Top:
    """conv1 to drop7: 4096 values of an image."""
    x: Top = n.data
    for i, shape in enumerate(_CONVOLUTIONS, 1):
        n[f"conv{i}"] = L.Convolution(x, **shape, **_fillers(0.01, bias if i in _BIASED else 0))
        x = put(n, f"relu{i}", L.ReLU(n[f"conv{i}"], in_place=True))
        for kind in ("pool", "norm") if pool_first else ("norm", "pool"):
            if kind == "norm" and i <= 2:
                x = put(n, f"norm{i}", L.LRN(x, local_size=5, alpha=0.0001, beta=0.75))
            elif kind == "pool" and i in (1, 2, 5):
                x = put(n, f"pool{i}", L.Pooling(x, pool="MAX", kernel_size=3, stride=2))
    for i in 6, 7:
        n[f"fc{i}"] = L.InnerProduct(x, num_output=4096, **_fillers(0.005, bias))
        n[f"relu{i}"] = L.ReLU(n[f"fc{i}"], in_place=True)
        x = put(n, f"drop{i}", L.Dropout(n[f"relu{i}"], in_place=True, dropout_ratio=0.5))
    return x


def _scores(n: NetSpec, name: str, num_output: int, features: Top) -> Top:
    return put(n, name, L.InnerProduct(features, num_output=num_output, **_fillers(0.01, 0)))


def _alexnet(n: NetSpec) -> Top:
    return _scores(n, "fc8", 1000, _features(n, bias=0.1, pool_first=False))


def _caffenet(n: NetSpec) -> Top:
    return _scores(n, "fc8", 1000, _features(n, bias=1, pool_first=True))


def _rcnn(n: NetSpec) -> Top:
    return _scores(n, "fc-rcnn", 200, _features(n, bias=1, pool_first=True))


def _flickr(n: NetSpec) -> Top:
    """The new last layer learns ten times as fast as those that are fine-tuned."""
    fillers = _fillers(0.01, 0)
    fillers["param"] = [dict(lr_mult=10, decay_mult=1), dict(lr_mult=20, decay_mult=0)]
    features = _features(n, bias=1, pool_first=True)
    return put(n, "fc8_flickr", L.InnerProduct(features, num_output=20, **fillers))


def _train_val(name: str, body: _nets.Body) -> caffe_pb2.NetParameter:
    train = _nets.imagenet("TRAIN", 256, 227, mirror=True, **_MEAN)
    test = _nets.imagenet("TEST", 50, 227, mirror=False, **_MEAN)
    return _nets.train_val(name, body, _nets.accuracy_and_loss, train, test)


def _solver(folder: str, prefix: str) -> caffe_pb2.SolverParameter:
    return _nets.solver(
        folder,
        prefix,
        test_iter=[1000],
        test_interval=1000,
        base_lr=0.01,
        lr_policy="step",
        gamma=0.1,
        stepsize=100000,
        display=20,
        max_iter=450000,
        momentum=0.9,
        weight_decay=0.0005,
        snapshot=10000,
    )


def alexnet_deploy() -> caffe_pb2.NetParameter:
    """3×227×227 in, ImageNet's thousand probabilities out."""
    return _nets.deploy("AlexNet", _alexnet, _SHAPE)


def alexnet_train_val() -> caffe_pb2.NetParameter:
    """Over ImageNet's LMDBs, 256 images at a time."""
    return _train_val("AlexNet", _alexnet)


def alexnet_solver() -> caffe_pb2.SolverParameter:
    """450,000 iterations, 90 epochs."""
    return _solver(ALEXNET, "caffe_alexnet_train")


def caffenet_deploy() -> caffe_pb2.NetParameter:
    """3×227×227 in, ImageNet's thousand probabilities out."""
    return _nets.deploy("CaffeNet", _caffenet, _SHAPE)


def caffenet_train_val() -> caffe_pb2.NetParameter:
    """Over ImageNet's LMDBs, 256 images at a time."""
    return _train_val("CaffeNet", _caffenet)


def caffenet_solver() -> caffe_pb2.SolverParameter:
    """450,000 iterations, 90 epochs; the published weights are those of iteration 310,000."""
    return _solver(CAFFENET, "caffenet_train")


def rcnn_deploy() -> caffe_pb2.NetParameter:
    """3×227×227 windows in, 200 SVMs' scores out; only this one was published: the SVMs were learned elsewhere."""
    return _nets.deploy("R-CNN-ilsvrc13", _rcnn, _SHAPE, ending=lambda n, scores: None)


def flickr_deploy() -> caffe_pb2.NetParameter:
    """3×227×227 in, the probabilities of twenty styles of photos out."""
    return _nets.deploy("FlickrStyleCaffeNet", _flickr, _SHAPE)


def flickr_train_val() -> caffe_pb2.NetParameter:
    """CaffeNet to be fine-tuned on image files, 50 at a time."""

    def data(part: str, mirror: bool) -> dict[str, Any]:
        images = dict(source=f"data/flickr_style/{part}.txt", batch_size=50, new_height=256, new_width=256)
        return dict(image_data_param=images, transform_param=dict(mirror=mirror, crop_size=227, **_MEAN))

    return _nets.train_val(
        "FlickrStyleCaffeNet",
        _flickr,
        _nets.accuracy_and_loss,
        data("train", True),
        data("test", False),
        kind="ImageData",
    )


def flickr_solver() -> caffe_pb2.SolverParameter:
    """100,000 iterations from CaffeNet's weights, at a tenth of the rate that those were learned with."""
    solver = _solver(FLICKR, "finetune_flickr_style")
    solver.test_iter[:] = [100]
    solver.base_lr, solver.stepsize, solver.max_iter = 0.001, 20000, 100000
    return solver
