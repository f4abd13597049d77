"""Graphs of nets: nodes, edges, labels and colours; Graphviz only where it is installed."""

import shutil

import pytest
from google.protobuf import text_format
from support_assets import assets

import caffe
from caffe import draw
from caffe import layers as L
from caffe.errors import FileAccessError, InputError, MissingPackageError
from caffe.proto import caffe_pb2

needs_graphviz = pytest.mark.skipif(shutil.which("dot") is None, reason="needs Graphviz's dot")


def small_net():
    n = caffe.NetSpec('small "net"')
    n.data, n.label = L.Data(source="x", batch_size=32, ntop=2, include=dict(phase=caffe.TRAIN))
    n.conv = L.Convolution(
        n.data, num_output=7, kernel_size=[3, 5], pad_h=1, pad_w=2, param=[dict(lr_mult=1), dict(lr_mult=0.5)]
    )
    n.relu = L.ReLU(n.conv, in_place=True)
    n.pool = L.Pooling(n.relu, kernel_size=2, stride=3, pool="AVE")
    n.fc = L.InnerProduct(n.pool, num_output=9)
    n.loss = L.SoftmaxWithLoss(n.fc, n.label, exclude=dict(phase=caffe.TEST))
    return n.to_proto()


def test_nodes_and_edges():
    graph = draw.graph_of(small_net())
    layers = [name for name in graph.nodes if not name.endswith("_blob")]
    assert layers == [
        "data_Data",
        "conv_Convolution",
        "relu_ReLU",
        "pool_Pooling",
        "fc_InnerProduct",
        "loss_SoftmaxWithLoss",
    ]
    assert ("data_Data", "data_blob", "Batch 32") in graph.edges
    assert ("conv_Convolution", "conv_blob", "7") in graph.edges
    assert ("fc_InnerProduct", "fc_blob", "9") in graph.edges
    assert ("conv_blob", "relu_ReLU", "") in graph.edges and ("relu_ReLU", "conv_blob", "") in graph.edges
    assert len(graph.edges) == 2 + 2 + 2 + 2 + 2 + 3
    assert not any(label for _, _, label in draw.graph_of(small_net(), label_edges=False).edges)


def test_labels_and_colours():
    graph = draw.graph_of(small_net())
    conv = graph.nodes["conv_Convolution"]
    assert conv["label"] == "conv\\n(Convolution)\\nkernel size: 3x5\\nstride: 1\\npad: 1x2"
    assert conv["fillcolor"] == "#FF5050"
    pool = graph.nodes["pool_Pooling"]
    assert pool["label"] == "pool\\n(AVE Pooling)\\nkernel size: 2\\nstride: 3\\npad: 0"
    colours = [
        graph.nodes[n]["fillcolor"] for n in ("pool_Pooling", "fc_InnerProduct", "loss_SoftmaxWithLoss")
    ]
    assert colours == ["#FF9900", "#CC33FF", "#6495ED"]
    assert graph.nodes["relu_ReLU"]["fillcolor"] == "#90EE90"  # in place
    assert graph.nodes["data_blob"]["shape"] == "octagon"
    downwards = draw.graph_of(small_net(), "TB", display_lrm=True).nodes["conv_Convolution"]["label"]
    assert downwards == "conv (Convolution) kernel size: 3x5 stride: 1 pad: 1x2 lr mult: 1, 0.5"


def test_one_phase_only():
    test = draw.graph_of(small_net(), phase=caffe.TEST).nodes
    assert "data_Data" not in test and "loss_SoftmaxWithLoss" not in test and "fc_InnerProduct" in test
    train = draw.graph_of(small_net(), phase=caffe.TRAIN).nodes
    assert "data_Data" in train and "loss_SoftmaxWithLoss" in train


def test_pooling_types():
    types = draw.get_pooling_types_dict()
    assert (types[0], types[1], types[2]) == ("MAX", "AVE", "STOCHASTIC")


def test_a_dot_file_needs_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    draw.draw_net_to_file(small_net(), tmp_path / "net.dot", "BT")
    text = (tmp_path / "net.dot").read_text()
    assert draw.draw_net(small_net(), "BT", "dot").decode() == text
    assert text.startswith('digraph "small \\"net\\"" {\n  rankdir=BT;') and text.endswith("}\n")
    assert '"conv_Convolution" -> "conv_blob" [label="7"];' in text
    with pytest.raises(MissingPackageError, match=r"Graphviz.*\.dot file"):
        draw.draw_net(small_net(), "LR")


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda t: draw.graph_of(small_net(), "XY"), InputError, "rankdir must be one of TB, BT, LR, RL"),
        (lambda t: draw.draw_net_to_file(small_net(), t / "net"), InputError, "must end in its format"),
        (lambda t: draw.draw_net_to_file(small_net(), t / "no" / "net.dot"), FileAccessError, "net.dot"),
        (lambda t: draw.draw_net("net.prototxt"), InputError, "must be a NetParameter"),
    ],
)
def test_what_cannot_be(tmp_path, call, error, words):
    with pytest.raises(error, match=words):
        call(tmp_path)


@needs_graphviz
@pytest.mark.parametrize(("ext", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_pictures(tmp_path, ext, start):
    draw.draw_net_to_file(small_net(), str(tmp_path / f"net.{ext}"), rankdir="TB")
    assert (tmp_path / f"net.{ext}").read_bytes().startswith(start)


@needs_graphviz
def test_pictures_in_notebooks():
    svg = draw.draw_net(small_net(), ext="svg")._repr_mimebundle_()["image/svg+xml"]
    assert "<svg" in svg and "SoftmaxWithLoss" in svg
    png = draw.draw_net(small_net())
    assert isinstance(png, bytes) and png._repr_mimebundle_() == {"image/png": bytes(png)}


@needs_graphviz
def test_an_unknown_format():
    with pytest.raises(InputError, match="Graphviz cannot draw this net as 'xyz'"):
        draw.draw_net(small_net(), ext="xyz")


def test_pydot():
    pytest.importorskip("pydot")
    dot = draw.get_pydot_graph(small_net(), "LR")
    assert len(dot.get_nodes()) == 6 + 6 and len(dot.get_edges()) == 13
    assert dot.get_rankdir() == "LR"


def test_real_nets():
    for path in sorted(assets("models").glob("*/*.prototxt")):
        net = caffe_pb2.NetParameter()
        try:
            text_format.Merge(path.read_text(errors="replace"), net)
        except text_format.ParseError:
            continue  # solvers
        if net.layer or net.layers:
            assert len(draw.graph_of(net).nodes) > len(net.layer)
