"""Normalization folded into the convolutions before it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch

import caffe
from caffe import layers as L
from caffe.kernels import native
from caffe.net.rewrites.compiling import fusing

pytestmark = pytest.mark.cpu


def build() -> caffe.Net:
    xavier = dict(type="xavier")
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[2, 6, 9, 8]))
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
    net.blobs["data"].data[...] = random.normal(size=(2, 6, 9, 8))
    return net


def planned(net: caffe.Net, *visible: str) -> list[list[str]]:
    blobs = {net.blobs[name] for name in (*net.outputs, *visible)}
    return [[net.steps[k].name for k in one.places] for one in fusing.plan(net.steps, blobs)]


def test_what_is_folded() -> None:
    assert planned(build()) == [["conv1", "bn1", "scale1"], ["conv2", "bn2", "scale2"]]  # conv3's top is read


def test_a_blob_that_is_wanted_stays() -> None:
    assert planned(build(), "conv2") == [["conv1", "bn1", "scale1"]]


def build_inception() -> caffe.Net:
    xavier = dict(weight_filler=dict(type="xavier"), bias_filler=dict(type="gaussian"))
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[2, 16, 23, 21]))
    n.norm = L.LRN(n.data, local_size=5, alpha=0.3)
    n.one = L.Convolution(n.norm, kernel_size=1, num_output=18, **xavier)
    n.one_relu = L.ReLU(n.one, in_place=True)
    n.reduce = L.Convolution(n.norm, kernel_size=1, num_output=17, **xavier)
    n.three = L.Convolution(n.reduce, kernel_size=3, pad=1, num_output=20, bias_term=False, **xavier)
    n.bn = L.BatchNorm(n.three, in_place=True)
    n.scale = L.Scale(n.bn, in_place=True)
    n.three_relu = L.ReLU(n.scale, in_place=True)
    n.five = L.Convolution(n.norm, kernel_size=5, pad=2, num_output=24, **xavier)
    n.five_relu = L.ReLU(n.five)
    n.joined = L.Concat(n.one_relu, n.three_relu, n.five_relu)
    n.last = L.Convolution(n.joined, kernel_size=3, num_output=19, **xavier)
    n.leaky = L.ReLU(n.last, negative_slope=0.1)
    net = caffe.Net(n, caffe.TEST)
    random = np.random.default_rng(2)
    net.params["bn"][0].data[...] = random.normal(size=20)
    net.params["bn"][1].data[...] = random.uniform(0.2, 3, 20)
    net.params["bn"][2].data[...] = 1
    net.blobs["data"].data[...] = random.normal(size=(2, 16, 23, 21))
    return net


def build_separable() -> caffe.Net:
    xavier = dict(weight_filler=dict(type="xavier"), bias_filler=dict(type="gaussian"))
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[2, 3, 23, 18]))
    n.first = L.Convolution(n.data, kernel_size=3, stride=2, pad=1, num_output=20, bias_term=False, **xavier)
    n.bn = L.BatchNorm(n.first, in_place=True)
    n.first_relu = L.ReLU(n.bn, in_place=True)
    n.dw1 = L.Convolution(n.first_relu, kernel_size=3, stride=2, pad=1, num_output=20, group=20, **xavier)
    n.dw1_relu = L.ReLU(n.dw1, in_place=True)
    n.sep1 = L.Convolution(n.dw1_relu, kernel_size=1, num_output=33, **xavier)
    n.sep1_relu = L.ReLU(n.sep1, in_place=True)
    five = dict(kernel_size=5, pad=2, num_output=33, bias_term=False, **xavier)
    n.dw2 = L.ConvolutionDepthwise(n.sep1_relu, convolution_param=five)
    n.sep2 = L.Convolution(n.dw2, kernel_size=1, num_output=17, bias_term=False, **xavier)
    n.dw3 = L.Convolution(n.sep2, kernel_size=3, pad=1, num_output=17, group=17, **xavier)
    n.sep3 = L.Convolution(n.dw3, kernel_size=1, num_output=9, **xavier)
    n.other = L.Convolution(n.dw3, kernel_size=1, num_output=7, **xavier)
    n.other_relu = L.ReLU(n.other)
    net = caffe.Net(n, caffe.TEST)
    random = np.random.default_rng(3)
    net.params["bn"][0].data[...] = random.normal(size=20)
    net.params["bn"][1].data[...] = random.uniform(0.2, 3, 20)
    net.params["bn"][2].data[...] = 1
    net.blobs["data"].data[...] = random.normal(size=(2, 3, 23, 18))
    return net


def build_chain() -> caffe.Net:
    xavier = dict(weight_filler=dict(type="xavier"), bias_filler=dict(type="gaussian"))
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[3, 3, 67, 121]))
    n.first = L.Convolution(n.data, kernel_size=3, stride=2, pad=1, num_output=20, **xavier)
    x = L.ReLU(n.first, in_place=True)
    n.first_relu = x
    channels = 20
    for i, (outputs, stride) in enumerate([(18, 1), (33, 1), (300, 2), (250, 1), (21, 2)]):
        three = dict(kernel_size=3, stride=stride, pad=1, num_output=channels, group=channels)
        n[f"dw{i}"] = L.Convolution(x, **three, **xavier)
        n[f"sep{i}"] = L.Convolution(n[f"dw{i}"], kernel_size=1, num_output=outputs, **xavier)
        n[f"relu{i}"] = x = L.ReLU(n[f"sep{i}"], in_place=True)
        channels = outputs
    net = caffe.Net(n, caffe.TEST)
    net.blobs["data"].data[...] = np.random.default_rng(4).normal(size=(3, 3, 67, 121))
    return net


JOINED = ["one", "one_relu", "three", "bn", "scale", "three_relu", "five", "five_relu", "joined"]


@pytest.mark.skipif(native.library() is None, reason="there is no C++ compiler that can build the kernels")
def test_what_runs_by_kernels_of_ours() -> None:
    net = build_inception()
    assert planned(net) == [["norm"], JOINED, ["last"]]  # a leaky ReLU stays
    apart = [
        ["norm"],
        ["one", "one_relu"],
        ["three", "bn", "scale", "three_relu"],
        ["five", "five_relu"],
        ["last"],
    ]
    assert sorted(planned(net, "five_relu")) == sorted(apart)  # a blob that is wanted isn't joined


@pytest.mark.skipif(native.library() is None, reason="there is no C++ compiler that can build the kernels")
def test_depthwise_convolutions_and_those_of_images() -> None:
    net = build_separable()
    first, one = ["first", "bn", "first_relu"], ["dw1", "dw1_relu", "sep1", "sep1_relu"]
    # dw3's top is read twice
    assert sorted(planned(net)) == sorted([first, one, ["dw2", "sep2"], ["other", "other_relu"]])
    assert sorted(planned(net, "dw1")) == sorted(
        [first, ["sep1", "sep1_relu"], ["dw2", "sep2"], ["other", "other_relu"]]
    )


@pytest.mark.skipif(native.library() is None, reason="there is no C++ compiler that can build the kernels")
def test_what_runs_row_by_row() -> None:
    def names(*numbers: int) -> list[str]:
        return [f"{kind}{i}" for i in numbers for kind in ("dw", "sep", "relu")]

    net, first = build_chain(), ["first", "first_relu"]
    # 3 has too many kernels to be in a cache with the others, 4 has few on small maps
    assert planned(net) == [[*first, *names(0, 1, 2)], names(3), names(4)]
    assert planned(net, "sep0") == [[*first, *names(0)], names(1, 2), names(3), names(4)]


@pytest.mark.skipif(native.library() is None, reason="there is no C++ compiler that can build the kernels")
def test_row_by_row_where_each_thread_has_images(request: pytest.FixtureRequest) -> None:
    request.addfinalizer(partial(torch.set_num_threads, torch.get_num_threads()))
    counts = []
    for threads in (1, 2, 3, 8):
        torch.set_num_threads(threads)
        counts.append(len(planned(build_chain())))
    assert counts == [3, 3, 3, 6]  # of operations, for three images


@pytest.mark.skipif(native.library() is None, reason="there is no C++ compiler that can build the kernels")
@pytest.mark.parametrize(("size", "fused"), [(16, True), (17, False)])
def test_large_depthwise_kernels(size: int, fused: bool) -> None:
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[2, 5, 21, 18]))
    n.dw = L.Convolution(n.data, kernel_size=size, num_output=5, group=5)
    n.sep = L.Convolution(n.dw, kernel_size=1, num_output=7)
    assert planned(caffe.Net(n, caffe.TEST)) == ([["dw", "sep"]] if fused else [])


def test_not_in_mixed_precision(request: pytest.FixtureRequest) -> None:
    request.addfinalizer(lambda: caffe.set_amp(None))
    caffe.set_amp("bf16")
    assert planned(build_inception()) == [["three", "bn", "scale"]]


@pytest.mark.parametrize("build", [build, build_inception, build_separable, build_chain])
def test_same_values(build: Callable[[], caffe.Net]) -> None:
    net = build()
    expected = {name: blob.data.copy() for name, blob in net.blobs.items() if net.forward()}
    net.compile()
    for _ in range(3):
        net.forward()
    assert "compiled" in str(net.plan())
    for name, values in expected.items():
        assert np.abs(net.blobs[name].data - values).max() <= 1e-5 * np.abs(values).max(), name
