"""A user's script, for type checkers only (make test-types): what they must know of the package, and must refuse."""

from typing import Any

import numpy as np
import torch
from typing_extensions import assert_type

import caffe
from caffe import layers as L
from caffe import params as P
from caffe.proto import caffe_pb2


class Scaled(caffe.Layer):
    def setup(self, bottom: Any, top: Any) -> None:
        self.factor = 2.0

    def reshape(self, bottom: Any, top: Any) -> None:
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom: Any, top: Any) -> None:
        top[0].data[...] = self.factor * bottom[0].data


def describe() -> caffe_pb2.NetParameter:
    net = caffe.NetSpec()
    net.data = L.Input(shape={"dim": [2, 3, 5, 7]})
    net.pool = L.Pooling(net.data, pool=P.Pooling.MAX, kernel_size=2)
    return net.to_proto()


def use() -> float:
    caffe.set_mode_cpu()
    caffe.set_random_seed(7)
    net = caffe.Net("deploy.prototxt", caffe.TEST, weights="net.caffemodel")
    assert_type(net.blobs["data"], caffe.Blob)
    assert_type(net.params["conv1"][0], caffe.Blob)
    net.blobs["data"].reshape(2, 3, 5, 7)
    net.blobs["data"].data[...] = np.zeros((2, 3, 5, 7), np.float32)
    outputs = net.forward(end="prob")
    solver = caffe.get_solver("solver.prototxt")
    solver.step(3)
    module = net.to_torch()
    assert_type(module(torch.zeros(2, 3, 5, 7)), Any)
    assert_type(solver.iter, int)
    assert_type(solver.net, caffe.Net)
    assert_type(caffe.SGDSolver("solver.prototxt").test_nets[0], caffe.Net)
    assert_type(caffe.__version__, str)
    return float(outputs["prob"][0].max())


def refused() -> None:
    caffe.Net()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    caffe.SDGSolver  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    caffe.set_device("first")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
