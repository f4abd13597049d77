"""Synopsys' Python layers, where their modules are not on the path."""

from __future__ import annotations

import numpy as np
import pytest

import caffe
from caffe import layers as L
from caffe.errors import LayerError

RNG = np.random.RandomState(3)
A = RNG.uniform(0.5, 2, (2, 3, 4)).astype(np.float32)
B = RNG.uniform(0.5, 2, (3, 1)).astype(np.float32)


def run(module: str, layer: str, settings: str, *arrays: np.ndarray) -> np.ndarray:
    """The top of one layer."""
    n = caffe.NetSpec()
    inputs = [L.Input(input_param={"shape": {"dim": list(x.shape)}}) for x in arrays]
    n.y = L.Python(*inputs, python_param={"module": module, "layer": layer, "param_str": settings})
    net = caffe.Net(n, caffe.TEST)
    return net.forward(**dict(zip(net.inputs, arrays, strict=True)))["y"]


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ("{'operation': 0, 'coeff': [1, 1]}", A * B),
        ("{'operation': 1, 'coeff': [1, -2]}", A - 2 * B),
        ("{'operation': 2}", np.maximum(A, B)),
        ("{'operation': 3}", A / B),
        ("{'operation': 4}", np.minimum(A, B)),
    ],
)
def test_eltwise(settings: str, wanted: np.ndarray) -> None:
    np.testing.assert_allclose(run("eltwise", "Eltwise", settings, A, B), wanted, rtol=1e-6)


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect"])
def test_pad(mode: str) -> None:
    x = RNG.randn(2, 3, 4, 5).astype(np.float32)
    sides = f"{{'pad_t': 1, 'pad_b': 2, 'pad_l': 0, 'pad_r': 3, 'pad_mode': '{mode}'}}"
    wanted = np.pad(x, ((0, 0), (0, 0), (1, 2), (0, 3)), mode)
    np.testing.assert_array_equal(run("pad", "PadTensor", sides, x), wanted)


def test_shape() -> None:
    assert run("shape", "TensorShape", "", A).tolist() == [2, 3, 4]


def test_reorg_is_darknets() -> None:
    n, c, h, w = 2, 8, 4, 6
    x = np.arange(n * c * h * w, dtype=np.float32).reshape(n, c, h, w)
    wide = x.reshape(n, c // 4, h * 2, w * 2)
    wanted = np.empty_like(x)
    for k, y, i in np.ndindex(c, h, w):
        offset = k // (c // 4)
        wanted[:, k, y, i] = wide[:, k % (c // 4), 2 * y + offset // 2, 2 * i + offset % 2]
    found = run("yolov2", "darknet_reorg", "", x)
    np.testing.assert_array_equal(found, wanted.reshape(n, c * 4, h // 2, w // 2))


@pytest.mark.parametrize(
    ("module", "layer", "settings", "message"),
    [
        ("eltwise", "Eltwise", "{'operation': 5}", "operation must be"),
        ("eltwise", "Eltwise", "{'operation': 1, 'coeff': [1]}", "coeff must be two numbers"),
        ("eltwise", "Eltwise", "operation: 1", "must be a dictionary"),
        ("eltwise", "Eltwise", "{}", "must have an entry 'operation'"),
        ("eltwise", "Mine", "{}", "no module 'eltwise'"),
    ],
)
def test_bad_settings(module: str, layer: str, settings: str, message: str) -> None:
    with pytest.raises(LayerError, match=message):
        run(module, layer, settings, A, B)


def test_bad_pad() -> None:
    sides = "{'pad_t': 1, 'pad_b': -2, 'pad_l': 0, 'pad_r': 3, 'pad_mode': 'edge'}"
    with pytest.raises(LayerError, match="pad_b must be at least 0"):
        run("pad", "PadTensor", sides, A[None])
    with pytest.raises(LayerError, match="pad_mode must be one of"):
        run("pad", "PadTensor", sides.replace("edge", "wrap"), A[None])
