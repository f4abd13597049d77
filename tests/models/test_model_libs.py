"""caffe.model_libs, as generators of SSD's fork use it."""

from __future__ import annotations

import pytest

import caffe
from caffe import layers as L
from caffe.errors import InputError
from caffe.models import ssd
from caffe.net import build

GENERATOR = """
from caffe.model_libs import *

def AddExtraLayers(net):
    use_relu = True
    from_layer = net.keys()[-1]
    for name, wide, kernel, pad, stride in (
        ("conv6_1", 256, 1, 0, 1), ("conv6_2", 512, 3, 1, 2), ("conv7_1", 128, 1, 0, 1), ("conv7_2", 256, 3, 1, 2),
        ("conv8_1", 128, 1, 0, 1), ("conv8_2", 256, 3, 0, 1), ("conv9_1", 128, 1, 0, 1), ("conv9_2", 256, 3, 0, 1)):
        ConvBNLayer(net, from_layer, name, False, use_relu, wide, kernel, pad, stride)
        from_layer = name

make_if_not_exist(folder)
check_if_exist(folder)
net = caffe.NetSpec()
net.data = L.Input(shape=[1, 3, 300, 300])
VGGNetBody(net, from_layer='data', fully_conv=True, reduced=True, dilated=True, dropout=False)
AddExtraLayers(net)
mbox_layers = CreateMultiBoxHead(net, data_layer='data', from_layers=['conv4_3', 'fc7', 'conv6_2', 'conv7_2', 'conv8_2',
    'conv9_2'], use_batchnorm=False, min_sizes=[30.0, 60.0, 111.0, 162.0, 213.0, 264.0],
    max_sizes=[60.0, 111.0, 162.0, 213.0, 264.0, 315.0], aspect_ratios=[[2], [2, 3], [2, 3], [2, 3], [2], [2]],
    steps=[8, 16, 32, 64, 100, 300], normalizations=[20, -1, -1, -1, -1, -1], num_classes=21, share_location=True,
    flip=True, clip=False, prior_variance=[0.1, 0.1, 0.2, 0.2], kernel_size=3, pad=1, lr_mult=1)
mbox_layers.append(net.data)
"""


def spec(side=224):
    n = caffe.NetSpec()
    n.data = L.Input(shape=[1, 3, side, side])
    return n


def libs():
    names = {}
    exec("from caffe.model_libs import *", names)
    return names


def test_ssd300s_generator_gives_ssd300(tmp_path):
    """The layers of our own definition of the published net, written apart from this."""
    names = {"folder": str(tmp_path / "a" / "b")}
    exec(GENERATOR, names)
    assert (tmp_path / "a" / "b").is_dir()
    ours = {layer.name: layer for layer in ssd.train(ssd.VOC).layer}
    convolutions = 0
    for layer in names["net"].to_proto().layer:
        other = ours.get(layer.name)
        if layer.type == "Convolution":
            convolutions += 1
            mine, theirs = layer.convolution_param, other.convolution_param
            for field in ("num_output", "kernel_size", "pad", "stride", "dilation"):
                a, b = getattr(mine, field), getattr(theirs, field)
                assert a == b or (list(a) or [{"pad": 0}.get(field, 1)]) == (
                    list(b) or [{"pad": 0}.get(field, 1)]
                )
            assert list(layer.bottom) == list(other.bottom) and list(layer.param) == list(other.param)
        elif layer.type == "PriorBox":
            assert layer.prior_box_param == other.prior_box_param
    assert convolutions == 13 + 2 + 8 + 2 * 6


BODIES = {
    ("VGGNetBody", (("need_fc", False),)): ([1, 512, 14, 14], "relu5_3"),
    ("VGGNetBody", (("fully_conv", True), ("reduced", True), ("dilated", True), ("dilate_pool4", True))): (
        [1, 1024, 28, 28],
        "drop7",
    ),
    ("VGGNetBody", (("nopool", True), ("fully_conv", True), ("reduced", True))): ([1, 1024, 7, 7], "drop7"),
    ("ZFNetBody", (("fully_conv", True), ("reduced", True), ("need_fc8", True))): ([1, 1000, 8, 8], "prob"),
    ("ResNet101Body", ()): ([1, 2048, 1, 1], "pool5"),
    ("ResNet152Body", (("use_pool5", False), ("use_dilation_conv5", True))): (
        [1, 2048, 14, 14],
        "res5c_relu",
    ),
    ("InceptionV3Body", ()): ([1, 2048, 8, 8], "mixed_10/join"),
}


@pytest.mark.parametrize(("name", "arguments"), BODIES)
def test_bodies(name, arguments):
    n = spec(299 if name == "InceptionV3Body" else 224)
    assert libs()[name](n, "data", **dict(arguments)) is n
    shape, last = BODIES[name, arguments]
    proto = n.to_proto()
    assert proto.layer[-1].name == last
    wiring, _ = build.wire(proto, caffe.TEST)
    assert list(wiring.blobs[proto.layer[-1].top[0]].shape) == shape
    wiring.close()


def test_resnets_have_the_published_names():
    n = spec()
    libs()["ResNet101Body"](n, "data", use_global_stats=True)
    layers = {layer.name: layer for layer in n.to_proto().layer}
    convolutions = [name for name, layer in layers.items() if layer.type == "Convolution"]
    assert len(convolutions) == 104  # 100 of the 101, and the four that change the width
    assert {"conv1", "res2a_branch1", "res3b3_branch2b", "res4b22_branch2c", "res5c_branch2c"} <= set(
        convolutions
    )
    assert (
        layers["bn_conv1"].batch_norm_param.use_global_stats and layers["scale_conv1"].param[0].lr_mult == 0
    )
    assert layers["res4b22"].bottom[:] == ["res4b21", "res4b22_branch2c"]


def test_frozen_layers():
    n = spec()
    libs()["VGGNetBody"](n, "data", need_fc=False, freeze_layers=["conv1_1", "no such layer"])
    layers = n.to_proto().layer
    assert [p.lr_mult for p in layers[1].param] == [0, 0] and [p.lr_mult for p in layers[3].param] == [1, 2]


@pytest.mark.parametrize("train", [True, False])
def test_a_data_layer(train):
    n = caffe.NetSpec()
    n.data, n.label = libs()["CreateAnnotatedDataLayer"](
        "db",
        batch_size=8,
        train=train,
        label_map_file="map",
        transform_param=dict(mirror=True),
        batch_sampler=[dict(max_sample=1)],
    )
    [layer] = n.to_proto().layer
    assert (layer.type, layer.name, list(layer.top)) == ("AnnotatedData", "data", ["data", "label"])
    assert layer.include[0].phase == (caffe.TRAIN if train else caffe.TEST)
    assert layer.data_param.source == "db" and layer.annotated_data_param.batch_sampler[0].max_sample == 1
    top = libs()["CreateAnnotatedDataLayer"]("db", output_label=False)
    assert len(top.fn.tops) == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (dict(), "num_classes must be a positive number"),
        (dict(num_classes=3, data_layer="dat"), "data_layer must be a layer of the net; got 'dat'"),
        (dict(num_classes=3, from_layers=["data"]), "min_sizes must have an entry for each of the 1"),
        (dict(num_classes=3, from_layers=["data"], min_sizes=[2], steps=[1, 2]), "steps must have an entry"),
        (
            dict(num_classes=3, from_layers=["data"], min_sizes=[[2]], max_sizes=[[3, 4]]),
            "as many sizes as min",
        ),
        (dict(num_classes=3, from_layers=["data"], min_sizes=[2], kernel_size=[1, 2, 3]), "one value or 2"),
    ],
)
def test_bad_heads(arguments, says):
    with pytest.raises(InputError, match=says):
        libs()["CreateMultiBoxHead"](spec(), **arguments)


def test_a_layer_to_start_from_that_does_not_exist():
    with pytest.raises(InputError, match="from_layer must be a layer of the net; got 'dat'"):
        libs()["VGGNetBody"](spec(), "dat")
