"""Mixed precision: parameters and losses stay float32, figures stay close, float16's losses are scaled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from inference_net import small_net
from support_nets import seeded_solver

import caffe
from caffe import layers as L
from caffe.errors import InputError


@pytest.fixture(autouse=True)
def _float32_again() -> Iterator[None]:
    yield
    caffe.set_amp(None)


def solver(iter_size: int = 1) -> caffe.SGDSolver:
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[6, 3, 9, 8]))
    n.label = L.Input(shape=dict(dim=[6]))
    n.conv = L.Convolution(n.data, kernel_size=3, num_output=8, weight_filler=dict(type="xavier"))
    n.norm = L.LRN(n.conv, local_size=3)
    n.bn = L.BatchNorm(n.norm)
    n.scale = L.Scale(n.bn, bias_term=True)
    n.relu = L.ReLU(n.scale, in_place=True)
    n.ip = L.InnerProduct(n.relu, num_output=5, weight_filler=dict(type="xavier"))
    n.loss = L.SoftmaxWithLoss(n.ip, n.label)
    return seeded_solver(n, weight_decay=0.01, iter_size=iter_size)


def losses(precision: str | None, **kwargs: Any) -> tuple[list[float], caffe.SGDSolver]:
    caffe.set_amp(precision)
    found = solver(**kwargs)
    values = []
    for _ in range(12):
        found.step(1)
        values.append(float(found.net.blobs["loss"].data))
    return values, found


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_training_follows_float32(precision: str) -> None:
    expected, _ = losses(None, iter_size=2)
    found, trained = losses(precision, iter_size=2)
    assert trained.net.blobs["conv"].tensor.dtype in (torch.bfloat16, torch.float16)
    assert all(p.blob.tensor.dtype == torch.float32 for p in trained.net.learnable)
    assert all(p.blob.diff_tensor.dtype == torch.float32 for p in trained.net.learnable)
    assert trained.net.blobs["loss"].tensor.dtype == torch.float32
    assert expected[-1] < 0.3 * expected[0]
    assert np.allclose(found, expected, atol=0.03 * expected[0])


def test_gradients_that_overflow_leave_the_update_out() -> None:
    caffe.set_amp("fp16")
    found = solver()
    found.step(1)
    before = found.net.params["ip"][0].data.copy()
    found.update.loss_scale.value = 2.0**40
    found.step(1)
    assert np.array_equal(found.net.params["ip"][0].data, before)
    assert found.update.loss_scale.value == 2.0**39
    found.update.loss_scale.value = 1024.0
    found.step(1)
    assert not np.array_equal(found.net.params["ip"][0].data, before)


def test_inference_reads_as_float32_and_sees_new_weights() -> None:
    net = small_net()
    net.blobs["data"].data[...] = np.random.default_rng(1).normal(size=(2, 3, 9, 8))
    expected = net.forward(blobs=["conv"])
    caffe.set_amp("bf16")
    for _ in range(2):
        found = net.forward(blobs=["conv"])
        for name in ("conv", "prob"):
            assert found[name].dtype == np.float32
            assert 0 < np.abs(found[name] - expected[name]).max() < 0.05 * np.abs(expected[name]).max()
    net.params["conv"][0].data[...] = 0
    assert not net.forward(blobs=["conv"])["conv"].any()


def test_unknown_precision() -> None:
    with pytest.raises(InputError, match="'tf32', 'bf16', 'fp16' or None; got 'int8'"):
        caffe.set_amp("int8")
