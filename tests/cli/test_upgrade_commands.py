"""The three commands that write old files in the present form."""

import numpy as np
import pytest

from caffe.cli import upgrade_net_proto_binary, upgrade_net_proto_text, upgrade_solver_proto_text
from caffe.formats import binaryproto, prototxt
from caffe.proto import caffe_pb2

OLD = """layers { name: "ip" type: INNER_PRODUCT bottom: "x" top: "y" blobs_lr: 3
  inner_product_param { num_output: 2 } }"""


def test_net_text(tmp_path, capfd):
    source, target = tmp_path / "old.prototxt", tmp_path / "new.prototxt"
    source.write_text(OLD)
    assert upgrade_net_proto_text.main([str(source), str(target)]) == 0
    (layer,) = prototxt.read_net(target).param.layer
    assert (layer.type, layer.param[0].lr_mult) == ("InnerProduct", 3)
    assert "already" not in capfd.readouterr().err
    assert upgrade_net_proto_text.main([str(target), str(source)]) == 0
    assert "already in latest proto format" in capfd.readouterr().err
    assert source.read_text() == target.read_text()


def test_net_binary(tmp_path):
    net = prototxt.parse_net(OLD).param
    net.layers[0].blobs.add(num=1, channels=1, height=2, width=3, data=range(6))
    source, target = tmp_path / "old.caffemodel", tmp_path / "new.caffemodel"
    source.write_bytes(net.SerializeToString())
    assert upgrade_net_proto_binary.main([str(source), str(target)]) == 0
    (layer,) = binaryproto.read_weights(target).layers
    assert (layer.name, layer.type) == ("ip", "InnerProduct")
    np.testing.assert_array_equal(layer.blobs[0].ravel(), range(6))


def test_solver_text(tmp_path):
    source, target = tmp_path / "old.prototxt", tmp_path / "new.prototxt"
    source.write_text("solver_type: RMSPROP\nmax_iter: 5")
    assert upgrade_solver_proto_text.main([str(source), str(target)]) == 0
    expected = caffe_pb2.SolverParameter(type="RMSProp", max_iter=5)
    assert prototxt.read_solver(target) == expected


@pytest.mark.parametrize(
    "command", [upgrade_net_proto_text, upgrade_net_proto_binary, upgrade_solver_proto_text]
)
def test_failures(tmp_path, command, capfd):
    source, target = tmp_path / "old", tmp_path / "new"
    assert command.main([str(source), str(target)]) != 0
    assert "does not exist" in capfd.readouterr().err
    source.write_bytes(b"\x07 not a net")
    assert command.main([str(source), str(target)]) != 0
    assert command.main([str(source)]) != 0
    assert not target.exists()
