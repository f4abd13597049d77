"""Layers belong to a net by phase, level and stage, as the original's NetStateRule has it."""

import pytest

from caffe.errors import NetError
from caffe.formats.prototxt import parse_net
from caffe.passes.filter import filter_net
from caffe.proto import caffe_pb2

TRAIN, TEST = caffe_pb2.TRAIN, caffe_pb2.TEST


def kept(rules, phase=TEST, level=0, stages=()):
    net = parse_net(f'layer {{ name: "a" }}\nlayer {{ name: "b" {rules} }}\nlayer {{ name: "c" }}')
    net.param.state.phase, net.param.state.level = phase, level
    net.param.state.stage.extend(stages)
    filter_net(net)
    names = [layer.name for layer in net.param.layer]
    assert names[0] == "a" and names[-1] == "c"
    assert net.lines == ([1, 2, 3] if "b" in names else [1, 3])
    return "b" in names


@pytest.mark.parametrize(
    "rules, state, expected",
    [
        ("", {}, True),
        ("include { phase: TRAIN }", {"phase": TRAIN}, True),
        ("include { phase: TRAIN }", {"phase": TEST}, False),
        ("exclude { phase: TRAIN }", {"phase": TRAIN}, False),
        ("exclude { phase: TRAIN }", {"phase": TEST}, True),
        ("include { }", {}, True),
        ("exclude { }", {}, False),
        ("include { phase: TRAIN } include { phase: TEST }", {}, True),
        ("exclude { phase: TRAIN } exclude { phase: TEST }", {}, False),
        ("include { min_level: 2 }", {"level": 2}, True),
        ("include { min_level: 2 }", {"level": 1}, False),
        ("include { max_level: 2 }", {"level": 2}, True),
        ("include { max_level: 2 }", {"level": 3}, False),
        ("include { min_level: 1 max_level: 3 }", {"level": 2}, True),
        ("include { min_level: -2 max_level: -1 }", {"level": 0}, False),
        ("include { stage: 'x' }", {}, False),
        ("include { stage: 'x' }", {"stages": ["x", "y"]}, True),
        ("include { stage: 'x' stage: 'y' }", {"stages": ["x"]}, False),
        ("include { stage: 'x' } include { stage: 'y' }", {"stages": ["y"]}, True),
        ("include { not_stage: 'x' }", {}, True),
        ("include { not_stage: 'x' }", {"stages": ["x"]}, False),
        ("include { stage: 'x' not_stage: 'y' }", {"stages": ["x", "y"]}, False),
        ("exclude { stage: 'x' not_stage: 'y' }", {"stages": ["x", "y"]}, True),
        ("include { phase: TRAIN stage: 'x' }", {"phase": TRAIN}, False),
    ],
)
def test_rules(rules, state, expected):
    assert kept(rules, **state) is expected


def test_both_kinds_of_rules():
    net = parse_net('layer { name: "a" }\nlayer { name: "b" include { } exclude { } }', file="n.prototxt")
    with pytest.raises(NetError, match="include rules or exclude rules; got both") as caught:
        filter_net(net)
    assert "n.prototxt:2" in str(caught.value) and "layer 'b'" in str(caught.value)
