"""DenseImageData: pairs of images, cut and mirrored alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from harness import make_layer
from support_data import jpeg, noise

from caffe import runtime
from caffe.blob import Blob
from caffe.errors import DataError, LayerError, MissingFileError


def write(folder: Path, sizes: list[tuple[int, int]]) -> str:
    """Pairs whose label is the image's blue modulo 16; the start of a layer's definition."""
    for i, size in enumerate(sizes):
        image = noise(*size, 3, seed=i)
        (folder / f"{i}.png").write_bytes(jpeg(image, ".png"))
        (folder / f"{i}_label.png").write_bytes(jpeg(image[..., 0] % 16, ".png"))
    lines = [f"{i}.png {i}_label.png\n" for i in range(len(sizes))]
    (folder / "list.txt").write_text("\n".join(lines))
    return f'type: "DenseImageData" dense_image_data_param {{ source: "{folder}/list.txt" root_folder: "{folder}/" '


def batches(text: str, count: int, phase: str = "TRAIN") -> list[tuple[np.ndarray, np.ndarray]]:
    layer = make_layer(text, tops=2, phase=phase)
    tops = [Blob(), Blob()]
    found = []
    for _ in range(count):
        layer.forward([], tops)
        found.append((tops[0].data.copy(), tops[1].data.copy()))
    layer.close()
    return found


def test_images_and_labels_in_order(tmp_path: Path) -> None:
    text = write(tmp_path, [(6, 7)] * 3) + "batch_size: 2 } transform_param { scale: 0.5 mean_value: 10 }"
    (first, labels), (second, more) = batches(text, 2)
    assert first.shape == (2, 3, 6, 7) and labels.shape == (2, 1, 6, 7)
    for images, numbers, places in ((first, labels, (0, 1)), (second, more, (2, 0))):
        for image, number, i in zip(images, numbers, places):
            pixels = noise(6, 7, 3, seed=i)
            np.testing.assert_array_equal(image, (pixels.transpose(2, 0, 1) - 10.0) * 0.5)
            np.testing.assert_array_equal(number[0], pixels[..., 0] % 16)


@pytest.mark.parametrize(
    "how",
    [
        "} transform_param { crop_size: 4 mirror: true }",
        "mirror: true crop_height: 4 crop_width: 4 }",
        "shuffle: true } transform_param { crop_h: 4 crop_w: 4 mirror: true }",
    ],
)
def test_labels_are_cut_and_mirrored_with_their_image(tmp_path: Path, how: str) -> None:
    runtime.set_random_seed(1)  # crops and mirrors that differ
    found = batches(write(tmp_path, [(6, 7), (8, 9), (5, 6)]) + "batch_size: 2 " + how, 6)
    for images, labels in found:
        assert images.shape == (2, 3, 4, 4)
        np.testing.assert_array_equal(labels[:, 0], images[:, 0] % 16)
    assert len({images.tobytes() for images, _ in found}) == 6


def test_labels_are_resized_to_the_nearest(tmp_path: Path) -> None:
    text = write(tmp_path, [(6, 8)]) + "batch_size: 1 new_height: 12 new_width: 4 }"
    (images, labels) = batches(text, 1)[0]
    assert images.shape == (1, 3, 12, 4) and labels.shape == (1, 1, 12, 4)
    expected = (noise(6, 8, 3)[..., 0] % 16)[np.arange(12) // 2][:, ::2]
    np.testing.assert_array_equal(labels[0, 0], expected)


def test_one_by_one_images_may_differ_in_size(tmp_path: Path) -> None:
    found = batches(write(tmp_path, [(6, 7), (4, 9)]) + "batch_size: 1 is_color: false }", 2, "TEST")
    assert [images.shape for images, _ in found] == [(1, 1, 6, 7), (1, 1, 4, 9)]
    assert [labels.shape for _, labels in found] == [(1, 1, 6, 7), (1, 1, 4, 9)]


def test_bad_input(tmp_path: Path) -> None:
    start = write(tmp_path, [(6, 7), (4, 9)])
    with pytest.raises(DataError, match=r"1\.png.*3×6×7.*3×4×9.*batch_size: 1"):
        batches(start + "batch_size: 2 }", 1)
    (tmp_path / "1_label.png").write_bytes(jpeg(noise(5, 9), ".png"))
    with pytest.raises(DataError, match=r"label image.*4×9; got 5×9"):
        batches(start + "batch_size: 1 }", 2)
    (tmp_path / "list.txt").write_text("0.png gone.png\n")
    with pytest.raises(MissingFileError, match=r"gone\.png"):
        batches(start + "batch_size: 1 }", 1)
    (tmp_path / "list.txt").write_text("0.png\n")
    with pytest.raises(DataError, match="line must be"):
        batches(start + "batch_size: 1 }", 1)
    with pytest.raises(LayerError, match="new_width"):
        batches(start + "batch_size: 1 new_height: 3 }", 1)
