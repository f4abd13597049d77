"""WindowData: sampling, context and warping."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from support_data import Fed, jpeg, noise, same

from caffe import runtime
from caffe.data.sources.window import Crop, warp
from caffe.errors import DataError, LayerError, MissingFileError
from caffe.proto import caffe_pb2

IMAGES = [noise(30, 40, 3, seed=i) for i in range(2)]
WINDOWS = """# 0
0.png
3
30
40
3
5 0.9 10 8 25 20
0 0.1 0 0 9 14
7 0.5 3 4 12 11
# 1
1.png
3
30
40
2
2 0.49 5 5 20 20
3 1.0 1 2 30 28
"""


@pytest.fixture(autouse=True)
def seeded() -> None:
    runtime.set_random_seed(2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i, image in enumerate(IMAGES):
        (tmp_path / f"{i}.png").write_bytes(jpeg(image, ".png"))
    (tmp_path / "windows.txt").write_text(WINDOWS)
    return tmp_path


def text(folder: Path, more: str = "", transform: str = "crop_size: 12") -> str:
    return (
        f'type: "WindowData" top: "d" top: "l" window_data_param {{ source: "{folder}/windows.txt" '
        f'root_folder: "{folder}/" batch_size: 8 {more} }} transform_param {{ {transform} }}'
    )


def test_background_then_foreground(folder: Path) -> None:
    seen: set[float] = set()
    with Fed(text(folder), caffe_pb2.TRAIN) as fed:
        assert [top.shape for top in fed.tops] == [(8, 3, 12, 12), (8,)]
        for data, labels in fed.steps(10):
            assert labels[:6].tolist() == [0] * 6 and np.isfinite(data).all()
            seen |= set(labels[6:].tolist())
    assert seen == {5, 7, 3}


def test_values_without_context(folder: Path) -> None:
    boxes = {0.0: [(0, 0, 0, 9, 14), (1, 5, 5, 20, 20)], 5.0: [(0, 10, 8, 25, 20)]}
    with Fed(text(folder, "bg_threshold: 0.5", "crop_size: 12 mean_value: 9 scale: 0.5"), 0) as fed:
        data, labels = fed.step()
    for image, label in zip(data, labels):
        if label in boxes:
            parts = [IMAGES[i][y1 : y2 + 1, x1 : x2 + 1] for i, x1, y1, x2, y2 in boxes[float(label)]]
            wanted = [
                (cv2.resize(p, (12, 12)).transpose(2, 0, 1).astype(np.float32) - 9) * 0.5 for p in parts
            ]
            assert any(np.array_equal(image, w) for w in wanted)


def test_context_at_the_border_stays_zero() -> None:
    image = np.full((30, 40, 3), 200, np.uint8)
    out = np.zeros((3, 16, 16), np.float32)
    warp(image, (0, 0, 7, 7), Crop(16, context_pad=4), False, out)
    # 8 × 8 pixels fill the inner 8 × 8; 4 of context, which the image lacks above and to the left
    assert (out[:, :4] == 0).all() and (out[:, :, :4] == 0).all()
    assert (out[:, 4:, 4:] == 200).all()
    mirrored = np.zeros((3, 16, 16), np.float32)
    warp(image, (0, 0, 7, 7), Crop(16, context_pad=4), True, mirrored)
    assert np.array_equal(mirrored, out[:, :, ::-1])


def test_square_keeps_the_form() -> None:
    image = noise(30, 40, 3)
    out = np.zeros((3, 10, 10), np.float32)
    warp(image, (10, 12, 29, 15), Crop(10, square=True), False, out)
    # 20 × 4 becomes 20 × 20 around the same centre; the corners are rounded outwards
    assert np.array_equal(out, cv2.resize(image[4:25, 10:31], (10, 10)).transpose(2, 0, 1).astype(np.float32))


def test_mean_file_is_cut_in_the_middle(folder: Path) -> None:
    mean = noise(3, 14, 16).astype(np.float32)
    blob = caffe_pb2.BlobProto(num=1, channels=3, height=14, width=16)
    blob.data.extend(mean.ravel().tolist())
    (folder / "mean").write_bytes(blob.SerializeToString())
    runtime.set_random_seed(6)
    with Fed(text(folder), 0) as fed:
        plain = fed.step()[0]
    runtime.set_random_seed(6)
    with Fed(text(folder, "", f'crop_size: 12 mean_file: "{folder}/mean"'), 0) as fed:
        assert np.array_equal(fed.step()[0], plain - mean[:, 1:13, 2:14])


def test_resumed_run_equals_the_uninterrupted(folder: Path) -> None:
    layer = text(folder, "context_pad: 2 cache_images: true", "crop_size: 12 mirror: true")
    with Fed(layer, caffe_pb2.TRAIN) as fed:
        fed.steps(3)
        state = fed.layer.state()
        wanted = fed.steps(4)
    with Fed(layer, caffe_pb2.TRAIN) as fed:
        fed.layer.restore(state)
        assert same(fed.steps(4), wanted)


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("# 1\n", "", "windows.txt:10: .*'# number'"),
        ("3 1.0 1 2 30 28\n", "", "cut off"),
        ("5 0.9 10 8 25 20", "5 0.9 10 8 25", "windows.txt:7: .*The line '5 0.9.*must be class, overlap"),
        ("\n3\n30", "\nx\n30", "windows.txt:3"),
        ("7 0.5", "0 0.5", "class above 0"),
    ],
)
def test_files_that_are_wrong(folder: Path, old: str, new: str, error: str) -> None:
    (folder / "windows.txt").write_text(WINDOWS.replace(old, new))
    with pytest.raises(DataError, match=error):
        Fed(text(folder))


def test_parameters_that_are_wrong(folder: Path) -> None:
    for more, transform, field in [
        ("", "", "crop_size"),
        ('crop_mode: "round"', "crop_size: 9", "crop_mode"),
        ("context_pad: 6", "crop_size: 12", "context_pad"),
        ("fg_fraction: 2", "crop_size: 12", "fg_fraction"),
        ("", "crop_size: 12 mean_value: 1 mean_value: 2", "mean_value"),
    ]:
        with pytest.raises(LayerError, match=field):
            Fed(text(folder, more, transform))
    with pytest.raises(DataError, match="foreground windows"):
        Fed(text(folder, "fg_threshold: 1.5"))
    (folder / "1.png").unlink()
    with Fed(text(folder)) as fed, pytest.raises(MissingFileError, match=r"1\.png"):
        fed.steps(5)
