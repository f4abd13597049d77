"""A run's folder: what is in it, and that nothing in it is ever lost."""

import json

import pytest

from caffe.errors import CaffeError, InputError, MissingFileError
from caffe.formats import prototxt
from caffe.solvers import run_folder

NET = """
layer { name: "d" type: "DummyData" top: "data" top: "label" dummy_data_param {
  shape { dim: 5 dim: 7 } shape { dim: 5 } data_filler { type: "gaussian" } data_filler { value: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 3 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""


@pytest.fixture
def solver(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train").mkdir()
    (tmp_path / "net.prototxt").write_text(NET, encoding="utf-8")
    (tmp_path / "train" / "net.prototxt").write_text(NET + "# another\n", encoding="utf-8")
    path = tmp_path / "my_solver.prototxt"
    path.write_text(
        'train_net: "train/net.prototxt" test_net: "net.prototxt" test_net: "train/net.prototxt" test_iter: 2'
        ' test_iter: 1 test_interval: 10 base_lr: 0.1 lr_policy: "fixed" max_iter: 9',
        encoding="utf-8",
    )
    return str(path)


def test_nets_are_copied_and_the_solver_leads_to_the_copies(solver):
    folder = run_folder.begin("first", solver, weights="w.caffemodel")
    param = prototxt.read_solver(folder / "solver.prototxt")
    assert str(folder) == "runs/first" and param.snapshot_prefix == "runs/first/first"
    assert param.train_net == "runs/first/net.prototxt" == param.test_net[1]
    assert param.test_net[0] == "runs/first/2_net.prototxt"
    assert (folder / "net.prototxt").read_text().endswith("# another\n")
    assert (folder / "2_net.prototxt").read_text() == NET
    story = json.loads((folder / "run.json").read_text())
    assert story["solver"] == solver and story["weights"] == "w.caffemodel" and story["name"] == "first"


def test_a_name_that_is_taken_gets_a_number(solver):
    first = run_folder.begin("a", solver)
    (first / "a_iter_1.caffemodel").write_bytes(b"mine")
    assert [run_folder.begin("a", solver).name for _ in range(2)] == ["a_2", "a_3"]
    assert (first / "a_iter_1.caffemodel").read_bytes() == b"mine"
    assert run_folder.newest("a").name == "a_3" and run_folder.newest("b") is None
    (first.parent / "a_9").mkdir()  # of somebody else: no run
    assert run_folder.newest("a").name == "a_3"


def test_a_path_is_a_name_too(solver, tmp_path):
    folder = run_folder.begin(str(tmp_path / "elsewhere" / "x"), solver)
    assert folder == tmp_path / "elsewhere" / "x" and (folder / "net.prototxt").is_file()


@pytest.mark.parametrize("name", ["", ".", "..", "a/..", ".hidden", "a\nb", "a\0b"])
def test_names_that_are_none(solver, name):
    with pytest.raises(InputError, match="run's name"):
        run_folder.begin(name, solver)


def test_nothing_is_left_of_a_run_that_cannot_begin(solver, tmp_path):
    (tmp_path / "net.prototxt").unlink()
    with pytest.raises(MissingFileError, match=r"net\.prototxt"):
        run_folder.begin("a", solver)
    assert list((tmp_path / "runs").iterdir()) == []
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(CaffeError, match="cannot be made"):
        run_folder.begin(str(tmp_path / "file" / "a"), solver)
