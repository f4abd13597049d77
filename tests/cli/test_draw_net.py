"""caffe draw_net."""

import pytest

from caffe.cli.draw_net import main

NET = """
name: "tiny"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 4 }
        include { phase: TRAIN } param { lr_mult: 3 } }
"""


@pytest.fixture
def net(tmp_path):
    (tmp_path / "net.prototxt").write_text(NET)
    return str(tmp_path / "net.prototxt")


def test_draws(net, tmp_path, capsys):
    picture = tmp_path / "net.dot"
    assert main([net, str(picture), "--rankdir=tb", "--phase", "TRAIN", "--display_lrm"]) == 0
    assert "Drawing net to" in capsys.readouterr().out
    assert "rankdir=TB" in picture.read_text() and "lr mult: 3" in picture.read_text()
    assert main([net, str(picture), "-phase=TEST"]) == 0
    assert "fc" not in picture.read_text() and "rankdir=LR" in picture.read_text()


def test_what_cannot_be(net, tmp_path, capsys):
    assert main([str(tmp_path / "none.prototxt"), str(tmp_path / "net.dot")]) == 1
    assert "none.prototxt" in capsys.readouterr().err
    assert main([net, str(tmp_path / "net.dot"), "--rankdir=XY"]) == 1
    assert "rankdir must be one of" in capsys.readouterr().err
