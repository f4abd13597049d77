"""Real trained models from public repositories give the outputs and middle blobs that Caffe gave."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from harness import assert_close
from support_assets import assets, assets_root

import caffe
from caffe.errors import UnknownLayerError

MODELS = sorted(p.parent.name for p in (assets_root() / "models").glob("*/expected.npz"))
TOLERANCE = 1e-4  # of the largest value of an array
# The weights of this layer go by another name in the file, so that a filler draws them.
BY_CHANCE = {"gemhunt_coins": {"ip2", "softmax"}}
pytestmark = pytest.mark.assets


def weights_file(folder: Path) -> Path:
    """The trained weights beside a deploy.prototxt."""
    return next(p for p in sorted(folder.iterdir()) if p.name.startswith("weights."))


def test_models_are_there() -> None:
    assert len([*assets("models").glob("*/expected.npz")]) == len(MODELS) > 0


COMPILED = (
    "squeezenet_v1.0_deepcompression",
    "vanface_landmark68",
)  # 3×3 convolutions, some joined by Concat


@pytest.mark.parametrize(
    ("name", "forwards"),
    [*((name, 1) for name in MODELS), *((name, 3) for name in COMPILED)],
    ids=[*MODELS, *(f"{name}-compiled" for name in COMPILED)],
)
@pytest.mark.timeout(300)
def test_model(name: str, forwards: int) -> None:
    """Compiled nets run their graphs from the third forward on."""
    folder = assets("models", name)
    with np.load(folder / "expected.npz") as npz:
        expected = {key: npz[key] for key in npz.files}
    try:
        net = caffe.Net(str(folder / "deploy.prototxt"), str(weights_file(folder)), caffe.TEST)
    except UnknownLayerError as error:
        pytest.skip(f"{name}: {error}")

    random = np.random.RandomState(int(expected["seed"]))
    for blob in net.inputs:
        shape = tuple(expected[f"input/{blob}"])
        net.blobs[blob].reshape(*shape)
        net.blobs[blob].data[...] = (random.uniform(-1, 1, shape) * 60).astype(np.float32)
    if forwards > 1:
        net.compile()
    for _ in range(forwards):
        net.forward()

    for key, array in expected.items():
        kind, _, blob = key.partition("/")
        if kind != "shape" and blob in BY_CHANCE.get(name, ()):
            continue
        if kind == "shape":
            assert net.blobs[blob].data.shape == tuple(array), f"shape of '{blob}'"
        elif kind in ("out", "mid"):
            found = net.blobs[blob].data.reshape(-1)[: array.size]
            assert_close(found, array.reshape(-1), f"{name}: '{blob}'", TOLERANCE)
        elif kind == "sum":
            values = net.blobs[blob].data.astype(np.float64)
            assert values.size == int(array[2])
            found = [values.sum() / values.size, (values**2).sum() / values.size]
            scale = max(float(np.abs(values).max()), 1e-30)
            assert abs(found[0] - array[0] / values.size) <= TOLERANCE * scale, f"sum of '{blob}'"
            assert abs(found[1] - array[1] / values.size) <= 2 * TOLERANCE * scale**2, f"squares of '{blob}'"
