"""HDF5Data and HDF5Output."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from support_data import Fed, same

from caffe import runtime
from caffe.blob import Blob
from caffe.data.sources.hdf5 import Hdf5Batches
from caffe.errors import (
    CorruptDataError,
    DataError,
    FileAccessError,
    LayerError,
    MissingFileError,
    ShapeError,
)
from caffe.layer_factory import create_layer
from caffe.proto import caffe_pb2


@pytest.fixture(autouse=True)
def seeded() -> None:
    runtime.set_random_seed(5)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Three files of 5, 3 and 4 rows; ``x`` holds the row's number, ``t`` an integer."""
    start = 0
    for i, rows in enumerate((5, 3, 4)):
        with h5py.File(tmp_path / f"{i}.h5", "w") as file:
            numbers = np.arange(start, start + rows)
            file["x"] = (numbers[:, None, None] + np.zeros((1, 2, 3))).astype(np.float64)
            file["t"] = numbers.astype(np.int64)
        start += rows
    path = tmp_path / "list.txt"
    path.write_text("".join(f"{tmp_path}/{i}.h5\n" for i in range(3)))
    return path


def text(source: Path, batch: int, more: str = "", tops: str = 'top: "x" top: "t"') -> str:
    return f'type: "HDF5Data" {tops} hdf5_data_param {{ source: "{source}" batch_size: {batch} {more} }}'


def test_order_over_files(source: Path) -> None:
    with Fed(text(source, 7)) as fed:
        assert [top.shape for top in fed.tops] == [(7, 2, 3), (7,)]
        found = fed.steps(3)
    rows = [int(v) for step in found for v in step[1]]
    assert rows == [i % 12 for i in range(21)]
    assert all(np.array_equal(x[:, 1, 2], t) and x.dtype == np.float32 for x, t in found)


def test_shuffled(source: Path) -> None:
    with Fed(text(source, 12, "shuffle: true")) as fed:
        epochs = [step[1].tolist() for step in fed.steps(6)]
    assert all(sorted(epoch) == list(range(12)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 6
    assert len({tuple(sorted(epoch[:3])) for epoch in epochs}) > 1


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("taken", [0, 1, 2, 3, 8])
def test_resumed_run_equals_the_uninterrupted(source: Path, shuffle: bool, taken: int) -> None:
    layer = text(source, 5, f"shuffle: {str(shuffle).lower()}")
    with Fed(layer) as fed:
        fed.steps(taken)
        state = fed.layer.state()
        wanted = fed.steps(6)
    runtime.set_random_seed(77)
    with Fed(layer) as fed:
        fed.steps(1)
        fed.layer.restore(state)
        assert same(fed.steps(6), wanted)


def test_files_in_blocks(source: Path) -> None:
    """Blocks smaller than a batch, as in files larger than memory: the same rows, each once an epoch."""
    files = source.read_text(encoding="utf-8").split()
    allocate = lambda shape: np.empty(shape, np.float32)  # noqa: E731
    small = Hdf5Batches(files, ["t"], 6, block_bytes=8)
    assert [int(v) for _ in range(2) for v in small.load(small.plan(), allocate)[0]] == list(range(12))
    mixed = Hdf5Batches(files, ["t"], 6, shuffle=True, seed=3, block_bytes=8)
    rows = [int(v) for _ in range(2) for v in mixed.load(mixed.plan(), allocate)[0]]
    assert sorted(rows) == list(range(12)) and rows != sorted(rows)


def test_workers_share_the_rows(source: Path) -> None:
    seen = []
    try:
        runtime.set_solver_count(3)
        for rank in range(3):
            runtime.set_solver_rank(rank)
            with Fed(text(source, 4), caffe_pb2.TRAIN) as fed:
                seen.append([int(v) for step in fed.steps(2) for v in step[1]])
    finally:
        runtime.set_solver_count(1)
        runtime.set_solver_rank(0)
    assert [seen[i % 3][i // 3] for i in range(24)] == [i % 12 for i in range(24)]


def test_an_hdf5_file_as_source(source: Path, tmp_path: Path) -> None:
    with Fed(text(tmp_path / "1.h5", 3)) as fed:
        assert fed.step()[1].tolist() == [5, 6, 7]


def test_faults(source: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"dataset for the top 'z'; got t, x"):
        Fed(text(source, 2, tops='top: "x" top: "z"'))
    with pytest.raises(LayerError, match="transform_param"):
        Fed(text(source, 2) + " transform_param { scale: 2 }")
    with pytest.raises(LayerError, match="batch_size"):
        Fed(text(source, 0))
    with h5py.File(tmp_path / "2.h5", "a") as file:
        del file["t"]
        file["t"] = np.zeros(3)
    with Fed(text(source, 8)) as fed:
        fed.step()
        with pytest.raises(DataError, match=r"2\.h5.*as many rows as 'x', 4; got 3 in 't'"):
            fed.step()
    raw = (tmp_path / "0.h5").read_bytes()
    (tmp_path / "0.h5").write_bytes(raw[: len(raw) // 2])
    with pytest.raises(CorruptDataError, match=r"0\.h5.*cannot be read"):
        Fed(text(source, 2))
    (tmp_path / "0.h5").unlink()
    with pytest.raises(MissingFileError, match=r"0\.h5"):
        Fed(text(source, 2))
    source.write_text("\n", encoding="utf-8")
    with pytest.raises(DataError, match="at least one HDF5 file"):
        Fed(text(source, 2))


def _output(path: Path) -> tuple[object, list[Blob]]:
    param = caffe_pb2.LayerParameter(name="out", type="HDF5Output", bottom=["a", "b"])
    param.hdf5_output_param.file_name = str(path)
    layer = create_layer(param)
    bottoms = [Blob(4, 2, 3), Blob(4)]
    layer.setup(bottoms, [])
    layer.reshape(bottoms, [])
    return layer, bottoms


def test_output_appends_and_can_be_read_back(tmp_path: Path) -> None:
    layer, bottoms = _output(tmp_path / "out.h5")
    rng = np.random.default_rng(0)
    written = []
    for _ in range(3):
        for blob in bottoms:
            blob.data[...] = rng.standard_normal(blob.shape)
        written.append([b.data.copy() for b in bottoms])
        layer.forward(bottoms, [])  # type: ignore[attr-defined]
    with h5py.File(tmp_path / "out.h5") as file:
        assert file["data"].shape == (12, 2, 3, 1) and file["label"].shape == (12, 1, 1, 1)
        assert np.array_equal(file["data"][..., 0], np.concatenate([w[0] for w in written]))
        assert np.array_equal(file["label"][:, 0, 0, 0], np.concatenate([w[1] for w in written]))
    with Fed(text(tmp_path / "out.h5", 4, tops='top: "data"')) as fed:
        assert np.array_equal(fed.step()[0][..., 0], written[0][0])
    again, bottoms = _output(tmp_path / "out.h5")
    again.forward(bottoms, [])  # type: ignore[attr-defined]
    with h5py.File(tmp_path / "out.h5") as file:
        assert len(file["data"]) == 4


def test_output_faults(tmp_path: Path) -> None:
    layer, _ = _output(tmp_path / "out.h5")
    with pytest.raises(ShapeError, match="as many items; got 4 and 3"):
        layer.reshape([Blob(4, 2), Blob(3)], [])  # type: ignore[attr-defined]
    layer, bottoms = _output(tmp_path / "nowhere" / "out.h5")
    with pytest.raises(FileAccessError, match="nowhere"):
        layer.forward(bottoms, [])  # type: ignore[attr-defined]
