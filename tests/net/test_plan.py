"""What a net shows of its plans."""

from __future__ import annotations

import pytest
from switch_nets import build

import caffe


def rows(net: caffe.Net) -> dict[str, str]:
    """The plan's lines by their layers."""
    lines = str(net.plan()).splitlines()
    assert lines[0].split() == ["layers", "run", "as", "for", "backward", "freed", "after", "it", "rewrites"]
    return {line.split("  ")[0] or line.split("  ")[1]: line for line in lines[2:]}


def test_training() -> None:
    found = rows(build("normalized", caffe.TRAIN))
    assert found["bna + scalea"].split()[-6:] == ["ScaledBatchNorm", "its", "graph", "scale", "into", "norm"]
    assert found["relua"].split()[1:] == ["ReLU", "its", "graph", "relu", "in", "place"]
    assert "Input" in found["data"] and "nothing" in found["data"]


def test_inference() -> None:
    net = build("normalized", caffe.TEST)
    net.set_inference(keep=["pre"])
    found = rows(net)
    row = found["conva + bna + scalea + relua"]
    assert "FoldedConvolution" in row and row.endswith("norm into convolution, relu into convolution")
    assert "pre" not in row.split() and "mid" in found["two"].split()  # kept; freed


def test_switches_change_the_plan_and_hooks_leave_every_layer_by_itself() -> None:
    net = build("normalized", caffe.TRAIN)
    first = net.plan()
    assert net.plan() is first
    net.set_checkpointing()
    assert "between checkpoints:" in str(net.plan())
    net.set_checkpointing(False)
    net.after_backward(print)
    assert all(len(op.steps) == 1 for op in net.plan().ops)


@pytest.mark.cpu
@pytest.mark.timeout(300)
def test_compiled() -> None:
    net = build("in_place", caffe.TEST)
    net.compile()
    assert "found out by the first forward" in str(net.plan())
    for _ in range(2):
        net.forward()
    found = rows(net)
    assert "graph 1" in found["one"] and "by itself" in found["loss"]
