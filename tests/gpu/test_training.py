"""What only an accelerator shows: training without waits, its random state, CUDA graphs, memory that comes back.

That every layer computes there what it computes on the CPU is told by all other tests, run with
CAFFE_TEST_DEVICE=gpu (``make test-gpu``).
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from inference_net import small_net
from support_nets import weights, write_regression

import caffe
from caffe import layers as L
from caffe.errors import LayerError
from caffe.proto import caffe_pb2

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.fixture(autouse=True)
def _on_the_gpu() -> Iterator[None]:
    caffe.set_mode_gpu()
    yield
    caffe.set_amp(None)


def small_solver(kind: str = "SGD", dropout: float = 0.2, **settings: Any) -> caffe.SGDSolver:
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[6, 3, 9, 8]))
    n.label = L.Input(shape=dict(dim=[6]))
    n.conv = L.Convolution(n.data, kernel_size=3, num_output=8, weight_filler=dict(type="xavier"))
    n.norm = L.LRN(n.conv, local_size=3)
    n.bn = L.BatchNorm(n.norm)
    n.scale = L.Scale(n.bn, bias_term=True)
    n.relu = L.ReLU(n.scale, in_place=True)
    n.pool = L.Pooling(n.relu, kernel_size=3, stride=2)
    n.drop = L.Dropout(n.pool, dropout_ratio=dropout, in_place=True)
    n.ip = L.InnerProduct(n.drop, num_output=5, weight_filler=dict(type="xavier"))
    n.loss = L.SoftmaxWithLoss(n.ip, n.label)
    param = caffe_pb2.SolverParameter(
        type=kind, base_lr=0.01, lr_policy="fixed", max_iter=99, weight_decay=0.01, random_seed=3, **settings
    )
    if kind in ("SGD", "Nesterov", "Adam"):
        param.momentum = 0.9
    param.solver_mode = caffe_pb2.SolverParameter.GPU
    param.net_param.CopyFrom(n.to_proto())
    solver = caffe.get_solver(param)
    rng = np.random.default_rng(1)
    solver.net.blobs["data"].data[...] = rng.normal(size=(6, 3, 9, 8))
    solver.net.blobs["label"].data[...] = rng.integers(0, 5, 6)
    return solver


def losses(solver: caffe.SGDSolver, count: int) -> list[float]:
    found = []
    for _ in range(count):
        solver.step(1)
        found.append(float(solver.net.blobs["loss"].data))
    return found


def close(a: Any, b: Any, tolerance: float = 1e-4) -> bool:
    return bool(np.abs(a - b).max() <= tolerance * np.abs(b).max())


@pytest.mark.parametrize("kind", ["SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam"])
def test_an_iteration_does_not_wait_for_the_device(kind: str) -> None:
    solver = small_solver(kind)
    solver.step(3)
    torch.cuda.set_sync_debug_mode("error")
    try:
        solver.step(2)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert solver.net.blobs["loss"].tensor.is_cuda
    assert np.isfinite(solver.net.blobs["loss"].data)


@pytest.mark.parametrize("kind", ["SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam"])
def test_training_follows_the_cpu(kind: str) -> None:
    on_gpu = losses(small_solver(kind, dropout=0), 12)
    caffe.set_mode_cpu()
    on_cpu = losses(small_solver(kind, dropout=0), 12)
    assert np.allclose(on_gpu, on_cpu, rtol=1e-4)
    assert on_cpu[-1] < on_cpu[0]


@pytest.mark.parametrize("precision", ["tf32", "bf16", "fp16"])
def test_shorter_floats_follow_float32(precision: str) -> None:
    expected = losses(small_solver(dropout=0), 12)
    caffe.set_amp(precision)
    found = losses(small_solver(dropout=0), 12)
    assert np.allclose(found, expected, atol=0.03 * expected[0])


def test_products_are_of_full_float32_unless_asked_otherwise() -> None:
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[4, 96, 28, 28]))
    n.conv = L.Convolution(n.data, kernel_size=3, num_output=64, weight_filler=dict(type="gaussian", std=0.1))
    n.ip = L.InnerProduct(n.conv, num_output=50, weight_filler=dict(type="gaussian", std=0.1))
    net = caffe.Net(n, caffe.TEST)
    net.blobs["data"].data[...] = np.random.default_rng(2).normal(size=(4, 96, 28, 28))
    full = net.forward(blobs=["conv"])
    caffe.set_amp("tf32")
    rounded = net.forward(blobs=["conv"])
    caffe.set_amp(None)
    caffe.set_mode_cpu()
    expected = net.forward(blobs=["conv"])
    for name in ("conv", "ip"):
        assert close(full[name], expected[name], 1e-5)
        assert not close(rounded[name], expected[name], 1e-5)
        assert close(rounded[name], expected[name], 1e-2)


@pytest.mark.parametrize("amp", [None, "fp16"])
def test_a_resumed_training_goes_on_bit_for_bit(tmp_path: Path, amp: str | None) -> None:
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        caffe.set_amp(amp)
        settings = dict(snapshot_prefix=str(tmp_path / "s"), snapshot_format=0)
        first = small_solver(**settings)
        first.step(5)
        state = first.snapshot()
        expected = losses(first, 5)
        again = small_solver(**settings)
        again.restore(str(state).replace(".caffemodel", ".solverstate"))
        assert losses(again, 5) == expected
        assert all(np.array_equal(a, b) for a, b in zip(weights(again), weights(first)))
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.timeout(600)
def test_compiled_and_inference_give_what_layers_give() -> None:
    rng = np.random.default_rng(1)
    nets = [small_net() for _ in range(3)]
    nets[1].compile()
    nets[2].set_inference()
    for turn in range(4):
        x = rng.normal(size=nets[0].blobs["data"].shape)
        for net in nets:
            net.blobs["data"].data[...] = x
        expected = nets[0].forward()["prob"]
        for net in nets[1:]:
            assert close(net.forward()["prob"], expected), turn
        if turn == 1:
            for net in nets:
                net.params["conv"][0].data[0] *= 2


def test_batches_from_a_database_arrive_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = write_regression(tmp_path)
    file.write_text(file.read_text().replace("solver_mode: CPU", "solver_mode: GPU"))
    (tmp_path / "net.prototxt").write_text((tmp_path / "net.prototxt").read_text().replace("0.3", "0"))
    on_gpu = caffe.get_solver(str(file))
    caffe.set_mode_gpu()
    on_gpu.step(9)
    found = on_gpu.net.blobs["x"].data.copy()
    caffe.set_mode_cpu()
    on_cpu = caffe.get_solver(str(file))
    caffe.set_mode_cpu()
    on_cpu.step(9)
    assert np.array_equal(found, on_cpu.net.blobs["x"].data)


def test_live_nets_move_and_keep_their_weights() -> None:
    solver = small_solver(dropout=0)
    solver.step(2)
    before = weights(solver)
    caffe.set_mode_cpu()
    assert all(np.array_equal(a, b) for a, b in zip(before, weights(solver)))
    on_cpu = float(solver.net.forward()["loss"])
    caffe.set_mode_gpu()
    assert abs(float(solver.net.forward()["loss"]) - on_cpu) <= 1e-4 * abs(on_cpu)
    solver.step(1)


def test_memory_comes_back_with_the_net() -> None:
    small_solver().step(2)
    gc.collect()
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    for _ in range(20):
        small_solver().step(2)
        gc.collect()
    assert torch.cuda.memory_allocated() <= before


def test_a_bad_label_is_told_of_and_the_device_lives_on() -> None:
    solver = small_solver()
    solver.step(1)
    label = solver.net.blobs["label"].data
    label[2] = 5
    with pytest.raises(LayerError, match=r"layer 'loss'.*from 0 to 4, .*got 5 at position 2"):
        solver.net.forward()
    with pytest.raises(LayerError, match=r"layer 'loss'.*got 5 at position 2"):
        for _ in range(200):  # the answer is on its way: it comes with one of the next iterations
            solver.step(1)
    solver = small_solver()
    solver.step(2)
    assert np.isfinite(solver.net.forward()["loss"])


def test_other_bad_indices() -> None:
    n = caffe.NetSpec()
    n.data, n.index = L.Input(shape=[dict(dim=[4, 2]), dict(dim=[3])], ntop=2)
    n.picked = L.BatchReindex(n.data, n.index)
    net = caffe.Net(n, caffe.TEST)
    net.blobs["data"].data[...] = np.arange(8).reshape(4, 2)
    for good, index in ((True, [3, 0, 1]), (False, [0, 4, 1]), (True, [2, 2, 0])):
        net.blobs["index"].data[...] = index
        if good:
            assert net.forward()["picked"].tolist() == [[2 * i, 2 * i + 1] for i in index]
        else:
            with pytest.raises(LayerError, match="got 4 at position 1"):
                net.forward()


def test_the_next_batch_may_be_written_between_forward_and_backward() -> None:
    expected, found = small_solver(dropout=0), small_solver(dropout=0)
    for solver in (expected, found):
        solver.net.forward()
    found.net.blobs["data"].data[...] *= -0.7
    for name in ("conv", "ip"):  # looked at, as a monitor does: the host has the newest values
        _ = found.net.params[name][0].data
    for solver in (expected, found):
        solver.net.clear_param_diffs()
        solver.net.backward()
    for name in ("conv", "ip"):
        assert close(found.net.params[name][0].diff, expected.net.params[name][0].diff, 1e-5)
