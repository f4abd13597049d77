"""LeNet for MNIST's digits, as the tutorials of Caffe train it.

LeCun et al., Gradient-based learning applied to document recognition, 1998; with ReLU for its sigmoids and
without its partly connected maps.
"""

from __future__ import annotations

from typing import Any

from caffe.models import _nets
from caffe.models._nets import put
from caffe.net_spec import NetSpec, Top
from caffe.net_spec import layers as L
from caffe.proto import caffe_pb2

FOLDER = "examples/mnist"
_FILLERS: dict[str, Any] = dict(weight_filler=dict(type="xavier"), bias_filler=dict(type="constant"))


def _body(n: NetSpec) -> Top:
    x = n.data
    for i, channels in (1, 20), (2, 50):
        x = put(
            n,
            f"conv{i}",
            L.Convolution(x, num_output=channels, kernel_size=5, stride=1, param=_nets.RATES, **_FILLERS),
        )
        x = put(n, f"pool{i}", L.Pooling(x, pool="MAX", kernel_size=2, stride=2))
    n.ip1 = L.InnerProduct(x, num_output=500, param=_nets.RATES, **_FILLERS)
    n.relu1 = L.ReLU(n.ip1, in_place=True)
    return put(n, "ip2", L.InnerProduct(n.relu1, num_output=10, param=_nets.RATES, **_FILLERS))


def deploy() -> caffe_pb2.NetParameter:
    """1×28×28 in, ten probabilities out."""
    return _nets.deploy("LeNet", _body, (64, 1, 28, 28))


def train_val() -> caffe_pb2.NetParameter:
    """Over the LMDBs that convert_mnist_data writes."""

    def data(source: str, batch_size: int) -> dict[str, Any]:
        source = f"{FOLDER}/{source}"
        return dict(source=source, batch_size=batch_size, backend="LMDB", transform_param=dict(scale=1 / 256))

    train, test = data("mnist_train_lmdb", 64), data("mnist_test_lmdb", 100)
    return _nets.train_val("LeNet", _body, _nets.accuracy_and_loss, train, test, data="mnist")


def solver() -> caffe_pb2.SolverParameter:
    """10,000 iterations with a rate that falls slowly: about 99 % right."""
    return _nets.solver(
        FOLDER,
        "lenet",
        net="lenet_train_test.prototxt",
        test_iter=[100],
        test_interval=500,
        base_lr=0.01,
        momentum=0.9,
        weight_decay=0.0005,
        lr_policy="inv",
        gamma=0.0001,
        power=0.75,
        display=100,
        max_iter=10000,
        snapshot=5000,
    )


def notebook_solver() -> caffe_pb2.SolverParameter:
    """The same, over the nets that the tutorial's notebook writes beside its folder ``mnist``."""
    made = solver()
    made.ClearField("net")
    made.ClearField("solver_mode")
    made.train_net, made.snapshot_prefix = "mnist/lenet_auto_train.prototxt", "mnist/lenet"
    made.test_net[:] = ["mnist/lenet_auto_test.prototxt"]
    return made
