"""Several databases read as one."""

from __future__ import annotations

import numpy as np
import pytest
from support_data import noise, raw_records, write_records

import caffe
from caffe.cli import main
from caffe.data.sources.database import backend_of, create, open_database, shards_of
from caffe.errors import DataError, MissingFileError

SIZES = (3, 1, 5)


@pytest.fixture(params=["folder", "list"])
def shards(tmp_path, request):
    """Three LMDBs whose keys are the same, and labels 0 to 8 one after the other; returns the source."""
    (tmp_path / "shards").mkdir()
    first, paths = 0, []
    for i, count in enumerate(SIZES):
        records = raw_records(noise(count, 3, 4, 5, seed=i), range(first, first + count))
        paths.append(write_records(tmp_path / "shards" / f"part_{i}", records))
        first += count
    return str(tmp_path / "shards") if request.param == "folder" else ", ".join(paths)


def net(source, batch=2):
    return caffe.Net(
        caffe.io.caffe_pb2.NetParameter(
            layer=[
                dict(
                    name="data",
                    type="Data",
                    top=["data", "label"],
                    data_param=dict(source=source, batch_size=batch, backend="LMDB"),
                )
            ]
        ),
        caffe.TEST,
    )


def labels(built, count):
    found = []
    for _ in range(count):
        built.forward()
        found += built.blobs["label"].data.astype(int).tolist()
    return found


def test_shards_are_read_one_after_the_other(shards):
    database = open_database(shards)
    assert len(database) == 9 and backend_of(shards) == "lmdb" and len(shards_of(shards)) == 3
    assert len(list(database.items())) == 9
    assert database.get(b"00000004") is not None and database.get(b"00000009") is None
    database.close()
    assert labels(net(shards), 10) == [i % 9 for i in range(20)]
    assert labels(net(shards, 20), 1) == [i % 9 for i in range(20)]


@pytest.mark.parametrize("batches", range(1, 11))
def test_reading_goes_on_where_it_was(shards, batches):
    first = net(shards)
    labels(first, batches)
    second = net(shards)
    second.layers[0].restore(first.layers[0].state())
    assert labels(second, 6) == labels(first, 6)


def test_tools_take_shards(shards, tmp_path, capsys):
    assert main.main(["compute_image_mean", shards, str(tmp_path / "mean.binaryproto")]) == 0
    images = np.concatenate([noise(count, 3, 4, 5, seed=i) for i, count in enumerate(SIZES)])
    blob = caffe.proto.caffe_pb2.BlobProto.FromString((tmp_path / "mean.binaryproto").read_bytes())
    np.testing.assert_allclose(np.reshape(blob.data, (3, 4, 5)), images.mean(axis=0), rtol=1e-6)
    assert main.main(["db", "stat", shards]) == 0
    assert "9 records of lmdb" in capsys.readouterr().out


def test_a_missing_or_empty_shard_is_named(tmp_path):
    write_records(tmp_path / "one", raw_records(noise(2, 3, 4, 5)))
    with pytest.raises(MissingFileError, match="two"):
        open_database(f"{tmp_path}/one,{tmp_path}/two")
    (tmp_path / "nothing").mkdir()
    with pytest.raises(DataError, match="or a folder of these"):
        open_database(tmp_path / "nothing")
    with create(tmp_path / "empty", "lmdb"):
        pass
    with pytest.raises(DataError, match=r"empty' is empty"):
        open_database(f"{tmp_path}/one,{tmp_path}/empty")
