"""Workers with different solvers, nets or data are refused at the start."""

from __future__ import annotations

import sys

import pytest
from support_parallel import Processes, write_database, write_solver

import caffe
from caffe.parallel import definition


@pytest.fixture
def lines(tmp_path):
    write_database(tmp_path)

    def of(settings="", more="", name="s", batch=4):
        return definition.lines(
            caffe.get_solver(str(write_solver(tmp_path, name, batch, "base_lr: 0.1 " + settings, more=more)))
        )

    return of


def test_files_and_devices_may_differ(lines, tmp_path):
    first = lines()
    (tmp_path / "db").rename(tmp_path / "elsewhere")
    (tmp_path / "db").symlink_to(tmp_path / "elsewhere")
    assert definition.checksum(lines(name="other")) == definition.checksum(first)
    assert definition.checksum(lines("device_id: 1")) == definition.checksum(first)
    assert not any(str(tmp_path) in line for line in first)


@pytest.mark.parametrize(
    "change, found",
    [
        ({"settings": "momentum: 0.5"}, "it has 'momentum: 0.5', worker 0 "),
        ({"batch": 5}, "it has 'batch_size: 5', worker 0 'batch_size: 4'"),
        ({"more": 'layer { name: "x" type: "ReLU" bottom: "same2" top: "same2" }'}, "it has 'name: \"x\"'"),
    ],
)
def test_what_must_be_the_same(lines, change, found):
    first, second = lines(), lines(**change)
    assert definition.checksum(first) != definition.checksum(second)
    assert found in definition.difference(second, first)
    assert definition.difference(first, first) == ""


def test_shapes_count(lines):
    shapes = [line for line in lines() if line.startswith("parameters of")]
    assert shapes[0] == "parameters of layer 'conv': [[6, 1, 3, 3], [6]]"


def test_the_end_of_a_definition():
    assert definition.difference(["a"], ["a", "b"]) == "it has 'nothing more', worker 0 'b'"


def test_a_different_worker_is_refused(tmp_path):
    write_database(tmp_path)
    with Processes() as processes:
        started = []
        for rank in range(2):
            solver = write_solver(tmp_path, f"s{rank}", 4, f"base_lr: 0.{rank + 1} momentum: 0.9")
            started.append(
                processes.start(
                    sys.executable, "-m", "caffe", "train", f"--solver={solver}", "--worker_timeout=30",
                    CAFFE_WORKERS_MEET_AT=f"file://{tmp_path}/meeting", RANK=rank, WORLD_SIZE=2,
                )
            )  # fmt: skip
        outputs = [process.communicate(timeout=100)[0] for process in started]
    for process, output in zip(started, outputs):
        assert process.returncode == 1
        assert "Worker 1 (process " in output
        assert (
            "has another net or solver than worker 0: it has 'base_lr: 0.2', worker 0 'base_lr: 0.1'"
            in output
        )
