"""AnnotatedData: wherever a picture goes, its boxes go with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from harness import make_layer

import caffe
from caffe.blob import Blob
from caffe.data import picture
from caffe.data.annotated_image import AnnotatedImage, sample
from caffe.data.sources.database import create
from caffe.errors import CaffeError, CorruptDataError, DataError, LayerError
from caffe.proto import caffe_pb2

HEIGHT, WIDTH = 60, 80
BOXES = {1: (8, 12, 30, 40), 2: (44, 6, 74, 22), 3: (40, 30, 66, 54)}  # label: x1, y1, x2, y2
COLORS = {1: (255, 0, 0), 2: (0, 255, 0), 3: (0, 0, 255)}


def picture_of_boxes() -> Any:
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for label, (x1, y1, x2, y2) in BOXES.items():
        pixels[y1:y2, x1:x2] = COLORS[label]
    return pixels


def record(encoded: bool = True, boxes: bool = True) -> caffe_pb2.AnnotatedDatum:
    pixels = picture_of_boxes()
    made = caffe_pb2.AnnotatedDatum(type=caffe_pb2.AnnotatedDatum.BBOX)
    made.datum.channels, made.datum.height, made.datum.width = 3, HEIGHT, WIDTH
    made.datum.encoded = encoded
    made.datum.data = (
        cv2.imencode(".png", pixels)[1].tobytes() if encoded else pixels.transpose(2, 0, 1).tobytes()
    )
    made.datum.label = 7
    for label, (x1, y1, x2, y2) in BOXES.items() if boxes else ():
        annotation = made.annotation_group.add(group_label=label).annotation.add(instance_id=label + 10)
        box = annotation.bbox
        box.xmin, box.ymin, box.xmax, box.ymax = x1 / WIDTH, y1 / HEIGHT, x2 / WIDTH, y2 / HEIGHT
        box.difficult = label == 2
    return made


def database(folder: Path, *records: caffe_pb2.AnnotatedDatum) -> Path:
    with create(folder / "db", "lmdb") as writer:
        for i, r in enumerate(records):
            writer.put(f"{i:04d}".encode(), r.SerializeToString())
    return folder / "db"


def batches(folder: Path, transform: str = "", more: str = "", count: int = 1, phase: str = "TRAIN") -> Any:
    text = (
        f'type: "AnnotatedData" data_param {{ source: "{folder}" backend: LMDB batch_size: 4 }}'
        f" transform_param {{ {transform} }} annotated_data_param {{ {more} }}"
    )
    caffe.set_random_seed(5)
    layer = make_layer(text, tops=2, phase=phase)
    tops = [Blob(), Blob()]
    try:
        for _ in range(count):
            layer.forward([], tops)
            yield tops[0].data.copy(), tops[1].data[0, 0].copy()
    finally:
        layer.close()


def check_boxes(images: Any, rows: Any, most_off: float = 2.0, least: int = 1) -> None:
    """Every row's box is where its colour is, to some pixels."""
    assert len(rows) >= least
    for number, label, instance, *box, difficult in rows:
        pixels = images[int(number)].transpose(1, 2, 0)
        others = [c for c in range(3) if COLORS[int(label)][c] == 0]
        ours = pixels[..., 3 - sum(others)]
        mask = (ours > 128) & (pixels[..., others] < 128).all(-1)
        height, width = pixels.shape[:2]
        if (box[2] - box[0]) * width < 4 or (box[3] - box[1]) * height < 4:
            continue  # a sliver that a sampled window left of it
        y, x = np.nonzero(mask)
        seen = [x.min() / width, y.min() / height, (x.max() + 1) / width, (y.max() + 1) / height]
        scale = np.array([width, height, width, height])
        assert np.abs((np.array(seen) - box) * scale).max() <= most_off, (label, seen, box)
        assert instance == label + 10
        assert difficult == (label == 2)


@pytest.mark.parametrize("encoded", [True, False])
def test_as_it_is(tmp_path: Path, encoded: bool) -> None:
    [(images, rows)] = batches(database(tmp_path, record(encoded)))
    assert images.shape == (4, 3, HEIGHT, WIDTH)
    assert np.array_equal(images[2], picture_of_boxes().transpose(2, 0, 1))
    assert rows.shape == (12, 8)
    np.testing.assert_allclose(rows[4, 3:7], np.array(BOXES[2]) / [WIDTH, HEIGHT, WIDTH, HEIGHT], rtol=1e-6)
    check_boxes(images, rows, 1e-4)


@pytest.mark.parametrize(
    ("transform", "more"),
    [
        ("mirror: true", ""),
        ("expand_param { max_expand_ratio: 2.5 } resize_param { height: 120 width: 100 }", ""),
        ("resize_param { height: 45 width: 50 interp_mode: AREA }", ""),
        ("resize_param { height: 90 width: 50 resize_mode: FIT_LARGE_SIZE_AND_PAD }", ""),
        ("resize_param { height: 50 width: 120 resize_mode: FIT_LARGE_SIZE_AND_PAD pad_mode: CONSTANT }", ""),
        ("resize_param { height: 90 width: 90 resize_mode: FIT_SMALL_SIZE }", ""),
        ("crop_h: 48 crop_w: 60 mirror: true", ""),
        (
            "resize_param { height: 90 width: 80 } mirror: true",
            "batch_sampler { sampler { min_scale: 0.4 min_aspect_ratio: 0.5 max_aspect_ratio: 2 } max_sample: 2"
            " sample_constraint { min_jaccard_overlap: 0.2 } }",
        ),
    ],
)
def test_boxes_follow(tmp_path: Path, transform: str, more: str) -> None:
    path = database(tmp_path, record())
    seen = []
    for images, rows in batches(path, transform, more, count=4):
        check_boxes(
            images, rows, 4 if more else 2.5
        )  # a sampled window is cut at whole pixels, then enlarged
        seen.append(images)
    if "mirror" in transform:
        assert any(not np.array_equal(a, seen[0][0]) for images in seen for a in images)


def test_emit_constraints(tmp_path: Path) -> None:
    """A box stays by its centre, or by how much of it is still there."""
    window = np.array([0.0, 0.0, 0.6, 1.0])
    image = AnnotatedImage.of(picture_of_boxes(), record())

    def labels(constraint: caffe_pb2.EmitConstraint | None) -> list[int]:
        return image.viewed(image.pixels, window, constraint).labels.tolist()

    emit = caffe_pb2.EmitConstraint
    assert labels(None) == [1, 2, 3]
    assert labels(emit(emit_type=emit.CENTER)) == [1]  # centres at 0.24, 0.74, 0.66 of the width
    assert labels(emit(emit_type=emit.MIN_OVERLAP, emit_overlap=0.2)) == [1, 3]  # 1, 4/30, 8/26 inside
    assert labels(emit(emit_type=emit.MIN_OVERLAP, emit_overlap=0.5)) == [1]


def test_sampler_constraints() -> None:
    image = AnnotatedImage.of(picture_of_boxes(), record())
    sampler = caffe_pb2.BatchSampler(max_sample=1, max_trials=200)
    sampler.sampler.min_scale, sampler.sampler.max_scale = 0.3, 0.9
    sampler.sampler.min_aspect_ratio, sampler.sampler.max_aspect_ratio = 0.5, 2
    sampler.sample_constraint.min_object_coverage = 1
    for seed in range(10):
        window = sample(image, [sampler], np.random.default_rng(seed))
        assert window is not None
        inside = (image.boxes[:, :2] >= window[:2]).all(1) & (image.boxes[:, 2:] <= window[2:]).all(1)
        assert inside.any()
        assert (window >= 0).all()
        assert (window <= 1 + 1e-12).all()
    sampler.sample_constraint.min_jaccard_overlap = 0.99
    assert sample(image, [sampler], np.random.default_rng(0)) is None


def test_no_boxes_and_no_annotations(tmp_path: Path) -> None:
    [(_, rows)] = batches(database(tmp_path, record(boxes=False)))
    assert np.array_equal(rows, np.full((1, 8), -1))
    plain = record(boxes=False)
    plain.ClearField("type")
    folder = tmp_path / "plain"
    folder.mkdir()
    layer = make_layer(
        f'type: "AnnotatedData" data_param {{ source: "{database(folder, plain)}" backend: LMDB batch_size: 3 }}',
        tops=2,
    )
    tops = [Blob(), Blob()]
    layer.forward([], tops)
    layer.close()
    assert tops[1].data.tolist() == [7, 7, 7]


def test_chance_is_the_seed(tmp_path: Path) -> None:
    path = database(tmp_path, record())
    transform = (
        "mirror: true distort_param { brightness_prob: 1 brightness_delta: 30 contrast_prob: 1 contrast_lower: 0.5"
        " contrast_upper: 1.5 hue_prob: 1 hue_delta: 18 saturation_prob: 1 saturation_lower: 0.5 saturation_upper: 1.5"
        " random_order_prob: 0.5 } expand_param { prob: 0.5 max_expand_ratio: 2 } resize_param { height: 40 width: 50 }"
        " noise_param { gauss_blur: true posterize: true }"
    )
    first, second = (list(batches(path, transform, count=3)) for _ in range(2))
    for (a, b), (c, d) in zip(first, second):
        assert np.array_equal(a, c)
        assert np.array_equal(b, d)
    assert not np.array_equal(first[0][0], first[1][0])


def test_distortions() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (5, 6, 3)).astype(np.uint8)
    none = picture.distort(pixels, caffe_pb2.DistortionParameter(), rng)
    assert np.array_equal(none, pixels)
    brighter = caffe_pb2.DistortionParameter(brightness_prob=1, brightness_delta=10)
    shift = picture.distort(pixels, brighter, rng).astype(int) - pixels
    inner = (pixels > 12) & (pixels < 243)
    assert len(set(shift[inner].tolist())) == 1
    assert abs(shift[inner][0]) <= 10
    doubled = caffe_pb2.DistortionParameter(contrast_prob=1, contrast_lower=2, contrast_upper=2)
    assert np.array_equal(picture.distort(pixels, doubled, rng), np.minimum(pixels.astype(int) * 2, 255))


def test_noises() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (20, 30, 3)).astype(np.uint8)
    noise = caffe_pb2.NoiseParameter
    assert np.array_equal(picture.add_noise(pixels, noise(inverse=True), rng), 255 - pixels)
    assert set(np.unique(picture.add_noise(pixels, noise(posterize=True), rng))) == {32, 96, 160, 224}
    gray = picture.add_noise(pixels, noise(decolorize=True), rng)
    assert (gray[..., 0] == gray[..., 2]).all()
    salted = noise(saltpepper=True, saltpepper_param={"fraction": 0.2, "value": [255]})
    changed = (picture.add_noise(pixels, salted, rng) != pixels).any(-1).mean()
    assert 0.1 < changed <= 0.2
    for field in ("hist_eq", "gauss_blur", "erode", "clahe", "convert_to_hsv", "convert_to_lab"):
        assert picture.add_noise(pixels, noise(**{field: True}), rng).shape == pixels.shape
    assert picture.add_noise(pixels, noise(jpeg=30), rng).shape == pixels.shape


@pytest.mark.parametrize(
    ("transform", "more", "kind", "says"),
    [
        ("resize_param { height: 10 }", "", LayerError, "resize_param.height"),
        ("expand_param { max_expand_ratio: 0.5 }", "", LayerError, "at least 1"),
        ("", "batch_sampler { sampler { min_scale: 0 } }", LayerError, "min_scale"),
        (
            "distort_param { contrast_prob: 1 contrast_lower: 2 contrast_upper: 1 }",
            "",
            LayerError,
            "contrast_lower",
        ),
        ("crop_size: 70", "", DataError, "70×70"),
    ],
)
def test_bad_parameters(tmp_path: Path, transform: str, more: str, kind: type[CaffeError], says: str) -> None:
    with pytest.raises(kind, match=says):
        list(batches(database(tmp_path, record()), transform, more))


def test_other_records(tmp_path: Path) -> None:
    with create(tmp_path / "db", "lmdb") as writer:
        writer.put(b"0", b"\xff\xff\xff")
    with pytest.raises(CorruptDataError, match="no AnnotatedDatum"):
        list(batches(tmp_path / "db"))
    sizes = [record(), record()]
    sizes[1].datum.data = cv2.imencode(".png", np.zeros((30, 20, 3), np.uint8))[1].tobytes()
    folder = tmp_path / "sizes"
    folder.mkdir()
    with pytest.raises(DataError, match=r"Record '0001'.*shape"):
        list(batches(database(folder, *sizes)))
