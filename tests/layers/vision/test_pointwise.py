"""1×1 convolutions in training against torch's convolution."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import caffe
from caffe import layers as L
from caffe.layers.vision import _pointwise


def random(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("shape", [(2, 5, 4, 3), (1, 7, 1, 6), (4, 1, 3, 2), (3, 6, 1, 1)])
def test_products(shape: tuple[int, ...], layout: torch.memory_format, bias: bool) -> None:
    x, weight, shift = random(*shape), random(8, shape[1], 1, 1), random(8) if bias else None
    y = _pointwise.Products.apply(x.contiguous(memory_format=layout), weight, shift)
    assert y.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(y, F.conv2d(x, weight, shift))
    inputs = (x, weight) if shift is None else (x, weight, shift)
    assert torch.autograd.gradcheck(
        lambda *tensors: _pointwise.Products.apply(*tensors, *(None,) * (not bias)), inputs
    )


def test_where_it_pays() -> None:
    weight = random(3, 5, 1, 1)
    assert _pointwise.pays(random(2, 5, 50, 100), weight)
    assert not _pointwise.pays(random(2, 5, 50, 101), weight)
    assert not _pointwise.pays(random(2, 5, 0, 4), weight)
    assert not _pointwise.pays(random(2, 5, 4, 3), weight.detach())
    with torch.no_grad():
        assert not _pointwise.pays(random(2, 5, 4, 3), weight)
    with torch.autocast("cpu", torch.bfloat16):
        assert not _pointwise.pays(random(2, 5, 4, 3), weight)


def net(**window: int) -> caffe.Net:
    xavier = dict(weight_filler=dict(type="xavier"), bias_filler=dict(type="gaussian"))
    n = caffe.NetSpec()
    n.data, n.other = (L.Input(shape=dict(dim=[3, 4, 6, 5])) for _ in range(2))
    three = dict(kernel_size=3, num_output=6, pad=1)
    n.a, n.b = (L.Convolution(x, name=name, **three, **xavier) for x, name in ((n.data, "a"), (n.other, "b")))
    n.c, n.d = L.Convolution(n.a, n.b, name="both", ntop=2, kernel_size=1, num_output=7, **window, **xavier)
    n.relu = L.ReLU(n.c, in_place=True)
    n.e = L.Convolution(n.relu, kernel_size=1, num_output=2, bias_term=False, **xavier)
    n.f = L.Reduction(n.e, operation=caffe.params.Reduction.SUMSQ, loss_weight=1)
    n.g = L.Reduction(n.d, operation=caffe.params.Reduction.SUMSQ, loss_weight=1)
    caffe.set_random_seed(3)
    found = caffe.Net(n, caffe.TRAIN)
    for i, name in enumerate(("data", "other")):
        found.blobs[name].data[...] = np.random.default_rng(i).normal(size=(3, 4, 6, 5))
    return found


def figures(net: caffe.Net) -> dict[str, np.ndarray]:
    net.forward()
    net.backward()
    found = {f"{name} {i}": b.diff.copy() for name, blobs in net.params.items() for i, b in enumerate(blobs)}
    found |= {name: blob.diff.copy() for name, blob in net.blobs.items()}
    return found | {f"{name} data": blob.data.copy() for name, blob in net.blobs.items()}


def test_in_a_net(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    forward = _pointwise.Products.forward
    monkeypatch.setattr(_pointwise.Products, "forward", lambda *args: (calls.append(1), forward(*args))[1])
    found = figures(net())
    assert len(calls) == 3
    monkeypatch.setattr(_pointwise, "pays", lambda *args: False)
    for name, values in figures(net()).items():
        np.testing.assert_allclose(
            found[name], values, rtol=1e-5, atol=1e-5 * np.abs(values).max(), err_msg=name
        )
    assert len(calls) == 3


@pytest.mark.parametrize("window", [dict(stride=2), dict(pad=1), dict(stride_h=1, stride_w=2)])
def test_not_of_other_windows(window: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: list[torch.Size] = []
    pays = _pointwise.pays
    monkeypatch.setattr(_pointwise, "pays", lambda x, weight: (shapes.append(x.shape), pays(x, weight))[1])
    net(**window).forward()
    assert {shape[1] for shape in shapes} == {7}  # the last layer's
