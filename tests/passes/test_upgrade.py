"""Old nets and solvers in the present form."""

import gzip
import json

import pytest
from google.protobuf import text_format
from support_assets import assets

from caffe import errors
from caffe.formats import prototxt
from caffe.formats.prototxt import parse_net, parse_solver
from caffe.passes import upgrade_v0, upgrade_v1
from caffe.passes.filter import filter_net
from caffe.passes.splits import insert_splits
from caffe.passes.upgrade import upgrade_net, upgrade_solver
from caffe.proto import caffe_pb2


def upgraded(text):
    net = parse_net(text, file="old.prototxt")
    assert upgrade_net(net)
    assert not net.param.layers
    assert len(net.lines) == len(net.param.layer)
    assert not upgrade_net(net)
    return net


def same(net, text):
    expected = text_format.Parse(text, caffe_pb2.NetParameter())
    assert text_format.MessageToString(net.param) == text_format.MessageToString(expected)


V0 = """\
name: "old"
layers { layer { name: "data" type: "data" source: "db" batchsize: 7 meanfile: "m" cropsize: 3 mirror: true
  scale: 0.5 rand_skip: 2 } top: "data" top: "label" }
layers { layer { name: "pad1" type: "padding" pad: 2 } bottom: "data" top: "pad1" }
layers { layer { name: "conv" type: "conv" num_output: 8 kernelsize: 5 stride: 3 group: 2 biasterm: false
  weight_filler { type: "xavier" } blobs_lr: 1 blobs_lr: 2 weight_decay: 1 weight_decay: 0 }
  bottom: "pad1" top: "conv" }
layers { layer { name: "pool" type: "pool" pool: AVE kernelsize: 3 stride: 2 } bottom: "conv" top: "pool" }
layers { layer { name: "norm" type: "lrn" local_size: 3 alpha: 0.1 beta: 0.5 k: 2 }
  bottom: "pool" top: "norm" }
layers { layer { name: "drop" type: "dropout" dropout_ratio: 0.3 } bottom: "norm" top: "norm" }
layers { layer { name: "ip" type: "innerproduct" num_output: 4 bias_filler { value: 1 } }
  bottom: "norm" top: "ip" }
layers { layer { name: "loss" type: "softmax_loss" } bottom: "ip" bottom: "label" }
"""

V2 = """\
name: "old"
layer { name: "data" type: "Data" top: "data" top: "label"
  transform_param { scale: 0.5 mean_file: "m" crop_size: 3 mirror: true }
  data_param { source: "db" batch_size: 7 rand_skip: 2 } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
  convolution_param { num_output: 8 bias_term: false pad: 2 kernel_size: 5 stride: 3 group: 2
    weight_filler { type: "xavier" } } }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
  pooling_param { pool: AVE kernel_size: 3 stride: 2 } }
layer { name: "norm" type: "LRN" bottom: "pool" top: "norm"
  lrn_param { local_size: 3 alpha: 0.1 beta: 0.5 k: 2 } }
layer { name: "drop" type: "Dropout" bottom: "norm" top: "norm" dropout_param { dropout_ratio: 0.3 } }
layer { name: "ip" type: "InnerProduct" bottom: "norm" top: "ip"
  inner_product_param { num_output: 4 bias_filler { value: 1 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" }
"""


def test_version_0():
    net = upgraded(V0)
    same(net, V2)
    assert net.lines == [2, 5, 8, 9, 11, 12, 14]


def test_version_0_data_layers():
    net = upgraded(
        'layers { layer { name: "a" type: "images" source: "s" batchsize: 2 shuffle_images: true'
        ' new_height: 5 new_width: 6 rand_skip: 3 cropsize: 4 } top: "x" }'
        'layers { layer { name: "b" type: "window_data" source: "w" batchsize: 9 det_fg_threshold: 0.6'
        ' det_bg_threshold: 0.4 det_fg_fraction: 0.1 det_context_pad: 16 det_crop_mode: "square" } top: "y" }'
        'layers { layer { name: "c" type: "hdf5_output" hdf5_output_param { file_name: "f" } } bottom: "x" }'
        'layers { layer { name: "d" type: "concat" concat_dim: 0 } bottom: "x" bottom: "y" top: "z" }'
    )
    same(
        net,
        'layer { name: "a" type: "ImageData" top: "x" transform_param { crop_size: 4 } image_data_param {'
        ' source: "s" batch_size: 2 shuffle: true new_height: 5 new_width: 6 rand_skip: 3 } }'
        'layer { name: "b" type: "WindowData" top: "y" window_data_param { source: "w" batch_size: 9'
        ' fg_threshold: 0.6 bg_threshold: 0.4 fg_fraction: 0.1 context_pad: 16 crop_mode: "square" } }'
        'layer { name: "c" type: "HDF5Output" bottom: "x" hdf5_output_param { file_name: "f" } }'
        'layer { name: "d" type: "Concat" bottom: "x" bottom: "y" top: "z" concat_param { concat_dim: 0 } }',
    )


@pytest.mark.parametrize(
    "layers, expected",
    [
        ('layers { layer { name: "a" type: "cnov" } }', "got 'cnov'. Did you mean 'conv'"),
        (
            'layers { layer { name: "p" type: "padding" pad: 1 } bottom: "x" top: "y" }\n'
            'layers { layer { name: "r" type: "relu" } bottom: "y" top: "y" }',
            "old.prototxt:2: layer 'r'.* must be a conv or pool layer",
        ),
        (
            'layers { layer { name: "p" type: "padding" pad: 1 } bottom: "x" top: "y" top: "z" }\n'
            'layers { layer { name: "c" type: "conv" } bottom: "y" top: "v" }',
            "padding layer 'p'.* one bottom and one top",
        ),
    ],
)
def test_version_0_that_cannot_be(layers, expected):
    with pytest.raises(errors.NetError, match=expected):
        upgrade_net(parse_net(layers, file="old.prototxt"))


def test_version_0_parameters_of_other_types():
    net = parse_net('layers { layer { name: "r" type: "relu" num_output: 3 det_context_pad: 1 } }', file="f")
    with pytest.warns(errors.CaffeWarning, match=r"f:1.*'r'.*num_output, det_context_pad"):
        upgrade_net(net)
    same(net, 'layer { name: "r" type: "ReLU" }')


def test_every_field_of_version_0_has_its_place():
    fields = set(caffe_pb2.V0LayerParameter.DESCRIPTOR.fields_by_name)
    handled = {*upgrade_v0.MOVES, *upgrade_v0._KEPT, "name", "type", "hdf5_output_param"}
    assert fields - handled == {"new_num", "new_channels"}  # of a layer that was never released
    for name, messages in upgrade_v0.MOVES.values():
        for message in messages.values():
            inner = caffe_pb2.V1LayerParameter.DESCRIPTOR.fields_by_name[message].message_type
            assert name in inner.fields_by_name


def test_version_1():
    net = upgraded(
        'name: "n"\n'
        'layers { name: "c" type: CONVOLUTION bottom: "x" top: "y" blobs_lr: 1 blobs_lr: 2 weight_decay: 0.5'
        ' param: "w" param: "b" blob_share_mode: PERMISSIVE loss_weight: 0.1 include { phase: TEST }'
        " exclude { min_level: 1 } convolution_param { num_output: 3 } }\n"
        'layers { name: "d" type: DATA top: "z" data_param { scale: 2 mirror: false source: "s" } }\n'
        'layers { name: "b" type: BN bn_param { frozen: true } }'
    )
    same(
        net,
        'name: "n" layer { name: "c" type: "Convolution" bottom: "x" top: "y"'
        ' param { name: "w" share_mode: PERMISSIVE lr_mult: 1 decay_mult: 0.5 }'
        ' param { name: "b" lr_mult: 2 }'
        " loss_weight: 0.1 include { phase: TEST } exclude { min_level: 1 }"
        " convolution_param { num_output: 3 } }"
        'layer { name: "d" type: "Data" top: "z" transform_param { scale: 2 mirror: false }'
        ' data_param { source: "s" } }'
        'layer { name: "b" type: "BN" bn_param { frozen: true } }',
    )
    assert net.lines == [2, 3, 4]


def test_version_1_keeps_blobs():
    net = parse_net('layers { name: "c" blobs { num: 1 channels: 1 height: 1 width: 2 data: 1 data: 2 } }')
    upgrade_net(net)
    assert list(net.param.layer[0].blobs[0].data) == [1, 2]


def test_every_type_and_field_of_version_1_has_its_place():
    assert set(upgrade_v1.TYPES) == set(caffe_pb2.V1LayerParameter.LayerType.keys())
    new = caffe_pb2.LayerParameter.DESCRIPTOR.fields_by_name
    for field in caffe_pb2.V1LayerParameter.DESCRIPTOR.fields:
        if field.name not in upgrade_v1._BLOB_LISTS and field.name != "layer":
            assert field.name in new
            assert field.name == "type" or field.message_type == new[field.name].message_type


def test_versions_1_and_2_in_one_net():
    with pytest.raises(errors.NetError, match="got 1 and 2"):
        upgrade_net(parse_net('layer { name: "a" } layers { name: "b" } layers { name: "c" }'))


@pytest.mark.parametrize(
    "text",
    [
        'input: "a" input: "b" input_dim: 1 input_dim: 2 input_dim: 3 input_dim: 4'
        " input_dim: 5 input_dim: 6 input_dim: 7 input_dim: 8",
        'input: "a" input_shape { dim: 1 dim: 2 dim: 3 dim: 4 } input: "b"'
        " input_shape { dim: 5 dim: 6 dim: 7 dim: 8 }",
    ],
)
def test_inputs(text):
    net = upgraded(f'name: "n"\n{text}\nlayer {{ name: "r" bottom: "a" }}')
    same(
        net,
        'name: "n" layer { name: "input" type: "Input" top: "a" top: "b" input_param {'
        " shape { dim: 1 dim: 2 dim: 3 dim: 4 } shape { dim: 5 dim: 6 dim: 7 dim: 8 } } }"
        'layer { name: "r" bottom: "a" }',
    )
    assert net.lines == [2, 3]


def test_an_input_beside_its_layer():
    net = upgraded('input: "a" layer { name: "i" type: "Input" top: "a" }')
    same(net, 'layer { name: "i" type: "Input" top: "a" }')


@pytest.mark.parametrize(
    "text",
    [
        'input: "a"',
        'input: "a" input_dim: 1 input_dim: 2 input_dim: 3',
        'input: "a" input: "b" input_dim: 1 input_dim: 2 input_dim: 3 input_dim: 4',
        'input: "a" input_shape { dim: 1 } input_shape { dim: 2 }',
    ],
)
def test_inputs_without_their_shapes(text):
    with pytest.raises(errors.NetError, match="one input_shape, or four input_dim, for each input"):
        upgrade_net(parse_net(text))


def test_batch_norm():
    net = upgraded(
        'layer { type: "BatchNorm" param { lr_mult: 0 } param { lr_mult: 1 } param { decay_mult: 2 } }'
    )
    for spec in net.param.layer[0].param:
        assert (spec.lr_mult, spec.decay_mult) == (0, 0)
    untouched = parse_net('layer { type: "BatchNorm" param { lr_mult: 1 } } layer { type: "Scale" }')
    assert not upgrade_net(untouched)


@pytest.mark.parametrize("old, new", [("NESTEROV", "Nesterov"), ("ADAGRAD", "AdaGrad"), ("1", "Nesterov")])
def test_solver_types(old, new):
    solver = parse_solver(f"base_lr: 0.1 solver_type: {old}")
    assert upgrade_solver(solver)
    assert solver.type == new
    assert not solver.HasField("solver_type")
    assert not upgrade_solver(solver)


def test_solver_with_both_types():
    with pytest.raises(errors.SolverError, match="got both, 'Adam' and SGD"):
        upgrade_solver(parse_solver('type: "Adam" solver_type: SGD'))


def test_real_files():
    """Blobs of real nets of versions 0 to 2 come in the order that the original gives them."""
    seen = {"v0": 0, "v1": 0, "v2": 0}
    with gzip.open(assets("reference", "zoo_shapes.jsonl.gz"), "rt") as records:
        for i, line in enumerate(records):
            record = json.loads(line)
            if i % 8 and "layers" not in assets("zoo", *record["file"].split("/")).read_text("latin-1"):
                continue  # all old ones, and some of the many of today
            net = prototxt.read_net(assets("zoo", *record["file"].split("/")))
            old = net.param.layers
            seen["v0" if any(x.HasField("layer") for x in old) else "v1" if old else "v2"] += 1
            upgrade_net(net)
            net.param.state.phase = caffe_pb2.TEST
            filter_net(net)
            insert_splits(net)
            assert len(net.lines) == len(net.param.layer)
            blobs = dict.fromkeys(top for layer in net.param.layer for top in layer.top)
            assert [b for b in blobs if "_split_" not in b] == list(record["blobs"]), record["file"]
    assert min(seen.values()) >= 2
