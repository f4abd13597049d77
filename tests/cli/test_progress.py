"""Bars on a terminal, which is a pseudo-terminal here, and nowhere else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pty = pytest.importorskip("pty", reason="needs pseudo-terminals")

NET = """
layer {{ name: "data" type: "DummyData" top: "data"
  dummy_data_param {{ shape {{ dim: 2 dim: {dim} }} data_filler {{ type: "constant" value: 3 }} }} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param {{ num_output: 5 }} }}
"""


def on_a_terminal(*words: str, **environment: str) -> str:
    """What a command writes there."""
    ours, theirs = pty.openpty()
    env = {**os.environ, "COLUMNS": "100", "TERM": "xterm-256color", "GLOG_minloglevel": "0", **environment}
    with subprocess.Popen(
        [sys.executable, "-m", "caffe", *words], stdout=theirs, stderr=theirs, stdin=theirs, env=env
    ) as process:
        os.close(theirs)
        written = b""
        try:
            while part := os.read(ours, 65536):
                written += part
        except OSError:  # Linux says so when the other side closes
            pass
        assert process.wait() == 0, written.decode()
    os.close(ours)
    return written.decode()


@pytest.fixture
def net(tmp_path: Path) -> list[str]:
    """Arguments of caffe test."""
    import caffe

    (tmp_path / "net.prototxt").write_text(NET.format(dim=7))
    caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST).save(str(tmp_path / "net.caffemodel"))
    return [f"--model={tmp_path}/net.prototxt", f"--weights={tmp_path}/net.caffemodel", "--iterations=150"]


def test_a_bar_with_rate_and_log_lines_above(net: list[str]) -> None:
    written = on_a_terminal("test", *net)
    assert "testing" in written and "150/150" in written and "/s" in written
    assert "Batch 149, ip =" in written and "] Loss: 0" in written


@pytest.mark.parametrize("how", ["flag", "variable"])
def test_quiet_leaves_the_bar_out_not_the_results(net: list[str], how: str) -> None:
    flags, variables = (["--quiet"], {}) if how == "flag" else ([], {"CAFFE_PROGRESS": "0"})
    written = on_a_terminal("test", *net, *flags, **variables)
    assert "testing" not in written and "\x1b[" not in written
    assert "] Loss: 0" in written


def test_no_bar_where_there_is_no_terminal(net: list[str]) -> None:
    env = {**os.environ, "GLOG_minloglevel": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "caffe", "test", *net], capture_output=True, text=True, check=True, env=env
    )
    assert "testing" not in done.stderr and "\x1b[" not in done.stderr and "] Loss: 0" in done.stderr
