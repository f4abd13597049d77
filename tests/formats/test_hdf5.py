"""Weights and solver states in the original's HDF5 layout."""

import os

import numpy as np
import pytest
from support_assets import GOLDEN, assets

from caffe import errors
from caffe.formats import hdf5

h5py = pytest.importorskip("h5py")

rng = np.random.RandomState(5)
WEIGHT = rng.randn(4, 3, 2, 5).astype(np.float32)
BIAS = rng.randn(4).astype(np.float32)
LAYERS = [("conv", [WEIGHT, BIAS]), ("relu", []), ("block/1x1", [BIAS]), ("block", [WEIGHT])]


def test_weights(tmp_path):
    path = tmp_path / "w.caffemodel.h5"
    hdf5.write_weights(path, LAYERS)
    read = dict(hdf5.read_weights(path))
    assert sorted(read) == sorted(name for name, _ in LAYERS)
    for name, blobs in LAYERS:
        assert len(read[name]) == len(blobs)
        for got, expected in zip(read[name], blobs):
            np.testing.assert_array_equal(got, expected)
    with h5py.File(path) as file:
        assert list(file) == ["data"]
        assert file["data/conv/0"].dtype == np.float32


def test_more_than_ten_blobs_stay_in_order(tmp_path):
    path = tmp_path / "w.h5"
    blobs = [np.full(i + 1, i, np.float32) for i in range(12)]
    hdf5.write_weights(path, [("lstm", blobs)])
    ((_, read),) = hdf5.read_weights(path)
    assert [len(b) for b in read] == list(range(1, 13))


def test_shared_blobs_are_written_once_and_diffs_always(tmp_path):
    path = tmp_path / "w.h5"
    layers = [("a", [WEIGHT, BIAS]), ("b", [WEIGHT, BIAS])]
    hdf5.write_weights(path, layers, diffs=layers, shared={("b", 0), ("b", 1)})
    with h5py.File(path) as file:
        assert sorted(file) == ["data", "diff"]
        assert list(file["data/b"]) == []
        assert list(file["diff/b"]) == ["0", "1"]


def test_solver_state(tmp_path):
    path = tmp_path / "s.solverstate.h5"
    hdf5.write_solver_state(path, 12, "w_iter_12.caffemodel.h5", 3, [WEIGHT, BIAS])
    state = hdf5.read_solver_state(path)
    assert (state.iter, state.learned_net, state.current_step) == (12, "w_iter_12.caffemodel.h5", 3)
    np.testing.assert_array_equal(state.history[0], WEIGHT)
    np.testing.assert_array_equal(state.history[1], BIAS)


def layout(file):
    found = {}

    def note(name, item):
        if isinstance(item, h5py.Dataset):
            kind = item.id.get_type()
            string = kind.get_class() == h5py.h5t.STRING
            found[name] = (
                item.shape,
                item.dtype.str,
                kind.get_strpad() if string else None,
                item[()].tobytes(),
            )
        else:
            found[name] = "group"

    file.visititems(note)
    return found


def test_files_of_the_original(tmp_path):
    """Recorded snapshots read back, and written again have the same layout, types and values."""
    for record in sorted((GOLDEN / "solvers").glob("*.npz")):
        values = np.load(record)
        if "caffemodel_h5" in values.files:
            break
    model, state, again = tmp_path / "m.h5", tmp_path / "s.h5", tmp_path / "again.h5"
    model.write_bytes(values["caffemodel_h5"].tobytes())
    state.write_bytes(values["solverstate_h5"].tobytes())
    layers = hdf5.read_weights(model)
    step = int(values["snapshot_iter"])
    assert any(blobs for _, blobs in layers)
    for name, blobs in layers:
        for i, blob in enumerate(blobs):
            np.testing.assert_array_equal(blob, values[f"param/{name}/{i}"][step - 1])
    hdf5.write_weights(again, layers)
    with h5py.File(model) as theirs, h5py.File(again) as ours:
        assert layout(ours) == layout(theirs)
    solver = hdf5.read_solver_state(state)
    assert solver.iter == step
    hdf5.write_solver_state(again, solver.iter, solver.learned_net, solver.current_step, solver.history)
    with h5py.File(state) as theirs, h5py.File(again) as ours:
        assert layout(ours) == layout(theirs)


def test_real_files():
    folder = assets("models", "cifar10_quick_h5_bxuan")
    layers = dict(hdf5.read_weights(folder / "weights.caffemodel.h5"))
    assert layers["conv1"][0].shape == (32, 3, 5, 5)
    state = hdf5.read_solver_state(folder / "solverstate.h5")
    assert (state.iter, len(state.history)) == (5000, 10)


def test_files_that_are_something_else(tmp_path):
    path = tmp_path / "w.h5"
    with pytest.raises(errors.MissingFileError):
        hdf5.read_weights(path)
    path.write_bytes(b"no hdf5 at all")
    with pytest.raises(errors.WeightsError, match="HDF5"):
        hdf5.read_weights(path)
    with pytest.raises(errors.SnapshotError, match="HDF5"):
        hdf5.read_solver_state(path)
    hdf5.write_weights(path, LAYERS)
    with pytest.raises(errors.SnapshotError, match="file of weights"):
        hdf5.read_solver_state(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(errors.WeightsError):
        hdf5.read_weights(path)
    hdf5.write_solver_state(path, 1, "", 0, [])
    with pytest.raises(errors.WeightsError, match="group 'data'"):
        hdf5.read_weights(path)


def test_writing_is_all_or_nothing(tmp_path):
    path = tmp_path / "w.h5"
    path.write_bytes(b"old")
    with pytest.raises(TypeError):
        hdf5.write_weights(path, [("a", [WEIGHT]), ("b", [object()])])
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["w.h5"]
    with pytest.raises(errors.FileAccessError):
        hdf5.write_weights(tmp_path / "no" / "folder.h5", [])
