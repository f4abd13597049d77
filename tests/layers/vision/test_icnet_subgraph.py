"""ICNetSubgraph is the Pooling and Interp layers that it stands for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import caffe
from caffe.errors import ShapeError

WHOLE = 'layer { name: "y" type: "ICNetSubgraph" bottom: "x" top: "y" }'
POOLS = [((33, 65), (33, 65)), ((17, 33), (16, 32)), ((13, 25), (10, 20)), ((8, 15), (5, 10))]


def net(folder: Path, height: int, layers: str) -> caffe.Net:
    file = folder / f"{len(layers)}.prototxt"
    file.write_text(
        f'force_backward: true input: "x" input_shape {{ dim: 1 dim: 2 dim: {height} dim: 70 }}\n{layers}'
    )
    return caffe.Net(str(file), caffe.TEST)


def test_it_is_its_parts(tmp_path: Path) -> None:
    parts, bottoms = "", 'bottom: "x"'
    for i, ((kh, kw), (sh, sw)) in enumerate(POOLS):
        parts += (
            f'layer {{ name: "p{i}" type: "Pooling" bottom: "x" top: "p{i}" pooling_param {{ pool: AVE'
            f" kernel_h: {kh} kernel_w: {kw} stride_h: {sh} stride_w: {sw} }} }}\n"
            f'layer {{ name: "i{i}" type: "Interp" bottom: "p{i}" top: "i{i}"'
            " interp_param { height: 36 width: 70 } }\n"
        )
        bottoms += f' bottom: "i{i}"'
    whole = net(tmp_path, 36, WHOLE)
    several = net(tmp_path, 36, parts + f'layer {{ name: "y" type: "Eltwise" {bottoms} top: "y" }}')
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((2, 1, 2, 36, 70))
    for made in (whole, several):
        made.blobs["x"].data[...] = x
        made.forward()
        made.blobs["y"].diff[...] = dy
        made.backward()
    np.testing.assert_allclose(whole.blobs["y"].data, several.blobs["y"].data, atol=1e-5)
    np.testing.assert_allclose(whole.blobs["x"].diff, several.blobs["x"].diff, atol=1e-5)


def test_small_maps_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match="at least 33 and 65"):
        net(tmp_path, 32, WHOLE)
