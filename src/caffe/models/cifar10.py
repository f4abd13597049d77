"""The two CIFAR-10 nets of Caffe's tutorials, quick and full, after Alex Krizhevsky's cuda-convnet."""

from __future__ import annotations

from typing import Any

from caffe.models import _nets
from caffe.models._nets import put
from caffe.net_spec import NetSpec, Top
from caffe.net_spec import layers as L
from caffe.proto import caffe_pb2

FOLDER = "examples/cifar10"
_DECAY = [dict(lr_mult=1, decay_mult=250), dict(lr_mult=2, decay_mult=0)]


def _convolution(n: NetSpec, i: int, bottom: Top, std: float, *, rates: bool = True) -> Top:
    return put(
        n,
        f"conv{i}",
        L.Convolution(
            bottom,
            num_output=64 if i == 3 else 32,
            pad=2,
            kernel_size=5,
            stride=1,
            weight_filler=_nets.gaussian(std),
            bias_filler=dict(type="constant"),
            **(dict(param=_nets.RATES) if rates else {}),
        ),
    )


def _stages(n: NetSpec, *, normalize: bool) -> Top:
    """Three convolutions; the first is pooled before its ReLU, by maximum."""
    x = _convolution(n, 1, n.data, 0.0001)
    n.pool1 = L.Pooling(x, pool="MAX", kernel_size=3, stride=2)
    x = put(n, "relu1", L.ReLU(n.pool1, in_place=True))
    for i in 2, 3:
        if normalize:
            x = put(
                n, f"norm{i - 1}", L.LRN(x, local_size=3, alpha=5e-5, beta=0.75, norm_region="WITHIN_CHANNEL")
            )
        x = _convolution(n, i, x, 0.01, rates=not (normalize and i == 3))
        x = put(n, f"relu{i}", L.ReLU(x, in_place=True))
        x = put(n, f"pool{i}", L.Pooling(x, pool="AVE", kernel_size=3, stride=2))
    return x


def _inner_product(n: NetSpec, name: str, bottom: Top, num_output: int, std: float, param: Any) -> Top:
    return put(
        n,
        name,
        L.InnerProduct(
            bottom,
            num_output=num_output,
            weight_filler=_nets.gaussian(std),
            bias_filler=dict(type="constant"),
            param=param,
        ),
    )


def _quick(n: NetSpec) -> Top:
    x = _inner_product(n, "ip1", _stages(n, normalize=False), 64, 0.1, _nets.RATES)
    return _inner_product(n, "ip2", x, 10, 0.1, _nets.RATES)


def _full(n: NetSpec) -> Top:
    return _inner_product(n, "ip1", _stages(n, normalize=True), 10, 0.01, _DECAY)


def _data(part: str) -> dict[str, Any]:
    return dict(
        source=f"{FOLDER}/cifar10_{part}_lmdb",
        batch_size=100,
        backend="LMDB",
        transform_param=dict(mean_file=f"{FOLDER}/mean.binaryproto"),
    )


def _train_val(name: str, body: _nets.Body) -> caffe_pb2.NetParameter:
    return _nets.train_val(name, body, _nets.accuracy_and_loss, _data("train"), _data("test"), data="cifar")


def quick_deploy() -> caffe_pb2.NetParameter:
    """3×32×32 in, ten probabilities out."""
    return _nets.deploy("CIFAR10_quick_test", _quick, (1, 3, 32, 32))


def quick_train_val() -> caffe_pb2.NetParameter:
    """Over the LMDBs that convert_cifar_data writes."""
    return _train_val("CIFAR10_quick", _quick)


def full_deploy() -> caffe_pb2.NetParameter:
    """3×32×32 in, ten probabilities out."""
    return _nets.deploy("CIFAR10_full_deploy", _full, (1, 3, 32, 32))


def full_train_val() -> caffe_pb2.NetParameter:
    """Over the LMDBs that convert_cifar_data writes."""
    return _train_val("CIFAR10_full", _full)


def _solver(kind: str, rate: float, max_iter: int, **settings: Any) -> caffe_pb2.SolverParameter:
    return _nets.solver(
        FOLDER,
        f"cifar10_{kind}",
        net=f"cifar10_{kind}_train_test.prototxt",
        test_iter=[100],
        base_lr=rate,
        momentum=0.9,
        weight_decay=0.004,
        lr_policy="fixed",
        max_iter=max_iter,
        **settings,
    )


def quick_solver() -> caffe_pb2.SolverParameter:
    """The first 4,000 iterations; quick_solver_lr1 goes on from its snapshot."""
    return _solver("quick", 0.001, 4000, test_interval=500, display=100, snapshot=4000)


def quick_solver_lr1() -> caffe_pb2.SolverParameter:
    """To iteration 5,000 with a tenth of the rate: about 75 % right."""
    return _solver(
        "quick", 0.0001, 5000, test_interval=500, display=100, snapshot=5000, snapshot_format="HDF5"
    )


def _full_solver(rate: float, max_iter: int, snapshot: int) -> caffe_pb2.SolverParameter:
    return _solver(
        "full",
        rate,
        max_iter,
        test_interval=1000,
        display=200,
        snapshot=snapshot,
        snapshot_format="HDF5",
    )


def full_solver() -> caffe_pb2.SolverParameter:
    """The first 60,000 iterations."""
    return _full_solver(0.001, 60000, 10000)


def full_solver_lr1() -> caffe_pb2.SolverParameter:
    """To iteration 65,000 with a tenth of the rate."""
    return _full_solver(0.0001, 65000, 5000)


def full_solver_lr2() -> caffe_pb2.SolverParameter:
    """To iteration 70,000 with a hundredth of the rate: about 81 % right."""
    return _full_solver(0.00001, 70000, 5000)
