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
@pytest.mark.parametrize(
    ("shape", "stride"),
    [
        ((2, 5, 4, 3), (1, 1)),
        ((1, 7, 1, 6), (1, 1)),
        ((4, 1, 3, 2), (1, 1)),
        ((3, 6, 1, 1), (1, 1)),
        ((2, 3, 6, 5), (2, 2)),
        ((1, 4, 7, 2), (3, 1)),
        ((3, 1, 2, 5), (1, 2)),
    ],
)
def test_products(
    shape: tuple[int, ...], stride: tuple[int, int], layout: torch.memory_format, bias: bool
) -> None:
    x, weight, shift = random(*shape), random(8, shape[1], 1, 1), random(8) if bias else None

    def products(x: torch.Tensor, weight: torch.Tensor, shift: torch.Tensor | None = None) -> torch.Tensor:
        found: torch.Tensor = _pointwise.Products.apply(
            x.contiguous(memory_format=layout), weight, shift, stride
        )
        return found

    y = products(x, weight, shift)
    assert y.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(y, F.conv2d(x, weight, shift, stride))
    assert torch.autograd.gradcheck(products, (x, weight) if shift is None else (x, weight, shift))


def test_where_it_pays() -> None:
    weight, one = random(3, 5, 1, 1), (1, 1)
    assert _pointwise.pays(random(2, 5, 50, 100), weight, one)
    assert not _pointwise.pays(random(2, 5, 50, 101), weight, one)
    assert _pointwise.pays(random(2, 5, 101, 98), weight, (2, 1))
    assert not _pointwise.pays(random(2, 5, 101, 98), weight, (1, 1))
    assert not _pointwise.pays(random(2, 5, 0, 4), weight, one)
    assert not _pointwise.pays(random(2, 5, 4, 3), weight.detach(), one)
    with torch.no_grad():
        assert not _pointwise.pays(random(2, 5, 4, 3), weight, one)
    with torch.autocast("cpu", torch.bfloat16):
        assert not _pointwise.pays(random(2, 5, 4, 3), weight, one)


def net(**window: int) -> caffe.Net:
    xavier = dict(weight_filler=dict(type="xavier"), bias_filler=dict(type="gaussian"))
    n = caffe.NetSpec()
    n.data, n.other = (L.Input(shape=dict(dim=[3, 4, 6, 5])) for _ in range(2))
    three = dict(kernel_size=3, num_output=6, pad=1)
    n.a, n.b = (L.Convolution(x, name=name, **three, **xavier) for x, name in ((n.data, "a"), (n.other, "b")))
    n.c, n.d = L.Convolution(n.a, n.b, name="both", ntop=2, kernel_size=1, num_output=9, **window, **xavier)
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


@pytest.mark.cpu
@pytest.mark.parametrize("window", [{}, dict(stride=2), dict(stride_h=1, stride_w=3)])
def test_in_a_net(window: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    forward = _pointwise.Products.forward
    monkeypatch.setattr(_pointwise.Products, "forward", lambda *args: (calls.append(1), forward(*args))[1])
    found = figures(net(**window))
    assert len(calls) == 3
    monkeypatch.setattr(_pointwise, "pays", lambda *args: False)
    for name, values in figures(net(**window)).items():
        np.testing.assert_allclose(
            found[name], values, rtol=1e-5, atol=1e-5 * np.abs(values).max(), err_msg=name
        )
    assert len(calls) == 3


@pytest.mark.parametrize("window", [dict(pad=1), dict(pad_h=0, pad_w=2), dict(group=3)])
def test_not_of_other_windows(window: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: list[torch.Size] = []
    pays = _pointwise.pays
    monkeypatch.setattr(_pointwise, "pays", lambda x, *args: (shapes.append(x.shape), pays(x, *args))[1])
    net(**window).forward()
    assert {shape[1] for shape in shapes} == {9}  # the last layer's
