"""A net as people who come from PyTorch use it: called, indexed, counted."""

import numpy as np
import pytest
import torch

import caffe
from caffe import layers as L
from caffe.errors import InputError, UnknownNameError


@pytest.fixture
def net():
    n = caffe.NetSpec("small")
    n.data = L.Input(shape=[2, 3, 7, 5])
    n.other = L.Input(shape=[2, 4])
    filler = dict(type="gaussian", std=0.3)
    n.conv = L.Convolution(n.data, num_output=6, kernel_size=3, weight_filler=filler)
    n.pool = L.Pooling(n.conv, pool=caffe.params.Pooling.AVE, global_pooling=True)
    n.flat = L.Flatten(n.pool)
    n.joined = L.Concat(n.flat, n.other)
    n.ip = L.InnerProduct(n.joined, num_output=9, weight_filler=filler)
    return caffe.Net(n.to_proto(), caffe.TEST)


def values(batch=2, height=7, width=5):
    random = np.random.RandomState(1)
    return random.randn(batch, 3, height, width).astype("f"), random.randn(batch, 4).astype("f")


def test_called_it_runs(net):
    data, other = values()
    expected = {k: v.copy() for k, v in net.forward(data=data, other=other).items()}
    for found in (net(data, other), net(data, other=other), net(other=torch.from_numpy(other), data=data)):
        assert list(found) == ["ip"] and np.array_equal(found["ip"], expected["ip"])


def test_takes_the_shapes_of_its_values(net):
    small = net(*values())["ip"]
    large = net(*values(batch=5, height=11, width=8))["ip"]
    assert large.shape == (5, 9) and net.blobs["conv"].data.shape == (5, 6, 9, 6)
    assert np.array_equal(net(*values())["ip"], small)  # what was returned before is still what it was


def test_wrong_calls_are_errors(net):
    data, other = values()
    with pytest.raises(InputError, match=r"has 2 input\(s\) \(data, other\); got 3"):
        net(data, other, data)
    with pytest.raises(InputError, match="'data' was given twice"):
        net(data, data=data)
    with pytest.raises(InputError, match="must be data, other"):
        net(data)
    with pytest.raises(InputError, match="must be data, other"):
        net(data, other, label=other)


def test_layers_by_name(net):
    assert len(net) == len(net.layers) == len(list(net)) == 7
    assert list(net) == list(net.layer_dict)
    assert "conv" in net and "cnov" not in net
    assert [b.data.shape for b in net["conv"]] == [(6, 3, 3, 3), (6,)]
    assert len(net["pool"]) == 0
    with pytest.raises(UnknownNameError, match=r"no layer 'cnov'.*conv"):
        net["cnov"]
    assert net
    assert repr(net) == "<Net 'small' TEST, 7 layers>"
