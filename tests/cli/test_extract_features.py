"""caffe extract_features."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from support_data import noise, raw_records, write_records

import caffe
from caffe.cli.extract_features import main as extract_features
from caffe.data.sources.database import open_database
from caffe.formats.datum import parse

NET = """
layer {{ name: "d" type: "Data" top: "data" top: "label"
  data_param {{ source: "{path}" backend: LMDB batch_size: 2 }} transform_param {{ scale: 0.01 }} }}
layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param {{ num_output: 4 kernel_size: 3 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param {{ num_output: 5 weight_filler {{ type: "xavier" }} }} }}
"""


@pytest.fixture
def net(tmp_path: Path) -> Path:
    path = write_records(tmp_path / "images", raw_records(noise(6, 3, 7, 8)))
    (tmp_path / "net.prototxt").write_text(NET.format(path=path))
    made = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    made.save(str(tmp_path / "w.caffemodel"))
    made.close()
    return tmp_path


def expected(folder: Path, batches: int) -> dict[str, np.ndarray]:
    net = caffe.Net(str(folder / "net.prototxt"), str(folder / "w.caffemodel"), caffe.TEST)
    steps = []
    for _ in range(batches):
        net.forward()
        steps.append({name: net.blobs[name].data.copy() for name in ("conv", "ip")})
    net.close()
    return {name: np.concatenate([s[name] for s in steps]) for name in ("conv", "ip")}


@pytest.mark.parametrize("kind", ["lmdb", "leveldb", "hdf5"])
def test_several_blobs(net: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    args = [str(net / "w.caffemodel"), str(net / "net.prototxt"), "conv,ip", f"{net}/c,{net}/i", "3", kind]
    assert extract_features(args) == 0, capsys.readouterr().err
    wanted = expected(net, 3)
    for name, place in (("conv", net / "c"), ("ip", net / "i")):
        if kind == "hdf5":
            with h5py.File(place) as file:
                found = file["data"][...]
        else:
            records = list(open_database(place).items())
            assert [key for key, _ in records] == [b"%010d" % i for i in range(6)]
            data = [parse(value) for _, value in records]
            assert data[0].shape == ((4, 5, 6) if name == "conv" else (5, 1, 1))
            found = np.stack([d.floats for d in data])
        assert np.allclose(found.reshape(6, -1), wanted[name].reshape(6, -1), atol=1e-6)


def test_mistakes(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(net / "w.caffemodel"), str(net / "net.prototxt")]
    for args, message in [
        (["conf", f"{net}/c", "1", "lmdb"], "Did you mean 'conv'?"),
        (["conv,ip", f"{net}/c", "1", "lmdb"], "2 blobs and 1 datasets"),
        (["conv", f"{net}/c", "0", "lmdb"], "at least 1"),
        (["conv", f"{net}/c", "1", "sqlite"], "got 'sqlite'"),
        (["conv", f"{net}/c", "1", "lmdb", "TPU"], "CPU or GPU"),
    ]:
        assert extract_features([*files, *args]) == 1
        assert message in capsys.readouterr().err
        assert not (net / "c").exists()
