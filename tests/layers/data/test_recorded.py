"""The data layers give what the original gave over the same databases and lists."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from support_assets import GOLDEN
from support_data import Fed

RECORDED = np.load(GOLDEN / "data_layers.npz")
CASES = sorted({key.split("/")[1] for key in RECORDED.files})
DECODED = {
    "leveldb_png",
    "lmdb_encoded_crop",
    "lmdb_encoded_gray",
    "image_resized",
    "image_gray_crop",
    "image_one",
}


@pytest.fixture
def formats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The recorded databases and pictures, in the current folder."""
    shutil.copytree(GOLDEN / "formats", tmp_path / "formats")
    monkeypatch.chdir(tmp_path / "formats")
    return tmp_path / "formats"


@pytest.mark.parametrize("case", CASES)
def test_recorded(case: str, formats: Path) -> None:
    text = str(RECORDED[f"data/{case}/prototxt"]).strip()
    inner = text[text.index("{") + 1 : text.rindex("}")]
    tops = [key for key in ("data", "label") if f"data/{case}/{key}" in RECORDED.files]
    with Fed(inner) as fed:
        wanted = {name: RECORDED[f"data/{case}/{name}"].astype(np.float32) for name in tops}
        assert [top.shape for top in fed.tops] == [w.shape[1:] for w in wanted.values()]
        for step in range(len(wanted["data"])):
            for name, found in zip(tops, fed.step()):
                if case in DECODED and name == "data":
                    difference = np.abs(found - wanted[name][step])
                    differing = np.count_nonzero(difference)
                    assert difference.max() <= 1, f"{differing} of {difference.size} values differ"
                else:
                    assert np.array_equal(found, wanted[name][step])


def test_every_case_is_there() -> None:
    assert len(CASES) == 16
