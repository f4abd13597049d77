"""The transformer's chance, and augmentations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format
from support_data import noise, smooth

from caffe.data import augment
from caffe.data.transform import Transformer, decode, random_words, read_mean
from caffe.errors import CorruptDataError, DataError, InputError, LayerError
from caffe.proto import caffe_pb2


def transformer(text: str, phase: int = caffe_pb2.TRAIN) -> Transformer:
    return Transformer(text_format.Parse(text, caffe_pb2.TransformationParameter()), phase)


def test_random_words_are_a_function_of_seed_and_index() -> None:
    one = random_words(3, np.arange(1000), 3)
    assert one.shape == (1000, 3) and len(np.unique(one)) == 3000
    assert np.array_equal(random_words(3, [7, 500], 3), one[[7, 500]])
    assert not (random_words(4, np.arange(1000), 3) == one).any()
    for bit in (0, 1, 31, 62, 63):
        ones = (one >> np.uint64(bit) & np.uint64(1)).mean()
        assert abs(ones - 0.5) < 0.04
    counts = np.bincount((one[:, 0] % np.uint64(10)).astype(int), minlength=10)
    assert counts.min() > 60
    assert random_words(-1, 2**40, 1).shape == (1,)


def test_all_at_once_is_one_by_one() -> None:
    images = noise(6, 3, 9, 8)
    for text in ("crop_size: 5 mirror: true mean_value: 3 scale: 0.3", "mirror: true", "crop_h: 4 crop_w: 7"):
        for phase in (caffe_pb2.TRAIN, caffe_pb2.TEST):
            made = transformer(text, phase)
            words = random_words(1, np.arange(6), 3)
            shape = made.output_shape((3, 9, 8))
            together, single = np.empty((6, *shape), np.float32), np.empty((6, *shape), np.float32)
            made.apply_all(images, together, words)
            for i in range(6):
                made.apply(images[i], single[i], words[i])
            assert np.array_equal(together, single)


def test_order_in_memory_changes_no_value() -> None:
    image = noise(9, 8, 3).transpose(2, 0, 1)
    for text in (
        "mirror: true mean_value: 1.7 mean_value: 2 mean_value: 3.3 scale: 0.7 crop_size: 6",
        "crop_size: 6",
    ):
        made = transformer(text)
        for words in random_words(2, np.arange(6), 3):
            found = []
            for given in (image, np.ascontiguousarray(image)):
                for out in (
                    np.empty((3, 6, 6), np.float32),
                    np.empty((6, 6, 3), np.float32).transpose(2, 0, 1),
                ):
                    made.apply(given, out, words)
                    found.append(np.array(out))
            assert all(np.array_equal(f, found[0]) for f in found)


def test_what_is_no_image() -> None:
    for raw in (b"", b"GIF", b"\x89PNG\r\n\x1a\n" + bytes(40), b"\xff\xd8\xff\xe0"):
        with pytest.raises(CorruptDataError):
            decode(raw)
    import cv2

    deep = cv2.imencode(".png", np.zeros((3, 4), np.uint16))[1].tobytes()
    with pytest.raises(DataError, match="8 bits a channel; got uint16"):
        decode(deep)
    assert decode(deep, False).dtype == np.uint8


def test_a_mean_of_several_images_is_refused(tmp_path: Any) -> None:
    blob = caffe_pb2.BlobProto(num=2, channels=1, height=1, width=2)
    blob.data.extend([1.0] * 4)
    (tmp_path / "mean").write_bytes(blob.SerializeToString())
    with pytest.raises(DataError, match=r"one image; got shape \[2, 1, 1, 2\]"):
        read_mean(str(tmp_path / "mean"))


def changed(text: str, image: Any, seed: int = 0) -> Any:
    made = transformer(f"augmentation {{ {text} }}")
    return made.augment(image.transpose(2, 0, 1), seed, 5).transpose(1, 2, 0)


@pytest.mark.parametrize(
    "text",
    [
        'type: "ColorJitter" brightness: 0.5 contrast: 0.5 saturation: 0.5',
        'type: "RandomResizedCrop"',
        'type: "RandomErasing" fill: 7',
        'type: "RandomRotation" degrees: 30',
        'type: "GaussianBlur" min_sigma: 1 max_sigma: 3',
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_augmentations_are_drawn_by_seed(text: str, channels: int) -> None:
    image = smooth(20, 26)[:, :, :channels]
    original = image.copy()
    found = [changed(text, image, seed) for seed in range(4)]
    assert all(f.shape == image.shape and f.dtype == np.uint8 for f in found)
    assert any((f != image).any() for f in found)
    assert any((found[0] != f).any() for f in found[1:])
    assert np.array_equal(found[2], changed(text, image, 2))
    assert np.array_equal(image, original)


def test_what_augmentations_do() -> None:
    image = np.full((20, 26, 3), 100, np.uint8)
    bright = [int(changed('type: "ColorJitter" brightness: 0.3', image, seed)[0, 0, 0]) for seed in range(40)]
    assert 70 <= min(bright) < 85 and 115 < max(bright) <= 130
    erased = changed('type: "RandomErasing" fill: 7 min_area: 0.1 max_area: 0.2', image)
    assert 0.05 < (erased == 7).mean() < 0.25 and ((erased == 7) | (erased == 100)).all()
    gray = changed('type: "ColorJitter" saturation: 1', smooth(8, 9), 3)
    assert gray.shape == (8, 9, 3)
    assert np.array_equal(changed('type: "RandomRotation" degrees: 0', image), image)
    kept = [
        np.array_equal(changed('type: "RandomErasing" probability: 0.5', image, s), image) for s in range(60)
    ]
    assert 15 < sum(kept) < 45


@pytest.fixture
def own() -> Iterator[None]:
    @augment.register("Negative")
    def negative(param: caffe_pb2.ImageAugmentationParameter) -> augment.Change:
        level = int(param.param_str or 255)
        return lambda image, rng: (level - image).astype(np.uint8)

    @augment.register("Wrong")
    def wrong(param: caffe_pb2.ImageAugmentationParameter) -> augment.Change:
        return lambda image, rng: image.astype(float)

    yield
    del augment._makers["Negative"], augment._makers["Wrong"]


def test_augmentations_of_ones_own(own: None) -> None:
    image = noise(4, 5, 3)
    assert np.array_equal(changed('type: "Negative"', image), 255 - image)
    twice = transformer(
        'augmentation { type: "Negative" } augmentation { type: "Negative" param_str: "255" }'
    )
    assert np.array_equal(twice.augment(image.transpose(2, 0, 1), 0, 0), image.transpose(2, 0, 1))
    with pytest.raises(InputError, match=r"uint8; got .* of float64"):
        changed('type: "Wrong"', image)
    with pytest.raises(InputError, match="exists already"):
        augment.register("ColorJitter")(lambda param: lambda image, rng: image)
    with pytest.raises(LayerError, match=r"no augmentation 'ColorJiter'.*Did you mean 'ColorJitter'"):
        transformer('augmentation { type: "ColorJiter" }')
    with pytest.raises(LayerError, match="min_area"):
        transformer('augmentation { type: "RandomErasing" min_area: 0.5 max_area: 0.2 }')
    assert not transformer('augmentation { type: "Negative" }', caffe_pb2.TEST).augmentations


def test_float_images_cannot_be_augmented(own: None) -> None:
    with pytest.raises(DataError, match="8-bit images; got float32"):
        transformer('augmentation { type: "Negative" }').augment(np.zeros((1, 2, 3), np.float32), 0, 0)
