"""Building the kernels."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from caffe.kernels import native, separable

SCRIPT = """
import torch, caffe
from caffe import layers as L
from caffe.kernels import native

n = caffe.NetSpec()
n.data = L.Input(shape=dict(dim=[2, 16, 13, 11]))
n.conv = L.Convolution(n.data, kernel_size=3, num_output=17, weight_filler=dict(type="xavier"))
n.relu = L.ReLU(n.conv)
net = caffe.Net(n, caffe.TEST)
net.blobs["data"].data[...] = 1
expected = net.forward()["relu"].copy()
net.compile()
for _ in range(2):
    assert (net.forward()["relu"] == expected).all()
print(native.library())
"""


def test_bounds_are_those_of_the_source() -> None:
    assert f"constexpr int MOST_SIZE = {separable.MOST_SIZE};" in native.source()


def test_without_a_compiler_the_net_runs_by_torch(tmp_path: Path) -> None:
    others = {"CXX": "/nowhere/c++", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path), "GLOG_minloglevel": "1"}
    environment = {**os.environ, **others}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "None"
    assert "can't be built" in done.stderr
