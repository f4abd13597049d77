"""What BVLC's activation, utility, loss and data layers refuse, and how they say so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from harness import Case, build, make_layer

import caffe
from caffe.errors import CorruptDataError, LayerError, MissingFileError, ShapeError

X = (2, 3, 4, 5)
Shapes = list[tuple[int, ...]]


@pytest.mark.parametrize(
    ("text", "shapes", "tops", "field", "says"),
    [
        ('type: "Clip"', [X], 1, "min", "must be given"),
        ('type: "Clip" clip_param { min: 2 max: 1 }', [X], 1, "min", "at most max = 1; got 2"),
        ('type: "Dropout" dropout_param { dropout_ratio: 1 }', [X], 1, "dropout_ratio", "below 1; got 1"),
        ('type: "Dropout" dropout_param { dropout_ratio: -0.1 }', [X], 1, "dropout_ratio", "got -0.1"),
        ('type: "Exp" exp_param { base: 0 }', [X], 1, "base", "above 0, or -1 for e; got 0"),
        ('type: "Exp" exp_param { base: -2 }', [X], 1, "base", "got -2"),
        ('type: "Log" log_param { base: 1 }', [X], 1, "base", "not 1, or -1 for e; got 1"),
        ('type: "Log" log_param { base: 0 }', [X], 1, "base", "got 0"),
        ('type: "PReLU"', [(3,)], 1, None, r"at least 2 axes .* got shape \[3\]"),
        ('type: "Softmax" softmax_param { axis: 4 }', [X], 1, "axis", r"in \[-4, 3\] .* got 4"),
        (
            'type: "Flatten" flatten_param { axis: 3 end_axis: 1 }',
            [X],
            1,
            "end_axis",
            "at least axis, 3; got 1",
        ),
        ('type: "Flatten" flatten_param { axis: -5 }', [X], 1, "axis", "got -5"),
        ('type: "Reduction"', [()], 1, "axis", "scalar|shape"),
        ('type: "Reshape" reshape_param { shape { dim: 7 dim: 2 } }', [X], 1, "shape", "120 .* got .* 14"),
        (
            'type: "Reshape" reshape_param { shape { dim: -1 dim: -1 } }',
            [X],
            1,
            "shape",
            "at most one dim of -1",
        ),
        ('type: "Reshape" reshape_param { shape { dim: -1 dim: 7 } }', [X], 1, "shape", "multiple of .* 7"),
        ('type: "Reshape" reshape_param { shape { dim: -2 } }', [X], 1, "shape", "at least -1; got -2"),
        (
            'type: "Reshape" reshape_param { shape { dim: 1 dim: 0 } axis: 3 }',
            [X],
            1,
            "shape",
            "no axis 4 to copy",
        ),
        ('type: "Reshape" reshape_param { shape { dim: 1 } axis: 5 }', [X], 1, "axis", "got 5"),
        ('type: "Reshape" reshape_param { shape { dim: 1 } num_axes: 5 }', [X], 1, "num_axes", "got 5"),
        (
            'type: "Reshape" reshape_param { pixelshuffler: 2 }',
            [X],
            1,
            "pixelshuffler",
            "divide the channels",
        ),
        ('type: "Concat"', [X, (2, 3, 4, 6)], 1, None, r"equal but for axis 1; .* \[2, 3, 4, 6\]"),
        ('type: "Concat"', [X, (2, 3, 4)], 1, None, "bottom 1 has"),
        ('type: "Concat" concat_param { axis: 1 concat_dim: 1 }', [X], 1, "concat_dim", "together with axis"),
        ('type: "Concat" concat_param { concat_dim: 4 }', [X], 1, "concat_dim", "got 4"),
        ('type: "Eltwise"', [X, (2, 3, 5, 4)], 1, None, r"one shape; .* bottom 1 has \[2, 3, 5, 4\]"),
        ('type: "Eltwise" eltwise_param { coeff: 1 }', [X, X], 1, "coeff", "each of the 2 bottoms .* got 1"),
        (
            'type: "Eltwise" eltwise_param { operation: PROD coeff: 1 coeff: 2 }',
            [X, X],
            1,
            "coeff",
            "only be given for operation SUM",
        ),
        ('type: "Slice"', [(2, 5)], 2, None, "must divide the size of axis 1; got 5"),
        (
            'type: "Slice" slice_param { slice_point: 3 slice_point: 2 }',
            [(2, 5)],
            3,
            "slice_point",
            "must increase",
        ),
        ('type: "Slice" slice_param { slice_point: 0 }', [(2, 5)], 2, "slice_point", "from above 0"),
        ('type: "Slice" slice_param { slice_point: 6 }', [(2, 5)], 2, "slice_point", "at most 5"),
        (
            'type: "Slice" slice_param { slice_point: 1 }',
            [(2, 5)],
            3,
            "slice_point",
            "once less than .* tops, 3",
        ),
        (
            'type: "Slice" slice_param { axis: 1 slice_dim: 1 }',
            [(2, 5)],
            1,
            "slice_dim",
            "together with axis",
        ),
        ('type: "Tile"', [X], 1, "tiles", "must be given, and at least 1"),
        ('type: "Tile" tile_param { tiles: 2 axis: 4 }', [X], 1, "axis", "got 4"),
        ('type: "ArgMax" argmax_param { top_k: 61 }', [X], 1, "top_k", "from 1 to .* 60 .* got 61"),
        ('type: "ArgMax" argmax_param { top_k: 0 }', [X], 1, "top_k", "got 0"),
        ('type: "ArgMax" argmax_param { axis: 1 top_k: 4 }', [X], 1, "top_k", "size of axis 1, 3"),
        ('type: "BatchReindex"', [X, (2, 1)], 1, None, r"must have 1 axis; got shape \[2, 1\]"),
        ('type: "Filter"', [X, (2, 3)], 1, None, r"selector, .* got \[2, 3\]"),
        ('type: "Filter"', [X, (3,)], 1, None, "as many items as the selector, 3"),
        ('type: "Filter"', [X, X, (2,)], 1, "top", "got 3 bottoms and 1 tops"),
        (
            'type: "Accuracy"',
            [(4, 5), (3,)],
            1,
            None,
            r"number of labels .* \[4, 5\] and labels of shape \[3\]",
        ),
        ('type: "Accuracy" accuracy_param { top_k: 6 }', [(4, 5), (4,)], 1, "top_k", "number of classes, 5"),
        ('type: "SoftmaxWithLoss"', [(4, 5), (3,)], 1, None, "same first dimension"),
        ('type: "SoftmaxWithLoss"', [X, (2, 5)], 1, None, "number of labels .* N×H×W"),
        ('type: "SoftmaxWithLoss" softmax_param { axis: 7 }', [X, (2, 20)], 1, "axis", "got 7"),
        (
            'type: "SoftmaxWithLoss" loss_param { weight_by_label_freqs: true class_weighting: 1 }',
            [(4, 5), (4,)],
            1,
            "class_weighting",
            "each of the 5 classes; got 1",
        ),
        ('type: "MultinomialLogisticLoss"', [(4, 5), (4, 2)], 1, None, "one label for each item"),
        ('type: "InfogainLoss"', [(4, 5), (4,)], 1, "source", "must be given"),
        ('type: "InfogainLoss"', [(4, 5), (4,), (5, 4)], 1, None, r"5 × 5 values .* got shape \[5, 4\]"),
        (
            'type: "InfogainLoss" loss_param { normalize: true }',
            [(4, 5), (4,), (5, 5)],
            1,
            "normalize",
            "Use normalization",
        ),
        ('type: "SigmoidCrossEntropyLoss"', [(4, 5), (4, 3)], 1, None, "as many values"),
        ('type: "EuclideanLoss"', [(4, 5), (4, 3)], 1, None, "as many values"),
        ('type: "EuclideanLoss"', [(4, 5), (5, 4)], 1, None, "same first dimension"),
        ('type: "HingeLoss"', [(4, 5), (3,)], 1, None, "same first dimension"),
        ('type: "ContrastiveLoss"', [(4, 5), (4, 3), (4,)], 1, None, "one shape N × C"),
        ('type: "ContrastiveLoss"', [(4, 5), (4, 5), (4, 2)], 1, None, "one value for each pair"),
        ('type: "Parameter" parameter_param { shape { dim: -1 } }', [], 1, "shape", "at least 0"),
        ('type: "Input" input_param { shape { dim: -1 } }', [], 1, "shape", "at least 0"),
        (
            'type: "Input" input_param { shape { dim: 1 } shape { dim: 1 } }',
            [],
            3,
            "shape",
            "once for each of the 3 tops; got 2",
        ),
        ('type: "DummyData"', [], 1, "shape", "must be given once"),
        (
            'type: "DummyData" dummy_data_param { shape { dim: 1 } num: 1 }',
            [],
            1,
            "shape",
            "together with num",
        ),
        ('type: "DummyData" dummy_data_param { num: 1 channels: 2 height: 3 }', [], 1, "width", "got 0"),
        (
            'type: "DummyData" dummy_data_param { shape { dim: 1 } data_filler { } data_filler { } }',
            [],
            3,
            "data_filler",
            "got 2",
        ),
        (
            'type: "DummyData" dummy_data_param { shape { dim: 1 } data_filler { type: "gauss" } }',
            [],
            1,
            "type",
            "'gaussian'",
        ),
    ],
)
def test_refused(text: str, shapes: Shapes, tops: int, field: str | None, says: str) -> None:
    with pytest.raises(LayerError, match=says) as caught:
        make_layer(text, *shapes, tops=tops)
    assert caught.value.layer == "l"
    assert caught.value.type is not None
    assert f'"{caught.value.type}"' in text
    if field is not None:
        assert caught.value.field == field


@pytest.mark.parametrize(
    ("text", "scores", "labels", "says"),
    [
        ('type: "SoftmaxWithLoss"', (3, 5), [0, 5, 1], "0 to 4, .* 5 classes; got 5 at position 1 of 3"),
        (
            'type: "SoftmaxWithLoss" loss_param { ignore_label: 255 }',
            (3, 5),
            [255, 1, -1],
            "got -1 at position 2",
        ),
        ('type: "MultinomialLogisticLoss"', (3, 5), [0, 1, 9], "got 9 at position 2"),
        ('type: "HingeLoss"', (3, 5), [-1, 1, 2], "got -1 at position 0"),
    ],
)
def test_labels_outside_the_classes(text: str, scores: tuple[int, ...], labels: list[int], says: str) -> None:
    case = Case("labels", text, [scores, lambda rng: np.array(labels)])
    built = build(case)
    with pytest.raises(LayerError, match=says):
        built.layer.forward(built.bottoms, built.tops)


def test_batch_reindex_outside_the_batch() -> None:
    built = build(Case("r", 'type: "BatchReindex"', [(4, 2), lambda rng: np.array([0, 3, 4])]))
    with pytest.raises(LayerError, match=r"from 0 to 3, .* got 4 at position 2"):
        built.layer.forward(built.bottoms, built.tops)


def test_infogain_files(tmp_path: Path) -> None:
    text = 'type: "InfogainLoss" infogain_loss_param {{ source: "{}" }}'
    with pytest.raises(MissingFileError, match="nowhere"):
        make_layer(text.format(tmp_path / "nowhere"), (4, 5), (4,))
    damaged = tmp_path / "damaged"
    damaged.write_bytes(b"\xff\xff\xff")
    with pytest.raises(CorruptDataError, match="BlobProto"):
        make_layer(text.format(damaged), (4, 5), (4,))
    empty = tmp_path / "empty"
    empty.write_bytes(b"")
    with pytest.raises(ShapeError, match="5 × 5"):
        make_layer(text.format(empty), (4, 5), (4,))


@pytest.mark.parametrize("kind", ["AbsVal", "Flatten", "Reshape"])
def test_not_in_place(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "net.prototxt"
    file.write_text(
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }\n'
        f'layer {{ name: "l" type: "{kind}" bottom: "x" top: "x" reshape_param {{ shape {{ dim: -1 }} }} }}\n'
    )
    with pytest.raises(LayerError, match="in place") as caught:
        caffe.Net(str(file), caffe.TEST)
    assert caught.value.line == 2


@pytest.mark.parametrize(
    ("kind", "bottoms", "says"),
    [
        ("BatchReindex", 1, "exactly 2 bottom"),
        ("SoftmaxWithLoss", 1, "exactly 2 bottom"),
        ("TanH", 2, "exactly 1"),
    ],
)
def test_counts(kind: str, bottoms: int, says: str, tmp_path: Path) -> None:
    file = tmp_path / "net.prototxt"
    names = " ".join(f'bottom: "{n}"' for n in ("a", "b")[:bottoms])
    file.write_text(
        'layer { name: "x" type: "Input" top: "a" top: "b" input_param { shape { dim: 2 dim: 3 } } }\n'
        f'layer {{ name: "l" type: "{kind}" {names} top: "y" }}\n'
    )
    with pytest.raises(LayerError, match=says):
        caffe.Net(str(file), caffe.TEST)
