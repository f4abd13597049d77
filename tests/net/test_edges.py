"""What a net refuses, and how it says so."""

from __future__ import annotations

import copy
import os
import pickle
import re
import subprocess
import sys
from typing import Any

import pytest

import caffe
from caffe.errors import CaffeError

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 5 } }
layer { name: "relu" type: "ReLU" bottom: "fc" top: "relu" }
"""


@pytest.fixture
def net(tmp_path: Any) -> caffe.Net:
    path = tmp_path / "net.prototxt"
    path.write_text(NET)
    return caffe.Net(str(path), caffe.TEST)


@pytest.mark.parametrize(
    "call",
    [
        lambda net: net.forward(start="relu", end="fc"),
        lambda net: net.backward(start="fc", end="relu"),
        lambda net: net.forward(start=3),
        lambda net: net.copy_from(None),
        lambda net: net.save(None),
        lambda net: net.share_with(None),
        pickle.dumps,
        copy.deepcopy,
    ],
    ids=["forward", "backward", "number", "copy_from", "save", "share_with", "pickle", "deepcopy"],
)
def test_refused(net: caffe.Net, call: Any) -> None:
    with pytest.raises(CaffeError):
        call(net)


def test_reversed_range_names_both_layers(net: caffe.Net) -> None:
    with pytest.raises(CaffeError, match=re.compile("relu.*fc|fc.*relu", re.S)):
        net.forward(start="relu", end="fc")


def test_gpu_warning_points_at_the_users_line(tmp_path: Any) -> None:
    (tmp_path / "net.prototxt").write_text(NET)
    script = tmp_path / "script.py"
    script.write_text(
        "import caffe\n\ncaffe.set_mode_gpu()\ncaffe.Net('net.prototxt', caffe.TEST).forward()\n"
    )
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, script]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=True)
    if not done.stderr:
        pytest.skip("there is an accelerator other than CUDA's")
    assert "script.py:4: CaffeWarning" in done.stderr
