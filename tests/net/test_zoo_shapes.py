"""Real prototxts of public repositories get the blobs, parameters, inputs and outputs that Caffe gives."""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from support_assets import assets, assets_root

import caffe
from caffe import fillers
from caffe.errors import LayerError

RECORDS = Path("reference") / "zoo_shapes.jsonl.gz"
SPLIT = re.compile(r"_split_\d+$")
OTHERWISE = {
    "yjxiong+temporal-segment-networks/models/hmdb51/tsn_bn_inception_flow_deploy.prototxt": (
        "recorded by a fork whose BN has two parameters; the net was made for its authors' BN, which has four"
    ),
}
pytestmark = pytest.mark.assets


def records() -> list[dict[str, Any]]:
    path = assets_root() / RECORDS
    if not path.exists():
        return []
    with gzip.open(path, "rt") as lines:
        return [json.loads(line) for line in lines]


def test_records_are_there() -> None:
    assets(str(RECORDS))
    assert Counter(r["by"] for r in records())["BVLC/caffe"] > 150


@pytest.mark.parametrize("record", records(), ids=lambda r: r["file"])
def test_shapes(record: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    file = assets("zoo", record["file"])
    if record["file"] in OTHERWISE:
        pytest.skip(OTHERWISE[record["file"]])
    monkeypatch.setattr(fillers, "fill", lambda *args: None)  # values do not matter, and large nets take long
    try:
        net = caffe.Net(str(file), caffe.TEST)
    except LayerError as error:
        if record["by"] == "BVLC/caffe" or error.field != "module":
            raise
        pytest.skip(f"a Python layer whose module is not published with the net: {error}")
    # The records leave out the blobs that Split layers add.
    found = {name: list(blob.shape) for name, blob in net.blobs.items() if not SPLIT.search(name)}
    params = {name: [list(blob.shape) for blob in blobs] for name, blobs in net.params.items()}
    assert found == record["blobs"]
    assert list(found) == list(record["blobs"]), "order of blobs"
    assert params == record["params"]
    assert list(params) == list(record["params"]), "order of parameters"
    assert list(net.inputs) == record["inputs"]
    assert list(net.outputs) == record["outputs"]
