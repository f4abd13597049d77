"""Coordinate maps through convolution, pooling, deconvolution and crops, by hand-computed positions."""

import numpy as np
import pytest

from caffe import layers as L
from caffe.coord_map import (
    AxisMismatchException,
    UndefinedMapException,
    compose,
    coord_map,
    coord_map_from_to,
    crop,
    inverse,
)
from caffe.errors import CaffeError
from caffe.net_spec import NetSpec


def up_and_down(kernel=3, stride=1, pad=0, pool=2, up=2, up_pad=0):
    """Convolution, pooling, and a deconvolution that undoes the pooling."""
    n = NetSpec()
    n.data = L.Input(shape=[2, 1, 100, 90])
    n.conv = L.Convolution(n.data, num_output=10, kernel_size=kernel, stride=stride, pad=pad)
    n.pool = L.Pooling(n.conv, kernel_size=pool, stride=pool)
    n.deconv = L.Deconvolution(n.pool, num_output=10, kernel_size=np.multiply(up, 2), stride=up, pad=up_pad)
    return n


@pytest.mark.parametrize(("factor", "offset"), [(2, 0), (4, -1)])
def test_pooling_undone_by_deconvolution(factor, offset):
    n = up_and_down(pool=factor, up=factor)
    axis, a, b = coord_map_from_to(n.deconv, n.data)
    assert (axis, a, b) == (1, 1, offset)


def test_padding_moves_the_map():
    n = up_and_down()
    _, a, b = coord_map_from_to(n.deconv, n.data)
    for pad, up_pad, moved in ((5, 0, -5), (0, 5, 5), (5, 5, 0)):
        n = up_and_down(pad=pad, up_pad=up_pad)
        assert coord_map_from_to(n.deconv, n.data)[1:] == (a, b + moved)


def test_strides_and_dilation():
    n = NetSpec()
    n.data = L.Input(shape=[2, 1, 100, 90])
    n.conv = L.Convolution(n.data, num_output=4, kernel_size=3, dilation=2, stride=4, pad=1)
    # position x of conv sees data 4x - 1 … 4x + 3, its centre at 4x + 1
    assert coord_map_from_to(n.conv, n.data) == (1, 4, 1)
    assert coord_map_from_to(n.data, n.conv) == (1, 1 / 4, -1 / 4)


def test_layers_that_keep_positions():
    n = up_and_down()
    before = coord_map_from_to(n.deconv, n.data)
    n.relu = L.ReLU(n.deconv)
    n.conv1x1 = L.Convolution(n.relu, num_output=10, kernel_size=1)
    for top in (n.relu, n.conv1x1):
        assert coord_map_from_to(top, n.data) == before
    assert coord_map_from_to(n.data, n.data) == (None, 1, 0)


def test_several_bottoms_and_tops():
    n = NetSpec()
    n.a, n.b = L.Input(shape=[2, 1, 30, 20]), L.Input(shape=[2, 1, 50, 40])
    n.x, n.y = L.Convolution(n.a, n.b, ntop=2, num_output=10, kernel_size=5, stride=2)
    assert coord_map_from_to(n.x, n.a) == coord_map_from_to(n.y, n.b) == (1, 2, 2)


def test_each_axis_its_own():
    n = up_and_down(kernel=[3, 5], stride=[1, 2], pad=[0, 10])
    axis, a, b = coord_map_from_to(n.deconv, n.data)
    for i, (kernel, stride, pad) in enumerate(((3, 1, 0), (5, 2, 10))):
        one = up_and_down(kernel=kernel, stride=stride, pad=pad)
        assert coord_map_from_to(one.deconv, one.data) == (axis, a[i], b[i])
    n.named = L.Convolution(
        n.data, num_output=1, kernel_h=3, kernel_w=5, stride_h=1, stride_w=2, pad_h=0, pad_w=10
    )
    for found, expected in zip(coord_map(n.named.fn), coord_map(n.conv.fn), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_three_axes():
    n = NetSpec()
    n.data = L.Input(shape=[2, 3, 40, 30, 20])
    n.conv = L.Convolution(n.data, num_output=10, kernel_size=[3, 3, 3], pad=[0, 1, 2])
    n.pool = L.Pooling(n.conv, kernel_size=2, stride=2)
    n.deconv = L.Deconvolution(n.pool, convolution_param=dict(num_output=10, kernel_size=4, stride=2))
    axis, a, b = coord_map_from_to(n.deconv, n.data)
    assert axis == 1 and (a == 1).all() and b.tolist() == [0, -1, -2]


def test_crop_of_a_crop():
    n = up_and_down()
    axis, a, b = coord_map_from_to(n.deconv, n.data)
    n.crop = L.Crop(n.deconv, n.data, axis=2, offset=3)
    assert coord_map_from_to(n.crop, n.data) == (axis, a, b + 3)


def test_crop_makes_the_layer():
    n = up_and_down(pad=6)
    n.cropped = crop(n.deconv, n.data)
    layer = n.to_proto().layer[-1]
    assert (layer.type, list(layer.bottom)) == ("Crop", ["deconv", "data"])
    assert (layer.crop_param.axis, list(layer.crop_param.offset)) == (2, [6])


def test_crop_of_tops_at_the_same_places():
    n = up_and_down()
    assert list(crop(L.ReLU(n.data), n.data).to_proto().layer[-1].crop_param.offset) == [0]


@pytest.mark.parametrize(
    ("spec", "words"),
    [(dict(pool=3, up=2), "same scale"), (dict(up_pad=10), "at least 0"), (dict(kernel=2), "integer")],
)
def test_crops_that_cannot_be(spec, words):
    n = up_and_down(**spec)
    with pytest.raises(AssertionError, match=words) as info:
        crop(n.deconv, n.data)
    assert isinstance(info.value, CaffeError)


def test_tops_that_are_not_connected():
    n = up_and_down()
    for other in (L.InnerProduct(n.deconv, num_output=10), L.Pooling(n.conv, global_pooling=True)):
        with pytest.raises(RuntimeError, match="connected"):
            coord_map_from_to(other, n.data)
    with pytest.raises(UndefinedMapException, match="InnerProduct"):
        coord_map(L.InnerProduct(n.deconv, num_output=10).fn)
    with pytest.raises(CaffeError, match="kernel_size"):
        coord_map(L.Convolution(n.data, num_output=10).fn)


def test_composing():
    assert compose((1, 2, 3), (None, 5, 7)) == (1, 10, 17)
    assert compose((1, 2, 3), inverse((1, 2, 3))) == (1, 1, 0)
    with pytest.raises(AxisMismatchException, match="axis 1 and axis 2"):
        compose((1, 2, 3), (2, 1, 0))
