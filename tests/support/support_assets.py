"""Where the reference files lie: ``$CAFFE_TEST_ASSETS``, else the folder ``shared`` beside the checkout."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden"


def assets_root() -> Path:
    """The folder of reference files, which may not exist."""
    return Path(os.environ.get("CAFFE_TEST_ASSETS") or ROOT.parent / "shared")


def assets(*parts: str) -> Path:
    """The path of a reference file or folder; skips the test, saying which, where it is absent."""
    path = assets_root().joinpath(*parts)
    if not path.exists():
        if "assets" in os.environ.get("CAFFE_TEST_REQUIRE", "").split(","):
            pytest.fail(f"{path} is not there, but CAFFE_TEST_REQUIRE says that the reference files are")
        pytest.skip(f"needs the reference files {'/'.join(parts)} (set CAFFE_TEST_ASSETS)")
    return path
