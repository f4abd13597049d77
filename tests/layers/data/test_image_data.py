"""ImageData: lists, labels, shuffling, faults."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support_data import Fed, jpeg, noise, same, smooth

from caffe import runtime
from caffe.errors import CorruptDataError, DataError, LayerError, MissingFileError
from caffe.proto import caffe_pb2


@pytest.fixture(autouse=True)
def seeded() -> None:
    runtime.set_random_seed(11)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i in range(5):
        (tmp_path / f"image {i}.png").write_bytes(jpeg(noise(6, 7, 3, seed=i), ".png"))
    (tmp_path / "list.txt").write_text("".join(f"image {i}.png {10 + i}\n" for i in range(5)))
    return tmp_path


def text(
    folder: Path, batch: int, more: str = "", transform: str = "", tops: int = 2, source: str = "list.txt"
) -> str:
    names = " ".join(f'top: "t{i}"' for i in range(tops))
    return (
        f'type: "ImageData" {names} image_data_param {{ source: "{folder / source}" root_folder: "{folder}/" '
        f"batch_size: {batch} {more} }} transform_param {{ {transform} }}"
    )


def test_order_values_and_names_with_spaces(folder: Path) -> None:
    with Fed(text(folder, 3)) as fed:
        assert [top.shape for top in fed.tops] == [(3, 3, 6, 7), (3,)]
        data, labels = fed.step()
        assert labels.tolist() == [10, 11, 12]
        for i in range(3):
            assert np.array_equal(data[i], noise(6, 7, 3, seed=i).transpose(2, 0, 1))
        assert fed.step()[1].tolist() == [13, 14, 10]


def test_gray_and_resized(folder: Path) -> None:
    import cv2

    with Fed(text(folder, 2, "new_height: 9 new_width: 4 is_color: false", tops=1)) as fed:
        [data] = fed.step()
    gray = cv2.imread(str(folder / "image 1.png"), cv2.IMREAD_GRAYSCALE)
    assert np.array_equal(data[1, 0], cv2.resize(gray, (4, 9)))


def test_several_labels_a_line(folder: Path) -> None:
    (folder / "several.txt").write_text("image 0.png 1 2.5 -3\n\nimage 1.png 4 5 6e1\r\n")
    with Fed(text(folder, 2, "label_count: 3", source="several.txt")) as fed:
        assert fed.tops[1].shape == (2, 3)
        assert fed.step()[1].tolist() == [[1, 2.5, -3], [4, 5, 60]]


def test_shuffled_anew_each_epoch(folder: Path) -> None:
    with Fed(text(folder, 5, "shuffle: true"), caffe_pb2.TRAIN) as fed:
        epochs = [step[1].tolist() for step in fed.steps(8)]
    assert all(sorted(epoch) == [10, 11, 12, 13, 14] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 4
    with Fed(text(folder, 5), caffe_pb2.TRAIN) as fed:
        assert fed.step()[1].tolist() == [10, 11, 12, 13, 14]


def test_resumed_run_equals_the_uninterrupted(folder: Path) -> None:
    layer = text(folder, 3, "shuffle: true", "crop_size: 4 mirror: true")
    with Fed(layer, caffe_pb2.TRAIN) as fed:
        fed.steps(4)
        state = fed.layer.state()
        wanted = fed.steps(5)
    with Fed(layer, caffe_pb2.TRAIN) as fed:
        fed.layer.restore(state)
        assert same(fed.steps(5), wanted)


def test_workers_share_a_shuffled_epoch(folder: Path) -> None:
    seen: list[float] = []
    try:
        runtime.set_solver_count(5)
        for rank in range(5):
            runtime.set_random_seed(3)
            runtime.set_solver_rank(rank)
            with Fed(text(folder, 1, "shuffle: true"), caffe_pb2.TRAIN) as fed:
                seen += fed.step()[1].tolist()
    finally:
        runtime.set_solver_count(1)
        runtime.set_solver_rank(0)
    assert sorted(seen) == [10, 11, 12, 13, 14]


def test_faults(folder: Path) -> None:
    (folder / "empty.txt").write_text("\n")
    with pytest.raises(DataError, match=r"empty\.txt.*at least one image"):
        Fed(text(folder, 2, source="empty.txt"))
    (folder / "bare.txt").write_text("image 0.png 1\nimage\n")
    with pytest.raises(DataError, match=r"bare\.txt:2.*a file's name and a label.*got 'image'"):
        Fed(text(folder, 2, source="bare.txt"))
    with pytest.raises(MissingFileError, match=r"Did you mean 'list\.txt'"):
        Fed(text(folder, 2, source="lists.txt"))
    with pytest.raises(LayerError, match="new_height"):
        Fed(text(folder, 2, "new_height: 5"))
    with pytest.raises(LayerError, match="rand_skip"):
        for seed in range(20):
            runtime.set_random_seed(seed)
            Fed(text(folder, 2, "rand_skip: 50"))


def test_a_missing_image_is_an_error_or_skipped(folder: Path) -> None:
    (folder / "image 2.png").unlink()
    with Fed(text(folder, 2)) as fed:
        fed.step()
        with pytest.raises(MissingFileError, match=r"image 2\.png"):
            fed.step()
    with Fed(text(folder, 2, "skip_damaged: true")) as fed:
        assert [step[1].tolist() for step in fed.steps(2)] == [[10, 11], [13, 13]]
        assert fed.layer.skipped >= 1
    (folder / "image 0.png").write_bytes(jpeg(smooth(20, 20))[:-30])
    with pytest.raises(CorruptDataError, match=r"image 0\.png"):
        Fed(text(folder, 2))
