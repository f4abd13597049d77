"""Layers merged behind the user's back: the same figures, whole, in parts, watched by hooks."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import pytest
import torch

import caffe
from caffe import layers as L
from caffe.net.rewrites.norm_into_convolution import FoldedConvolution


def build(phase: int) -> caffe.Net:
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[5, 3, 4, 6]))
    n.conv = L.Convolution(
        n.data, kernel_size=3, num_output=7, bias_term=False, weight_filler=dict(type="xavier")
    )
    n.bn = L.BatchNorm(n.conv, in_place=True)
    n.scale = L.Scale(n.bn, bias_term=True, in_place=True, filler=dict(type="uniform", min=0.5, max=2))
    n.relu = L.ReLU(n.scale, in_place=True)
    n.ip = L.InnerProduct(n.relu, num_output=2, weight_filler=dict(type="xavier"))
    n.loss = L.Reduction(n.ip, operation=L_SUMSQ, loss_weight=1)
    caffe.set_random_seed(5)
    net = caffe.Net(n, phase)
    net.blobs["data"].data[...] = np.random.default_rng(1).normal(size=(5, 3, 4, 6))
    for i in range(3):
        net.params["bn"][i].data[...] = 1 + 0.1 * i
    return net


L_SUMSQ = caffe.params.Reduction.SUMSQ


def figures(net: caffe.Net) -> dict[str, Any]:
    found = {f"{k}{i}": b.data.copy() for k, v in net.params.items() for i, b in enumerate(v)}
    found.update({f"d{k}{i}": b.diff.copy() for k, v in net.params.items() for i, b in enumerate(v)})
    found["conv"], found["loss"] = net.blobs["conv"].data.copy(), net.blobs["loss"].data.copy()
    return found | {"dconv": net.blobs["conv"].diff.copy()}


def expected(phase: int) -> dict[str, Any]:
    """Layer by layer."""
    net = build(phase)
    for _ in range(2):
        net.clear_param_diffs()
        for k in range(len(net.layers)):
            net._forward(k, k)
        for k in reversed(range(len(net.layers))):
            net._backward(k, k)
    return figures(net)


def same(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    for name, values in wanted.items():
        scale = np.abs(values).max()
        assert np.abs(found[name] - values).max() <= 1e-5 * scale, name


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
def test_whole(phase: int) -> None:
    net = build(phase)
    for _ in range(2):
        net.clear_param_diffs()
        net.forward()
        net.backward()
    assert ("bn + scale", ("scale into norm",)) in [(op.names, op.rewrites) for op in net.plan().ops]
    same(figures(net), expected(phase))


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
def test_backward_in_parts_after_a_whole_forward(phase: int) -> None:
    net = build(phase)
    for _ in range(2):
        net.clear_param_diffs()
        net.forward()
        net.backward(end="scale")
        net.backward(start="bn")
    same(figures(net), expected(phase))


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
def test_backward_after_a_whole_forward_and_a_part(phase: int) -> None:
    net = build(phase)
    for _ in range(2):
        net.clear_param_diffs()
        net.forward()
        net.forward(start="ip")
        net.backward()
    same(figures(net), expected(phase))


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
def test_backward_layer_by_layer_after_a_forward_in_parts(phase: int) -> None:
    net = build(phase)
    net.forward()
    wanted = build(phase)
    for net_ in (net, wanted):
        net_.blobs["data"].data[...] *= 3
    for _ in range(2):
        for net_ in (net, wanted):
            net_.clear_param_diffs()
        net.forward(end="bn")
        net.forward(start="scale")
        for k in range(len(wanted.layers)):
            wanted._forward(k, k)
        net.backward()
        wanted.backward()
    # the statistics have seen one batch more; a TRAIN net does not read them
    net_figures, wanted_figures = figures(net), figures(wanted)
    for i in range(3):
        wanted_figures.pop(f"bn{i}")
    same(net_figures, wanted_figures)


def test_hooks_see_every_layer() -> None:
    net = build(caffe.TEST)
    means = []
    net.after_forward(lambda i: means.append(float(net.blobs["conv"].data.mean())))
    net.forward()
    conv, bn, scale, relu = means[1:5]
    assert len({conv, bn, scale, relu}) == 4


def test_views_of_what_is_overwritten_stay() -> None:
    net = build(caffe.TEST)
    net.forward(end="scale")
    view = net.blobs["conv"].data
    before = view.copy()
    assert before.min() < 0
    net.forward(start="relu")
    assert np.array_equal(view, before)
    assert net.blobs["conv"].data.min() == 0


def outputs(net: caffe.Net) -> np.ndarray:
    net.forward()
    return net.blobs["ip"].data.copy()


def test_inference_folds_into_convolutions() -> None:
    net = build(caffe.TEST)
    wanted = outputs(net)
    net.set_inference(keep=["ip"])
    assert np.abs(outputs(net) - wanted).max() <= 1e-5 * np.abs(wanted).max()
    assert [op.names for op in net.plan().ops if len(op.steps) > 1] == ["conv + bn + scale + relu"]


@pytest.mark.parametrize("name", ["conv", "bn", "scale"])
def test_inference_sees_changed_weights(name: str) -> None:
    net = build(caffe.TEST)
    net.set_inference(keep=["ip"])
    before = outputs(net)
    view = net.params[name][0].data
    for _ in range(2):  # the second is through a view from before a forward
        view[...] *= 1.5
        found = outputs(net)
        net.set_inference(False)
        wanted = outputs(net)
        net.set_inference(keep=["ip"])
        assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()
        assert np.abs(found - before).max() > 1e-2 * np.abs(before).max()
        before = found


def test_inference_in_parts_runs_layer_by_layer() -> None:
    net = build(caffe.TEST)
    wanted = outputs(net)
    net.set_inference(keep=["ip"])
    net.forward()
    for k in range(len(net.layers)):
        net._forward(k, k)
    assert np.abs(net.blobs["ip"].data - wanted).max() <= 1e-5 * np.abs(wanted).max()
    assert all(entry is not None and len(entry.op.steps) == 1 for entry in net._executor.trace.entries)


def test_inference_in_mixed_precision_folds_in_float32(request: pytest.FixtureRequest) -> None:
    """… and rounds what came out of it: the kernels are bfloat16, the values near float32's, and so again after it."""
    request.addfinalizer(lambda: caffe.set_amp(None))
    net = build(caffe.TEST)
    net.set_inference()
    expected = {name: array.copy() for name, array in net.forward().items()}
    for precision, dtype, tolerance in (("bf16", torch.bfloat16, 0.03), (None, torch.float32, 1e-6)):
        caffe.set_amp(precision)
        found = net.forward()
        for name, array in expected.items():
            assert np.abs(found[name] - array).max() <= tolerance * np.abs(array).max()
        folded = net.plan().ops[1].layer
        assert isinstance(folded, FoldedConvolution)
        assert folded._parameters(torch.device("cpu"), graph=False)[0].dtype == dtype


def test_inference_packs_kernels_once() -> None:
    net = build(caffe.TEST)
    net.set_inference()
    net.forward()
    folded = net.plan().ops[1].layer
    assert isinstance(folded, FoldedConvolution)
    packed = folded._folded
    net.forward()
    net.forward(blobs=["conv"])  # another plan
    assert packed is not None and folded._folded is packed
    gone = weakref.ref(folded)
    del folded
    net.set_inference(False)
    net.forward()
    assert gone() is None


def test_inference_follows_new_shapes() -> None:
    net, other = build(caffe.TEST), build(caffe.TEST)
    net.set_inference(keep=["conv"])
    net.forward()
    values = np.random.default_rng(2).normal(size=(2, 3, 4, 6))
    for each in (net, other):
        each.blobs["data"].reshape(2, 3, 4, 6)
        each.blobs["data"].data[...] = values
        each.forward()
    assert np.abs(net.blobs["conv"].data - other.blobs["conv"].data).max() < 1e-5
