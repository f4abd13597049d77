"""Normalization folded into the convolutions before it."""

from __future__ import annotations

import numpy as np

import caffe
from caffe import layers as L
from caffe.net import folding


def build() -> caffe.Net:
    xavier = dict(type="xavier")
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[2, 3, 9, 8]))
    n.conv1 = L.Convolution(n.data, kernel_size=3, num_output=7, bias_term=False, weight_filler=xavier)
    n.bn1 = L.BatchNorm(n.conv1, in_place=True)
    n.scale1 = L.Scale(n.bn1, bias_term=True, in_place=True)
    n.relu1 = L.ReLU(n.scale1, in_place=True)
    n.conv2 = L.Convolution(n.relu1, kernel_size=2, num_output=5, weight_filler=xavier)
    n.bn2 = L.BatchNorm(n.conv2)
    n.scale2 = L.Scale(n.bn2)
    n.conv3 = L.ConvolutionDepthwise(
        n.scale2, convolution_param=dict(kernel_size=3, num_output=5, weight_filler=xavier)
    )
    n.bn3 = L.BatchNorm(n.conv3)
    n.both = L.Eltwise(n.conv3, n.bn3)
    net = caffe.Net(n, caffe.TEST)
    random = np.random.default_rng(1)
    for name, blobs in net.params.items():
        for i, blob in enumerate(blobs):
            blob.data[...] = random.normal(size=blob.shape) if "conv" in name else random.uniform(0.5, 3)
            if "bn" in name and i < 2:
                blob.data[...] = random.uniform(0.2, 3, blob.shape)
            if "scale" in name:
                blob.data[...] = random.normal(size=blob.shape)
    net.blobs["data"].data[...] = random.normal(size=(2, 3, 9, 8))
    return net


def folded(net: caffe.Net) -> dict[str, list[str]]:
    steps = net.steps
    visible = {id(net.blobs[name]) for name in net.outputs}
    found = folding.chains(steps, visible)
    return {steps[i].name: [steps[k].name for k in chain] for i, chain in found.items()}


def test_what_is_folded() -> None:
    assert folded(build()) == {"conv1": ["bn1", "scale1"], "conv2": ["bn2", "scale2"]}  # conv3's top is read


def test_a_blob_that_is_wanted_stays() -> None:
    net = build()
    visible = {id(net.blobs["conv2"])}
    assert [net.steps[i].name for i in folding.chains(net.steps, visible)] == ["conv1"]


def test_same_values() -> None:
    net = build()
    expected = {name: blob.data.copy() for name, blob in net.blobs.items() if net.forward()}
    net.compile()
    for _ in range(3):
        net.forward()
    assert net._compiled is not None and net._compiled.latest
    for name, values in expected.items():
        assert np.abs(net.blobs[name].data - values).max() <= 1e-5 * np.abs(values).max(), name
