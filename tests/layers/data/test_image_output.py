"""ImageOutput's files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from harness import Case, build

from caffe.errors import FileAccessError

CASE = Case("o", 'type: "ImageOutput"', [(2, 3, 1, 2), (2,)], tops=0)


def test_a_file_an_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "image_out").mkdir()
    built = build(CASE)
    built.bottoms[0].data[...] = np.array([1, -0.5, 1 / 3, 1e-7, 1e9, 7, 8, 9, 10, 11, 12, 13]).reshape(
        2, 3, 1, 2
    )
    built.bottoms[1].data[...] = 4, 123456789
    built.layer.forward(built.bottoms, built.tops)
    built.layer.forward(built.bottoms, built.tops)
    read = {p.name: p.read_text() for p in (tmp_path / "image_out").iterdir()}
    assert sorted(read) == sorted(
        f"iter_00000{i}_{name}.txt" for i in (0, 1) for name in ("idx_000_image", "idx_001_image", "label")
    )
    assert read["iter_000001_idx_000_image.txt"] == "1 -0.5\n0.33333334 1e-07\n1e+09 7\n"
    assert read["iter_000000_label.txt"] == "4\n1.23457e+08\n"


def test_a_folder_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    built = build(CASE)
    with pytest.raises(FileAccessError, match="Make the folder image_out"):
        built.layer.forward(built.bottoms, built.tops)
