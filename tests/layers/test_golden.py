"""Recorded figures of the original and of its forks: forward and backward of small nets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from harness import Array, assert_close
from support_assets import GOLDEN

import caffe

RECORDS = sorted([*(GOLDEN / "layers").glob("*.npz"), *(GOLDEN / "forks").glob("*.npz")])
TOLERANCE = 1e-5  # of the largest value of an array
AMBIGUOUS = {  # nothing in these tells whose layer it is, and the default is another's
    "focal_happynear_default", "focal_happynear_gamma0", "focal_happynear_ignore", "smoothl1_jolibrain_weights",
}  # fmt: skip
BUILT_INTO = " (built into "  # layers of other forks that were recorded in caffe-windows


def grouped(record: dict[str, Array], prefix: str) -> dict[str, Array]:
    """The arrays under ``prefix/``, by the rest of their key."""
    return {k[len(prefix) + 1 :]: v for k, v in record.items() if k.startswith(prefix + "/")}


def loaded(path: Path) -> dict[str, Array]:
    with np.load(path) as npz:
        return {key: npz[key] for key in npz.files}


@pytest.mark.parametrize("path", RECORDS, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_record(path: Path, tmp_path: Path) -> None:
    record = loaded(path)
    if path.stem in AMBIGUOUS:
        with pytest.raises(AssertionError):
            reproduce(record, None, tmp_path)
    else:
        reproduce(record, None, tmp_path)


@pytest.mark.parametrize("path", sorted((GOLDEN / "forks").glob("*.npz")), ids=lambda p: p.stem)
def test_record_read_as_its_fork(path: Path, tmp_path: Path) -> None:
    record = loaded(path)
    fork = str(record["fork"]).split(BUILT_INTO)[0].replace("senlinuc/caffe_ocr", "caffe-windows")
    reproduce(record, fork, tmp_path)


def reproduce(record: dict[str, Array], dialect: str | None, tmp_path: Path) -> None:
    text = str(record["prototxt"])
    outputs_with_diffs = grouped(record, "dout")
    if outputs_with_diffs and "force_backward" not in text:
        text = "force_backward: true\n" + text
    file = tmp_path / "net.prototxt"
    file.write_text(text)
    net = caffe.Net(str(file), getattr(caffe, str(record["phase"])), dialect=dialect)

    for name, array in grouped(record, "in").items():
        net.blobs[name].reshape(*array.shape)
        net.blobs[name].data[...] = array
    given = grouped(record, "param")
    assert {
        f"{layer}/{i}": blob.shape for layer, blobs in net.params.items() for i, blob in enumerate(blobs)
    } == {key: array.shape for key, array in given.items()}
    for key, array in given.items():
        layer, i = key.rsplit("/", 1)
        net.params[layer][int(i)].data[...] = array

    net.forward()
    for name, array in grouped(record, "out").items():
        assert_close(net.blobs[name].data, array, f"output '{name}'", TOLERANCE)
    for key, array in grouped(record, "param_after").items():
        layer, i = key.rsplit("/", 1)
        assert_close(net.params[layer][int(i)].data, array, f"parameter {key} after forward", TOLERANCE)

    diffs, param_diffs = grouped(record, "din"), grouped(record, "dparam")
    if not diffs and not param_diffs:
        return
    net.clear_param_diffs()
    for name, array in outputs_with_diffs.items():
        net.blobs[name].diff[...] = array
    net.backward()
    for name, array in diffs.items():
        assert_close(net.blobs[name].diff, array, f"diff of '{name}'", TOLERANCE)
    for key, array in param_diffs.items():
        layer, i = key.rsplit("/", 1)
        assert_close(net.params[layer][int(i)].diff, array, f"diff of parameter {key}", TOLERANCE)
