"""A small net of the TEST phase, for tests of ways to run it."""

from __future__ import annotations

from typing import Any

import caffe
from caffe import layers as L


def small_net(**kwargs: Any) -> caffe.Net:
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[2, 3, 9, 8]))
    gaussian = dict(type="gaussian", std=0.5)
    n.conv = L.Convolution(n.data, kernel_size=3, num_output=4, weight_filler=gaussian)
    n.relu = L.ReLU(n.conv, in_place=True)
    n.left = L.Pooling(n.relu, kernel_size=2, stride=2)
    n.right = L.Convolution(n.relu, kernel_size=1, stride=2, num_output=5, weight_filler=gaussian)
    n.cat = L.Concat(n.left, n.right)
    n.sig = L.Sigmoid(n.cat, in_place=True)
    n.ip = L.InnerProduct(n.sig, num_output=6, weight_filler=gaussian)
    n.prob = L.Softmax(n.ip)
    caffe.set_random_seed(7)
    return caffe.Net(n, caffe.TEST, **kwargs)
