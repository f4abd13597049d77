"""Rewritten nets have only what the dialect has, and give the same numbers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import caffe
from caffe import dialects
from caffe.dialects import load
from caffe.dialects.rewriting import rewrite
from caffe.formats import prototxt
from caffe.proto import caffe_pb2

Arrays = dict[str, list[np.ndarray]]

INPUT = 'layer {{ name: "in" type: "Input" top: "x" input_param {{ shape {{ {} }} }} }}\n'


def net_of(text: str, sizes: tuple[int, ...] = (2, 6, 5, 7)) -> caffe_pb2.NetParameter:
    shape = " ".join(f"dim: {n}" for n in sizes)
    return prototxt.parse_net('name: "n"\n' + INPUT.format(shape) + text).param


def layer(kind: str, more: str = "", bottom: str = "x", top: str = "y", name: str = "l") -> str:
    return f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{top}" {more} }}\n'


def conv(more: str = "num_output: 8 kernel_size: 3", kind: str = "Convolution", **names: str) -> str:
    words = "weight_filler { type: 'gaussian' std: 0.3 } bias_filler { type: 'gaussian' std: 0.3 }"
    return layer(kind, f"convolution_param {{ {more} {words} }}", **names)


def built(param: caffe_pb2.NetParameter, dialect: str | None, arrays: Arrays, phase: int) -> caffe.Net:
    net = caffe.Net(param, phase, dialect=dialect)
    for name, values in arrays.items():
        assert len(net.params.get(name, [])) == len(values), name
        for blob, value in zip(net.params.get(name, []), values):
            blob.data[...] = np.reshape(value, blob.shape)
    return net


def outputs(net: caffe.Net, large: bool = False) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    for name in net.inputs:
        values = rng.normal(0, 3, net.blobs[name].shape)
        net.blobs[name].data[...] = values * 1000 if large else values
    return {name: value.copy() for name, value in net.forward().items()}


def weights(net: caffe.Net) -> Arrays:
    rng = np.random.default_rng(4)
    found: Arrays = {}
    for name, blobs in net.params.items():
        kind = next(each.type for each in net.layers if each.param.name == name)
        values = [rng.normal(0, 1, b.shape) for b in blobs]
        for i in {"BatchNorm": (1, 2), "BN": (3,)}.get(kind, ()):
            if i < len(values):
                values[i] = rng.uniform(0.5, 2, blobs[i].shape)
        found[name] = [v.astype(np.float32) for v in values]
    return found


def check(
    text: str | caffe_pb2.NetParameter,
    to: str,
    *,
    read: str | None = None,
    sizes: tuple[int, ...] = (2, 6, 5, 7),
    phase: int = caffe.TEST,
    types: str | None = None,
    tolerance: float = 2e-6,
) -> caffe_pb2.NetParameter:
    param = net_of(text, sizes) if isinstance(text, str) else text
    before = param.SerializeToString()
    net = caffe.Net(param, phase, dialect=read)
    arrays = weights(net)
    net = built(param, read, arrays, phase)
    found = net.to_proto()  # with the meaning that the dialect gave its layers
    for each in found.layer:
        del each.blobs[:]
    source = param if read is None else found
    shapes = {name: tuple(blob.shape) for name, blob in net.blobs.items()}
    assert dialects.check(load(to), source), "nothing to rewrite"
    made, values, report = rewrite(source, arrays, to, shapes)
    assert param.SerializeToString() == before
    assert not dialects.check(load(to), made), "\n".join(map(str, dialects.check(load(to), made)))
    assert report
    if types is not None:
        assert [each.type for each in made.layer if each.type != "Input"] == types.split()
    again = built(made, None, values, phase)
    for large in (False, True):
        wanted, got = outputs(net, large), outputs(again, large)
        assert len(wanted) == len(got) and (len(wanted) == 1 or wanted.keys() == got.keys())
        for (name, a), b in zip(wanted.items(), got.values()):
            assert a.shape == b.shape, name
            assert np.abs(a - got.get(name, b)).max() <= tolerance * max(np.abs(a).max(), 1), (name, large)
    return made


RELU6 = layer("ReLU6")
CASES = {
    "relu6 as relus": (RELU6, "bvlc", "ReLU Power ReLU Power"),
    "relu6 as clip": (RELU6, "bvlc-master", "Clip"),
    "clip as relu6": (layer("Clip", "clip_param { min: 0 max: 6 }"), "yolo", "ReLU6"),
    "clip": (layer("Clip", "clip_param { min: -2 max: 1.5 }"), "bvlc", "Power ReLU Power ReLU Power"),
    "bounded relu": (layer("ReLU", "relu_param { relu6: true }"), "yolo", "ReLU6"),
    "swish": (layer("Swish", "swish_param { beta: 1.5 }"), "ssd", "Power Sigmoid Eltwise"),
    "mish": (layer("Mish"), "bvlc", "BNLL TanH Eltwise"),
    "softplus": (layer("Softplus"), "bvlc", "BNLL"),
    "hard sigmoid": (layer("HardSigmoid"), "bvlc-master", "Power Clip"),
    "hard swish": (layer("HardSwish"), "bvlc-master", "Power Clip Eltwise"),
    "hard swish, simplest": (layer("HardSwish"), "bvlc", "Power ReLU Power ReLU Power Eltwise"),
    "hard tanh": (layer("HardTanH"), "bvlc-master", "Clip"),
    "selu": (layer("SeLU"), "bvlc", "ELU Power"),
    "depthwise": (conv("num_output: 12 kernel_size: 3", "ConvolutionDepthwise"), "bvlc", "Convolution"),
    "depthwise, other count": (conv("num_output: 4 kernel_size: 3", "ConvolutionDepthwise"), "bvlc", "Convolution"),
    "by name": (conv("num_output: 6 kernel_size: 3 group: 6", "DepthwiseConvolution"), "bvlc", "Convolution"),
    "to depthwise": (conv("num_output: 6 kernel_size: 3 group: 6"), "vitis-ai", "ConvolutionDepthwise"),
    "fused relu": (conv("num_output: 4 kernel_size: 3 relu: true"), "bvlc", "Convolution ReLU"),
    "holes": (conv("num_output: 4 kernel_size: 3 hole: 2"), "bvlc", "Convolution"),
    "sides": (conv("num_output: 4 kernel_size: 3 pad_l: 1 pad_r: 1 pad_t: 2 pad_b: 2"), "bvlc", "Convolution"),
    "interp": (layer("Interp", "interp_param { zoom_factor: 3 }"), "bvlc", "Deconvolution"),
    "interp to a size": (layer("Interp", "interp_param { height: 9 width: 13 }"), "bvlc", "Deconvolution"),
    "upsample": (layer("Upsample", "upsample_param { scale: 3 }"), "bvlc", "Deconvolution"),
    "upsample, sized": (layer("Upsample", "upsample_param { height: 10 width: 14 }"), "bvlc", "Deconvolution"),
    "upsample darknet": (layer("UpsampleDarknet", "upsample_darknet_param { stride: 2 }"), "yolo", "Upsample"),
    "darknet's": (layer("Upsample", "upsample_param { height: 15 width: 21 }"), "synopsys", "UpsampleDarknet"),
    "resample": (layer("Resample", "resample_param { type: NEAREST height: 10 width: 14 }"), "bvlc", "Deconvolution"),
    "transpose": (layer("Transpose", "transpose_param { dim: 0 dim: 2 dim: 3 dim: 1 }"), "ssd", "Permute"),
    "shuffle": (layer("ShuffleChannel", "shuffle_channel_param { group: 3 }"), "ssd", "Reshape Permute Reshape"),
    "depth to space": (
        conv("num_output: 8 kernel_size: 1", name="c", top="c")
        + layer("DepthToSpace", 'depth_to_space_param { block_size: 2 data_format: "NCHW" }', "c"), "ssd",
        "Convolution Reshape Permute Reshape",
    ),
    "pooling that rounds down": (
        layer("Pooling", "pooling_param { kernel_size: 2 stride: 2 round_mode: FLOOR }"), "ssd",
        "Pooling Slice Silence Slice Silence",
    ),
    "pooling that rounds down, in one": (
        layer("Pooling", "pooling_param { pool: AVE kernel_h: 3 kernel_w: 2 stride: 2 pad: 1 ceil_mode: false }"),
        "bvlc", None,
    ),
    "pooling that comes out": (
        layer("Pooling", "pooling_param { kernel_size: 3 stride: 2 round_mode: FLOOR }"), "bvlc", "Pooling",
    ),
    "an idle field": (layer("Pooling", "pooling_param { kernel_size: 2 round_mode: CEIL }"), "ssd", "Pooling"),
    "bn of segnet": (layer("BN", "bn_param { bn_mode: INFERENCE }"), "bvlc", "Scale"),
    "bn of segnet, by the batch": (layer("BN", "bn_param { scale_filler { value: 1 } }"), "bvlc", "BatchNorm Scale"),
    "bn of pspnet": (layer("BN", "bn_param { slope_filler { value: 1 } eps: 1e-3 }"), "bvlc", "BatchNorm Scale"),
    "bn frozen": (layer("BN", "bn_param { frozen: true }"), "bvlc", "BatchNorm Scale"),
    "bn of caffe-windows": (layer("BN", "bn_param { inverse_std: true }"), "bvlc", "BatchNorm Scale"),
    "nvidia's batch norm": (layer("BatchNorm", "batch_norm_param { scale_bias: true }"), "bvlc", "BatchNorm Scale"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.replace(" ", "_"))
def test_equal_forms(case: str) -> None:
    text, to, types = CASES[case]
    check(text, to, types=types)


@pytest.mark.parametrize(
    "order", ["0 2 3 1", "0 3 1 2", "0 1 3 2", "0 3 2 1", "0 2 1 3", "2 0 3 1", "1 0 2 3"]
)
def test_permute_without_permute(order: str) -> None:
    fields = " ".join(f"order: {i}" for i in order.split())
    check(layer("Permute", f"permute_param {{ {fields} }}"), "bvlc", sizes=(2, 3, 4, 5))


def test_permute_of_axes_of_one_value_is_reshape() -> None:
    text = layer("Permute", "permute_param { order: 0 order: 2 order: 3 order: 1 }")
    check(text, "bvlc", sizes=(2, 1, 4, 5), types="Reshape")


@pytest.mark.parametrize("kind", ["ShuffleChannel", "DepthToSpace", "SpaceToDepth"])
def test_moved_channels_without_permute(kind: str) -> None:
    fields = {
        "ShuffleChannel": "shuffle_channel_param { group: 3 }",
        "DepthToSpace": 'depth_to_space_param { block_size: 2 data_format: "NCHW" }',
        "SpaceToDepth": 'space_to_depth_param { block_size: 2 data_format: "NCHW" }',
    }
    check(layer(kind, fields[kind]), "bvlc", sizes=(2, 12, 4, 6))


BATCH_NORM = layer("BatchNorm", "batch_norm_param { eps: 1e-3 }", "y", "z", "bn") + layer(
    "Scale", "scale_param { bias_term: true }", "z", "z", "sc"
)


@pytest.mark.parametrize(
    ("before", "kind"),
    [
        (conv("num_output: 4 kernel_size: 3"), "Convolution"),
        (conv("num_output: 4 kernel_size: 3 bias_term: false"), "Convolution"),
        (conv("num_output: 9 kernel_size: 3 stride: 2 group: 3", "Deconvolution"), "Deconvolution"),
        (layer("InnerProduct", "inner_product_param { num_output: 5 }"), "InnerProduct"),
        (layer("InnerProduct", "inner_product_param { num_output: 5 transpose: true }"), "InnerProduct"),
    ],
    ids=["conv", "conv without bias", "deconv", "product", "transposed product"],
)  # fmt: skip
def test_normalizations_go_into_the_kernels_before(before: str, kind: str) -> None:
    check(before + BATCH_NORM, "segnet", types=kind, tolerance=2e-5)


def test_pairs_as_bn() -> None:
    check(BATCH_NORM.replace('bottom: "y"', 'bottom: "x"'), "yjxiong", types="BN")


def test_a_normalization_that_others_read_is_left() -> None:
    text = conv() + BATCH_NORM + layer("ReLU", bottom="y", top="w", name="r")
    made, _, report = rewrite(net_of(text), {}, "segnet")
    assert [each.type for each in made.layer] == ["Convolution", "BatchNorm", "Scale", "ReLU"]
    assert not any("kernels" in line for line in report)
    told = {f.type for f in dialects.check(load("segnet"), made)}
    assert told == {"BatchNorm", "Scale"}  # said, not hidden


def test_in_place_layers() -> None:
    text = (
        layer("ReLU6", bottom="x", top="x", name="first")
        + conv(bottom="x", top="y")
        + layer("ReLU", bottom="y", top="y", name="r")
        + layer("Swish", bottom="y", top="y", name="s")
        + layer("Mish", bottom="y", top="y", name="m")
        + layer("Power", "power_param { shift: 1 }", "y", "y", "p")
    )
    made = check(text, "bvlc")
    assert made.layer[0].top[0] == "x" and made.layer[-1].top[0] == "y"


TWO = """layer { name: "g" type: "Pooling" bottom: "x" top: "g" pooling_param { pool: AVE global_pooling: true } }
"""


@pytest.mark.parametrize(
    ("text", "types"),
    [
        ('type: "BroadcastMul" bottom: "x" bottom: "g"', "Reshape Scale"),
        ('type: "Axpy" bottom: "g" bottom: "x" bottom: "x"', "Reshape Scale Eltwise"),
        ('type: "Mul" bottom: "g" bottom: "x"', "Reshape Scale"),
        ('type: "Add" bottom: "x" bottom: "x"', "Eltwise"),
        ('type: "Mul" bottom: "x" bottom: "x"', "Eltwise"),
    ],
)
def test_several_bottoms(text: str, types: str) -> None:
    made = TWO + f'layer {{ name: "l" {text} top: "y" }}\n'
    if "g" not in text.split("bottom", 1)[1]:
        made = made.split("\n")[1]
    else:
        types = f"Pooling {types}"
    check(made, "bvlc", types=types)


def test_deconvolutions_back() -> None:
    deconv = "group: 6 num_output: 6 bias_term: false"
    for fields, kind, other in (
        ("kernel_size: 5 stride: 3 pad: 2", "Interp", "pspnet"),
        ("kernel_size: 2 stride: 2", "Upsample", "yolo"),
    ):
        net = net_of(layer("Deconvolution", f"convolution_param {{ {deconv} {fields} }}"))
        line = 1 - abs(np.arange(5) - 2) / 3
        kernel = np.outer(line, line) if kind == "Interp" else np.ones((2, 2))
        arrays = {"l": [np.broadcast_to(kernel, (6, 1, *kernel.shape)).astype(np.float32)]}
        dialect = dataclasses.replace(load(other), types=load(other).types - {"Deconvolution"} | {"Input"})
        made, _, _ = rewrite(net, arrays, dialect)
        assert made.layer[1].type == kind
        a, b = built(net, None, arrays, caffe.TEST), built(made, None, {}, caffe.TEST)
        np.testing.assert_allclose(outputs(a)["y"], outputs(b)["y"], rtol=1e-5, atol=1e-5)
        other_weights = {"l": [arrays["l"][0] * 1.01]}
        assert rewrite(net, other_weights, dialect)[0].layer[1].type == "Deconvolution"


def test_inputs_as_fields_and_as_a_layer() -> None:
    net = net_of(layer("ReLU"))
    old = rewrite(net, {}, "segnet")[0]
    assert (list(old.input), [d for s in old.input_shape for d in s.dim] or list(old.input_dim)) == (
        ["x"], [2, 6, 5, 7],
    )  # fmt: skip
    assert [each.type for each in old.layer] == ["ReLU"]
    new = rewrite(old, {}, dataclasses.replace(load("bvlc"), inputs="layer"))[0]
    assert (
        new.layer[0].type == "Input"
        and not new.input
        and list(new.layer[0].input_param.shape[0].dim) == [2, 6, 5, 7]
    )


def test_without_weights_and_without_shapes() -> None:
    text = layer("Interp", "interp_param { zoom_factor: 2 }") + layer("ReLU6", bottom="y", top="z", name="r")
    made, arrays, _ = rewrite(net_of(text), {}, "bvlc")
    assert [each.type for each in made.layer][1:3] == ["Interp", "ReLU"] and arrays == {}
    shapes = {"x": (2, 6, 5, 7), "y": (2, 6, 9, 13), "z": (2, 6, 9, 13)}
    made, arrays, _ = rewrite(net_of(text), {}, "bvlc", shapes)
    net, again = (
        caffe.Net(net_of(text), caffe.TEST),
        caffe.Net(made, caffe.TEST),
    )  # its filler has the weights
    np.testing.assert_allclose(outputs(net)["z"], outputs(again)["z"], rtol=1e-5, atol=1e-5)
    assert arrays == {}


def test_phases_and_rates_are_kept() -> None:
    text = conv() + (
        'layer { name: "bn" type: "BN" bottom: "y" top: "y" bn_param { slope_filler { value: 1 } }'
        " param { lr_mult: 2 } param { lr_mult: 3 } include { phase: TRAIN } }"
    )
    made, _, _ = rewrite(net_of(text), {}, "bvlc")
    normal, scale = made.layer[2:4]
    assert [normal.type, scale.type] == ["BatchNorm", "Scale"]
    assert [p.lr_mult for p in scale.param] == [2, 3] and [p.lr_mult for p in normal.param] == [0, 0, 0]
    assert normal.include[0].phase == scale.include[0].phase == caffe.TRAIN
