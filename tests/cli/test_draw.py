"""caffe draw."""

import shutil

import pytest

from caffe.cli.draw import main

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 9 dim: 7 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 5 } }
"""


@pytest.fixture
def net(tmp_path):
    path = tmp_path / "my net.prototxt"
    path.write_text(NET, encoding="utf-8")
    return path


def test_writes_the_format_of_the_ending(net, tmp_path, capsys):
    assert main([str(net), str(tmp_path / "x.dot")]) == 0
    assert "InnerProduct" in (tmp_path / "x.dot").read_text(encoding="utf-8")
    assert str(tmp_path / "x.dot") in capsys.readouterr().out


@pytest.mark.skipif(shutil.which("dot") is None, reason="needs Graphviz's dot")
def test_without_a_name_it_is_a_pdf_that_nothing_is_lost_to(net):
    assert main([str(net)]) == 0
    picture = net.with_suffix(".pdf")
    assert picture.read_bytes().startswith(b"%PDF")
    picture.write_bytes(b"mine")
    assert main([str(net)]) != 0
    assert picture.read_bytes() == b"mine"


def test_a_net_that_is_none(tmp_path, capsys):
    path = tmp_path / "bad.prototxt"
    path.write_text("layer { name: 'x' type:", encoding="utf-8")
    assert main([str(path), str(tmp_path / "x.dot")]) == 1
    assert "bad.prototxt" in capsys.readouterr().err
    assert not (tmp_path / "x.dot").exists()
