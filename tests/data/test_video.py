"""VideoData: frames come in order, skipped and repeated as asked."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from harness import make_layer

from caffe.blob import Blob
from caffe.errors import DataError, LayerError, MissingFileError


def video(folder: Path, frames: int = 5) -> Path:
    """A video whose frame i is of brightness 40 · i."""
    path = folder / "v.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (32, 24))
    for i in range(frames):
        writer.write(np.full((24, 32, 3), 40 * i, np.uint8))
    writer.release()
    return path


def text(path: object, more: str = "", transform: str = "") -> str:
    return (
        f'type: "VideoData" video_data_param {{ video_type: VIDEO video_file: "{path}" {more} }}'
        f" data_param {{ batch_size: 2 }} transform_param {{ {transform} }}"
    )


def brightness(path: Path, more: str = "", transform: str = "", count: int = 3) -> list[list[int]]:
    layer = make_layer(text(path, more, transform), tops=2)
    tops = [Blob(), Blob()]
    found = []
    for _ in range(count):
        layer.forward([], tops)
        found.append([round(float(v) / 40) for v in tops[0].data.mean((1, 2, 3))])
        assert not tops[1].data.any()
    layer.close()
    return found


def test_frames(tmp_path: Path) -> None:
    path = video(tmp_path)
    assert brightness(path) == [[0, 1], [2, 3], [4, 0]]
    assert brightness(path, "skip_frames: 1", count=2) == [[0, 2], [4, 0]]
    layer = make_layer(text(path, transform="resize_param { height: 12 width: 20 } crop_size: 10"), tops=1)
    tops = [Blob()]
    layer.forward([], tops)
    assert tops[0].shape == (2, 3, 10, 10)
    layer.close()


def test_resume(tmp_path: Path) -> None:
    layer = make_layer(text(video(tmp_path)), tops=1)
    tops = [Blob()]
    layer.forward([], tops)
    state = layer.state()
    layer.forward([], tops)
    after = tops[0].data.copy()
    layer.forward([], tops)
    layer.restore(state)
    layer.forward([], tops)
    assert np.array_equal(tops[0].data, after)
    layer.close()


def test_bad_input(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="does not exist"):
        make_layer(text(tmp_path / "none.avi"))
    (tmp_path / "text.avi").write_text("no video")
    with pytest.raises(DataError, match="no video"):
        make_layer(text(tmp_path / "text.avi"))
    with pytest.raises(LayerError, match="yjxiong"):
        make_layer('type: "VideoData" video_data_param { source: "list.txt" }')
    with pytest.raises(LayerError, match="video_file"):
        make_layer('type: "VideoData" video_data_param { video_type: VIDEO }')
