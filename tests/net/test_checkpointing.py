"""Checkpoints: training step by step as without them, blobs in between freed."""

from __future__ import annotations

import numpy as np
import pytest
from python_layers import Scaled  # noqa: F401
from support_nets import seeded_solver

import caffe
from caffe import layers as L
from caffe.errors import StateError


def solver() -> caffe.SGDSolver:
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[6, 3, 9, 8]))
    n.label = L.Input(shape=dict(dim=[6]))
    x = n.data
    for i in range(3):
        n[f"conv{i}"] = L.Convolution(
            x, kernel_size=3, pad=1, num_output=4, weight_filler=dict(type="xavier")
        )
        n[f"bn{i}"] = L.BatchNorm(n[f"conv{i}"], in_place=True)
        n[f"scale{i}"] = L.Scale(n[f"bn{i}"], bias_term=True, in_place=True)
        n[f"relu{i}"] = L.ReLU(n[f"scale{i}"], in_place=True)
        n[f"drop{i}"] = L.Dropout(n[f"relu{i}"], dropout_ratio=0.3, in_place=True)
        n[f"pool{i}"] = L.Pooling(n[f"drop{i}"], kernel_size=3, stride=1, pad=1)
        n[f"sum{i}"] = L.Eltwise(n[f"drop{i}"], n[f"pool{i}"])
        x = n[f"sum{i}"]
    n.python = L.Python(x, module="python_layers", layer="Scaled")
    n.ip = L.InnerProduct(n.python, num_output=5, weight_filler=dict(type="xavier"))
    n.loss = L.SoftmaxWithLoss(n.ip, n.label)
    return seeded_solver(n)


def test_the_same_training_bit_for_bit() -> None:
    plain = solver()
    plain.step(4)
    saving = solver()
    saving.net.set_checkpointing()
    saving.step(4)
    assert np.array_equal(saving.net.blobs["loss"].data, plain.net.blobs["loss"].data)
    for name, blobs in plain.net.params.items():
        for mine, other in zip(saving.net.params[name], blobs):
            assert np.array_equal(mine.data, other.data), name
    freed = [n for n, b in saving.net.blobs.items() if b.data_memory.freed]
    assert len(freed) > 5
    with pytest.raises(StateError, match=r"between two checkpoints.*checkpoint_activations"):
        saving.net.blobs[freed[0]].data


def test_only_the_whole_net() -> None:
    net = solver().net
    net.set_checkpointing()
    net.forward()
    with pytest.raises(StateError, match="whole net"):
        net.backward(start="ip")
    net.set_checkpointing(False)
    net.forward()
    net.backward(start="ip")
