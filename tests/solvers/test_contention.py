"""Training says when other work takes its processors."""

from __future__ import annotations

import pytest
import torch
from support_nets import write_regression

from caffe import systems
from caffe.cli import train
from caffe.solvers import contention
from caffe.solvers.contention import Contention


class Clock:
    """Time goes on by 10 s a call; of it the thread runs and waits as it is told."""

    def __init__(self, monkeypatch):
        self.now, self.times = 5.0, (0.0, 0.0)
        monkeypatch.setattr(contention.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(systems, "time_on_processors", lambda: self.times)

    def pass_by(self, ran, waited):
        self.now += 10.0
        self.times = (self.times[0] + ran, self.times[1] + waited)


@pytest.fixture
def warnings(monkeypatch):
    said = []
    monkeypatch.setattr(contention.logs, "warning", said.append)
    return said


def run(clock, warnings, *times):
    callback = Contention()
    for ran, waited in times:
        callback.on_start(None)
        clock.pass_by(ran, waited)
    callback.on_start(None)
    return warnings


def test_one_warning_where_it_starves(monkeypatch, warnings):
    run(Clock(monkeypatch), warnings, (4, 6), (4, 6), (4, 6), (4, 6))
    assert len(warnings) == 1 and "waited for one for 60 % of the last 20 s" in warnings[0]
    assert "OMP_NUM_THREADS=1" in warnings[0]


def test_none_where_it_runs_or_waits_for_data(monkeypatch, warnings):
    run(Clock(monkeypatch), warnings, (10, 0.1), (10, 0.2), (0.5, 0.1), (0.5, 0.1))
    assert not warnings


def test_what_was_before_training_does_not_count(monkeypatch, warnings):
    clock = Clock(monkeypatch)
    clock.pass_by(1, 900)
    run(clock, warnings, (9, 1), (9, 1), (9, 1))
    assert not warnings


def test_systems_that_do_not_say(monkeypatch, warnings):
    monkeypatch.setattr(contention.time, "monotonic", iter(range(5, 1000, 10)).__next__)
    monkeypatch.setattr(systems, "time_on_processors", lambda: None)
    callback = Contention()
    for _ in range(9):
        callback.on_start(None)
    assert not warnings


@pytest.mark.cpu
def test_training_says_its_threads_and_looks(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GLOG_minloglevel", "0")
    write_regression(tmp_path)
    waits = iter(range(0, 10000, 10))
    monkeypatch.setattr(contention, "_SECONDS", 0.0)
    monkeypatch.setattr(systems, "time_on_processors", lambda: (0.0, float(next(waits))))
    assert train.main(["--solver=solver.prototxt"]) == 0
    said = capsys.readouterr().err
    assert f"(threads: {torch.get_num_threads()}, processors: {systems.processors()})" in said
    assert said.count("Other work takes the processors") == 1
