"""What texts and errors say of installing works today: the package is in no index, and none is named."""

from __future__ import annotations

import re

import pytest
from support_assets import ROOT

from caffe.dialects.dialect import parse
from caffe.errors import MissingPackageError, how_to_install

EXTRAS = parse((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
TEXTS = [
    path
    for folder, endings in ((".", "md"), ("docs", "md"), ("examples", "md py ipynb"), ("src", "py toml"))
    for ending in endings.split()
    for path in (ROOT.glob(f"*.{ending}") if folder == "." else (ROOT / folder).rglob(f"*.{ending}"))
]
_FROM_AN_INDEX = re.compile(r"pip install[^`\n]*\bcaffe-torch\b|caffe-torch\[|download\.pytorch\.org")


def test_nobody_is_sent_to_an_index():
    assert len(TEXTS) > 300
    found = [
        f"{path}: {said[0]}"
        for path in TEXTS
        for said in _FROM_AN_INDEX.finditer(path.read_text(encoding="utf-8", errors="replace"))
    ]
    assert not found, "\n".join(found)


def test_extras_that_errors_name_exist():
    named = {
        match[1]
        for path in TEXTS
        if path.suffix == ".py"
        for match in re.finditer(
            r"(?:MissingPackageError\.of\([^,]+, |how_to_install\()\"(\w+)\"",
            path.read_text(encoding="utf-8"),
        )
    }
    assert {"web", "plot", "export", "leveldb", "notebook", "tensorboard", "draw"} <= named
    assert named <= set(EXTRAS)


@pytest.mark.parametrize("extra", ["web", "plot"])
def test_both_ways_are_said(extra):
    error = MissingPackageError.of("starlette", extra, "caffe view")
    assert (
        str(error)
        == f"caffe view needs the package 'starlette', which is not installed. {how_to_install(extra)}"
    )
    assert f"pip install -e '.[{extra}]'" in how_to_install(extra)
    assert f".whl[{extra}]'" in how_to_install(extra)
