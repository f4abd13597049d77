"""Forks' fields: those that change the numbers do, and none is passed over in silence."""

from __future__ import annotations

import re
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format
from harness import Case, build, make_layer

import caffe
from caffe.errors import CaffeWarning, LayerError, SolverError, WeightsError
from caffe.layer_factory import layer_class, layer_type_list, readers
from caffe.proto import caffe_pb2, field_use

SOURCE = Path(caffe.__file__).parents[1]
MESSAGES = {
    f.name: f.message_type
    for f in caffe_pb2.LayerParameter.DESCRIPTOR.fields
    if f.message_type is not None and f.name.endswith("_param")
}
FORKS_OWN = {f.name for f in caffe_pb2.LayerParameter.DESCRIPTOR.fields if f.number >= 200}


@cache
def source_of(type_name: str) -> str:
    """The text of a layer's file and of the layers' and data's files that it imports."""
    seen: dict[Path, str] = {}

    def follow(module: str) -> None:
        path = SOURCE / (module.replace(".", "/") + ".py")
        if path in seen or not path.exists():
            return
        seen[path] = path.read_text()
        pattern = r"^\s*(?:from|import) (caffe\.(?:layers|data|boxes)[\w.]*)(?: import (.*))?"
        for parent, names in re.findall(pattern, seen[path], re.M):
            follow(parent)
            for name in re.findall(r"\w+", names):
                follow(f"{parent}.{name}")

    follow(layer_class(type_name).__module__)
    return "\n".join(seen.values())


def names_it(type_name: str, field: str) -> bool:
    """Whether a layer's source holds the field's name as an attribute or a string."""
    if re.search(rf"""(\.|["'])({field})\b""", source_of(type_name)):
        return True
    stem, _, side = field.rpartition("_")  # getattr(p, f"stride_{a}")
    return side in ("h", "w") and f'f"{stem}_{{' in source_of(type_name)


BUILT_IN = [t for t in layer_type_list() if layer_class(t).__module__.startswith("caffe.layers.")]


READ = [(t, message) for t in BUILT_IN for message in layer_class(t).reads]
NAMED = [
    (t, message, word.removeprefix("-"))
    for t, message in READ
    for word in layer_class(t).reads[message].split()
    if word != "*"
]
"""Fields that a type is said to compute by, or not, one by one."""


@pytest.mark.parametrize(("type_name", "message"), READ)
def test_a_type_reads_the_messages_it_is_said_to(type_name: str, message: str) -> None:
    assert message in MESSAGES
    assert names_it(type_name, message), f"{type_name} does not read {message}"


@pytest.mark.parametrize("message", sorted(FORKS_OWN & set(MESSAGES)))
def test_a_forks_message_is_read_field_by_field(message: str) -> None:
    for field in MESSAGES[message].fields:
        for t in readers(f"{message}.{field.name}"):
            if t != "DeformableConvolution":  # convolution_param's fields, by another name
                assert names_it(t, field.name), f"{t} does not read {message}.{field.name}"


@pytest.mark.parametrize(("type_name", "message", "field"), NAMED)
def test_named_fields_exist_and_are_read(type_name: str, message: str, field: str) -> None:
    assert field in MESSAGES[message].fields_by_name
    if field_use.computes(layer_class(type_name).reads, f"{message}.{field}"):
        assert names_it(type_name, field), f"{type_name} does not read {message}.{field}"


@pytest.mark.parametrize("path", sorted(field_use._RANDOM | field_use._MORE_HARMLESS))
def test_listed_fields_exist(path: str) -> None:
    message, field = path.split(".")
    assert field in MESSAGES[message].fields_by_name


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('type: "SoftmaxWithLoss" loss_param { class_weight: 2 }', "loss_param.class_weight"),
        ('type: "SoftmaxWithLoss" loss_param { hard_ratio: 0.5 }', "loss_param.hard_ratio"),
        ('type: "SoftmaxWithLoss" loss_param { focal_loss: true }', "loss_param.focal_loss"),
        ('type: "EuclideanLoss" loss_param { label_smoothing: 0.1 }', "loss_param.label_smoothing"),
        ('type: "InnerProduct" permute_param { order: 1 }', "permute_param"),
        ('type: "PReLU" relu_param { relu6: true }', "relu_param.relu6"),
        (
            'type: "Convolution" convolution_param { deformable_group: 2 }',
            "convolution_param.deformable_group",
        ),
        ('type: "Accuracy" accuracy_param { only_pos: true }', "accuracy_param.only_pos"),
        ('type: "InnerProduct" inner_product_param { normalize: true }', "inner_product_param.normalize"),
        ('type: "Scale" scale_param { min_value: 0.5 }', "scale_param.min_value"),
        ('type: "Softmax" softmax_param { normalize_type: "L2" }', "softmax_param.normalize_type"),
        ('type: "LSTM" recurrent_param { num_layers: 2 }', "recurrent_param.num_layers"),
        ('type: "PriorBox" prior_box_param { min_size: 3 density: 2 }', "prior_box_param.density"),
        ('type: "ROIPooling" roi_pooling_param { pad_ratio: 0.5 }', "roi_pooling_param.pad_ratio"),
        ('type: "ImageData" image_data_param { new_dim: 256 }', "image_data_param.new_dim"),
        ('type: "Crop" crop_param { dim: 3 }', "crop_param.dim"),
        ('type: "ReLU" relu6_param { negative_slope: 0.1 }', "relu6_param"),
        ('type: "BatchNorm" bn_param { momentum: 0.5 }', "bn_param"),
        ('type: "BN" batch_norm_param { scale_bias: true }', "batch_norm_param.scale_bias"),
        ('type: "PReLU" param { fixed: true }', "param.fixed"),
        (
            'type: "InnerProduct" inner_product_param { num_output: 2 weight_filler { type: "msra" alpha: 0.2 } }',
            "inner_product_param.weight_filler.alpha",
        ),
    ],
)
def test_a_field_that_nothing_computes_by_is_an_error(text: str, field: str) -> None:
    with pytest.raises(LayerError) as caught:
        make_layer(text, (2, 3, 4, 5))
    assert caught.value.field == field
    assert "fork" in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        'type: "ReLU" relu_param { engine: CUDNN }',
        'type: "ReLU" relu_param { relu6: false saturate: None }',
        'type: "Softmax" softmax_param { output_scale: 1 } quantization_param { bw_layer_in: 8 }',
        'type: "ReLU" convolution_param { num_output: 3 }',  # as in the original
        'type: "Input" input_param { shape { dim: 2 } } annotated_data_param { label_map_file: "l" }',
        'type: "BatchNorm" batch_norm_param { icnet: true filler { value: 1 } bias_filler { value: 0 } }',
    ],
)
def test_harmless_fields_pass(text: str) -> None:
    bottoms = [] if "Input" in text else [(2, 3, 4, 5)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layer = make_layer(text, *bottoms)
    assert len(layer.blobs) in (0, 3)


@pytest.mark.parametrize(
    "field",
    ["img_rand_resize_lower: 240", "distort_param { exposure_upper: 1.5 }", "resize_param { jitter: 0.2 }"],
)
def test_random_changes_of_training_data_are_warned_of(field: str) -> None:
    param = caffe_pb2.LayerParameter(name="data", type="Data")
    text_format.Parse(field, param.transform_param)
    name = field.split(":")[0].split()[-1]
    with pytest.warns(CaffeWarning, match=rf"layer 'data' \(Data\).*{name}' is a fork's"):
        field_use.check_fields(param, layer_class(param.type).reads, readers)


def test_the_error_names_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "net.prototxt"
    file.write_text(
        'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }\n'
        'layer { name: "a" type: "InnerProduct" bottom: "x" top: "y"\n'
        "  inner_product_param { num_output: 4 normalize: true } }\n"
    )
    with pytest.raises(LayerError, match=r"net\.prototxt:2: layer 'a' \(InnerProduct\).*normalize"):
        caffe.Net(str(file), caffe.TEST)


@pytest.mark.parametrize(
    "text", ["larc: true", 'momentum_policy: "poly"', "local_lr_auto: true", "max_epoch: 3"]
)
def test_a_solvers_field_that_is_not_followed_is_an_error(text: str) -> None:
    param = caffe_pb2.SolverParameter()
    text_format.Parse(text, param)
    with pytest.raises(SolverError, match="fork") as caught:
        field_use.check_solver(param)
    assert caught.value.field == text.split(":")[0]


def test_harmless_fields_of_solvers_pass() -> None:
    param = caffe_pb2.SolverParameter(solver_data_type="FLOAT16", momentum_policy="fixed", larc_eta=0.1)
    field_use.check_solver(param)


NORMALIZATIONS = {
    "BVLC": 'type: "BatchNorm"',
    "NVIDIA": 'type: "BatchNorm" batch_norm_param { scale_bias: true }',
    "SegNet": 'type: "BN" bn_param { scale_filler { value: 1 } }',
    "PSPNet": 'type: "BN" bn_param { slope_filler { value: 1 } }',
}


@pytest.mark.parametrize("wanted", NORMALIZATIONS)
@pytest.mark.parametrize("given", NORMALIZATIONS)
def test_weights_of_another_forks_normalization_are_an_error(given: str, wanted: str, tmp_path: Path) -> None:
    nets = []
    for fork in (given, wanted):
        file = tmp_path / f"{fork}.prototxt"
        file.write_text(
            'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 4 dim: 5 } } }\n'
            f'layer {{ name: "n" bottom: "x" top: "y" {NORMALIZATIONS[fork]} }}'
        )
        nets.append(caffe.Net(str(file), caffe.TEST))
    weights = str(tmp_path / "weights.caffemodel")
    nets[0].save(weights)
    if given == wanted:
        nets[1].copy_from(weights)
        return
    with pytest.raises(WeightsError, match=r"weights\.caffemodel: layer 'n'.*parameter\(s\) of shapes"):
        nets[1].copy_from(weights)


def array(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape)


def run(
    text: str, x: np.ndarray, params: dict[int, np.ndarray], phase: str
) -> tuple[np.ndarray, list[np.ndarray]]:
    case = Case(
        "field", text, [lambda rng: x], phase=phase, params={i: lambda rng, a=a: a for i, a in params.items()}
    )
    built = build(case)
    built.layer.forward(built.bottoms, built.tops)
    return built.tops[0].data, [b.data.copy() for b in built.layer.blobs]


def test_batch_norm_of_nvidia_moves_its_statistics_to_the_batch() -> None:
    x, mean, var = array(2, 3, 4, 5), array(3), array(3) ** 2 + 0.1
    scale, bias = array(4)[:3], array(5)[:3]
    text = 'type: "BatchNorm" batch_norm_param { scale_bias: true moving_average_fraction: 0.9 eps: 1e-7 }'
    y, blobs = run(text, x, {0: mean, 1: var, 2: np.ones(1), 3: scale, 4: bias}, "TRAIN")
    column = (1, 3, 1, 1)
    m, v = x.mean((0, 2, 3)), x.var((0, 2, 3))
    normal = (x - m.reshape(column)) / np.sqrt(v.reshape(column) + 1e-5)  # never a smaller eps
    np.testing.assert_allclose(y, normal * scale.reshape(column) + bias.reshape(column), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(blobs[0], 0.9 * mean + 0.1 * m, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(blobs[1], 0.9 * var + 0.1 * v, rtol=1e-5, atol=1e-6)
    assert blobs[2] == [1]


def test_batch_norm_of_nvidia_has_its_own_rates(tmp_path: Path) -> None:
    file = tmp_path / "net.prototxt"
    file.write_text(
        'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 4 dim: 5 } } }\n'
        'layer { name: "n" type: "BatchNorm" bottom: "x" top: "y" param { lr_mult: 1 } param { lr_mult: 2 }\n'
        "  batch_norm_param { scale_filler { value: 2 } bias_filler { value: 1 } } }\n"
    )
    net = caffe.Net(str(file), caffe.TRAIN)
    layer = net.layers[1]
    assert [(p.lr_mult, p.decay_mult) for p in layer.param.param] == [(0, 0)] * 3 + [(1, 1)] * 2
    assert [float(b.data[0]) for b in layer.blobs] == [0, 0, 1, 2, 1]


def test_batch_norm_of_nvidia_takes_the_first_batch_as_it_is() -> None:
    x = array(2, 3, 4, 5)
    _, blobs = run('type: "BatchNorm" batch_norm_param { scale_bias: true }', x, {}, "TRAIN")
    assert len(blobs) == 5
    np.testing.assert_allclose(blobs[0], x.mean((0, 2, 3)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(blobs[1], x.var((0, 2, 3)), rtol=1e-5)


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
def test_batch_norm_with_eps_after_the_root(phase: str) -> None:
    x, mean, var = array(2, 3, 4, 5), array(3), array(3) ** 2 + 0.1
    text = 'type: "BatchNorm" batch_norm_param { eps: 0.1 add_eps_before_sqrt: false }'
    y, _ = run(text, x, {0: 2 * mean, 1: 2 * var, 2: np.full(1, 2)}, phase)
    m, v = (mean, var) if phase == "TEST" else (x.mean((0, 2, 3)), x.var((0, 2, 3)))
    column = (1, 3, 1, 1)
    expected = (x - m.reshape(column)) / (np.sqrt(v.reshape(column)) + 0.1)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_mvn_with_eps_under_the_root() -> None:
    x = array(2, 3, 4, 5)
    y, _ = run('type: "MVN" mvn_param { eps: 0.3 add_eps_before_sqrt: true }', x, {}, "TEST")
    expected = (x - x.mean((2, 3), keepdims=True)) / np.sqrt(x.var((2, 3), keepdims=True) + 0.3)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_hole_is_dilation_and_relu_is_a_relu() -> None:
    x, w, b = array(2, 3, 7, 6), array(4, 3, 3, 3), array(4)
    common = 'type: "Convolution" convolution_param { num_output: 4 kernel_size: 3 '
    plain, _ = run(common + "dilation: 2 }", x, {0: w, 1: b}, "TEST")
    hole, _ = run(common + "hole: 2 }", x, {0: w, 1: b}, "TEST")
    relu, _ = run(common + "hole_h: 2 hole_w: 2 relu: true negative_slope: 0.5 }", x, {0: w, 1: b}, "TEST")
    assert np.array_equal(plain, hole)
    np.testing.assert_allclose(relu, np.where(plain > 0, plain, plain / 2), rtol=1e-6)
    with pytest.raises(LayerError, match="DeepLab"):
        make_layer(common + "hole: 2 dilation: 2 }", (2, 3, 7, 6))


def test_scale_behind_a_batch_norm_with_its_own(tmp_path: Path) -> None:
    """The two that a net merges in training stay apart where the first has more than BVLC's."""
    file = tmp_path / "net.prototxt"
    file.write_text(
        'force_backward: true layer { name: "in" type: "Input" top: "x"'
        " input_param { shape { dim: 2 dim: 3 dim: 4 dim: 5 } } }\n"
        'layer { name: "n" type: "BatchNorm" bottom: "x" top: "y" batch_norm_param { scale_bias: true relu: true } }\n'
        'layer { name: "s" type: "Scale" bottom: "y" top: "y" scale_param { filler { value: 3 } } }\n'
        'layer { name: "r" type: "ReLU" bottom: "y" top: "y" relu_param { negative_slope: 0.1 } }\n'
        'layer { name: "l" type: "EuclideanLoss" bottom: "y" bottom: "x" top: "l" }\n'
    )
    net = caffe.Net(str(file), caffe.TRAIN)
    x = net.blobs["x"].data[...] = array(2, 3, 4, 5)
    net.forward()
    column = (1, 3, 1, 1)
    m, v = x.mean((0, 2, 3)).reshape(column), x.var((0, 2, 3)).reshape(column)
    expected = 3 * np.maximum((x - m) / np.sqrt(v + 1e-5), 0)
    np.testing.assert_allclose(net.blobs["y"].data, expected, rtol=1e-4, atol=1e-5)
    net.backward()
    assert [b.diff.shape for b in net.params["n"]] == [(3,), (3,), (1,), (3,), (3,)]
    assert np.abs(net.params["n"][4].diff).min() > 0
