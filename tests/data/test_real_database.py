"""A database that the original wrote, through a net that was trained on its like."""

from __future__ import annotations

from pathlib import Path

from support_assets import assets
from support_data import write_records

import caffe
from caffe.data.sources.database import open_database
from caffe.formats.datum import parse


def test_verification_codes(tmp_path: Path) -> None:
    folder = assets("models", "verifycode")
    records = [parse(value) for _, value in open_database(folder / "test_lmdb").items()]
    assert len(records) == 400 and {r.shape for r in records} == {(3, 26, 22)}
    labels = {
        name: int(label) for name, label in map(str.split, (folder / "test.txt").read_text().splitlines())
    }
    keys = [key.decode() for key, _ in open_database(folder / "test_lmdb").items()]
    assert [labels[key[9:]] for key in keys] == [r.label for r in records]
    # a copy, since a reader takes a place in the database's lock file
    path = write_records(tmp_path / "db", records)
    layers = (folder / "deploy.prototxt").read_text()
    data = (
        f'layer {{ name: "d" type: "Data" top: "data" top: "label" transform_param {{ scale: 0.00390625 }} '
        f'data_param {{ source: "{path}" backend: LMDB batch_size: 100 }} }}\n'
    )
    score = '\nlayer { name: "a" type: "Accuracy" bottom: "ip2" bottom: "label" top: "accuracy" }'
    net_file = tmp_path / "net.prototxt"
    net_file.write_text(data + layers[layers.index("layer", layers.index("input_param")) :] + score)
    net = caffe.Net(str(net_file), str(folder / "weights.caffemodel"), caffe.TEST)
    accuracy = sum(float(net.forward()["accuracy"]) for _ in range(4)) / 4
    net.close()
    assert accuracy > 0.99
