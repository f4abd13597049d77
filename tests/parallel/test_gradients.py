"""Buckets: which gradients travel together, and when; with a group of one process whose sum is made up."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support_parallel import weights, write_database, write_solver

import caffe
from caffe.parallel.gradients import GradientReducer


class Echo:
    """A group of two workers that have the same gradients: the sum is twice this one's."""

    count = 2

    def __init__(self):
        self.events = []

    def remember(self, solver):
        self.events.append("start")

    def reduce(self, tensor):
        self.events.append(tensor.numel())
        tensor.mul_(2)
        return tensor

    def wait(self, work):
        self.events.append("wait")


@pytest.fixture
def make(tmp_path):
    write_database(tmp_path)

    def solver(settings="", more=""):
        path = write_solver(
            tmp_path, "s", 4, "type: 'SGD' base_lr: 0.05 momentum: 0.9 " + settings, more=more
        )
        return caffe.get_solver(str(path))

    return solver


def trace(solver, group, **options):
    """Reduce through a reducer, noting layers' backwards among the group's events."""
    reducer = GradientReducer(solver, group, **options)
    solver.net.after_backward(lambda layer: group.events.append(solver.net.layers[layer].name))
    solver.add_callback(reducer)
    solver.net.after_backward(reducer)
    return reducer


# conv: 54 + 6, ip1: 210 * 11 + 11, the shared w: 121, b: 11, ip2: 55 + 5
def test_a_bucket_leaves_as_soon_as_it_is_complete(make):
    solver, group = make(), Echo()
    trace(solver, group, bucket_bytes=4 * 65)
    solver.step(1)
    found = [e for e in group.events if e not in ("wait", "start")]
    # What same1 and same2 share is complete after same1 only, the first of the two.
    assert found == [
        "loss", "ip2", 60, "same2", "tanh1", "same1", 11, 121, "tanh", "ip1", 11, 2310, "elu", "conv", 60, "data",
    ]  # fmt: skip
    assert group.events[0] == "start" and group.events.count("wait") == 6
    assert group.events[-6:] == ["wait"] * 6  # nobody waits before backward is over


@pytest.mark.parametrize("bucket_bytes", [1, 4 * 140, 1 << 20])
@pytest.mark.parametrize("shown", [False, True])
def test_averages_of_equal_workers_change_nothing(make, bucket_bytes, shown):
    """Also where scripts hold views of the gradients, which are written in place then."""
    alone, solver = make(), make()
    trace(solver, Echo(), bucket_bytes=bucket_bytes)
    views = [(b, b.diff) for blobs in solver.net.params.values() for b in blobs] if shown else []
    for s in (alone, solver):
        s.step(5)
    for name, array in weights(alone.net).items():
        assert np.array_equal(array, weights(solver.net)[name]), name
    assert all(np.shares_memory(b.diff, view) and np.abs(view).max() > 0 for b, view in views)


def test_iter_size_reduces_once(make):
    solver, group = make("iter_size: 3"), Echo()
    trace(solver, group, bucket_bytes=1 << 20)
    solver.step(2)
    numbers = [i for i, e in enumerate(group.events) if isinstance(e, int)]
    assert len(numbers) == 2  # one bucket, two iterations
    assert group.events[: numbers[0]].count("conv") == 3


def test_debug_info_shows_a_workers_own_gradients(make):
    solver, group = make("debug_info: true"), Echo()
    trace(solver, group, bucket_bytes=1)
    solver.step(1)
    reduced = [e for e in group.events if e != "wait"]
    assert reduced.index(60 - 55) > reduced.index("data")  # after all of backward


def test_gradients_outside_of_training_are_left_alone(make):
    solver, group = make(), Echo()
    trace(solver, group)
    solver.net.forward()
    solver.net.backward()
    assert not any(isinstance(e, int) for e in group.events)


def test_frozen_parameters_do_not_travel(make):
    solver = make(
        more="""
      layer { name: "bn" type: "BatchNorm" bottom: "same2" top: "same2" }
      layer { name: "frozen" type: "InnerProduct" bottom: "same2" top: "same2x"
        param { lr_mult: 0 } param { lr_mult: 0 }
        inner_product_param { num_output: 11 } }
      layer { name: "end" type: "Silence" bottom: "same2x" }"""
    )
    buckets = GradientReducer(solver, Echo(), bucket_bytes=1).buckets
    assert sum(bucket.count for bucket in buckets) == 60 + 2321 + 132 + 60


def test_bf16_travels_as_bf16_and_arrives_as_float32(make):
    solver, group = make(), Echo()
    kinds = []
    reduce = group.reduce
    group.reduce = lambda tensor: (kinds.append(tensor.dtype), reduce(tensor))[1]
    trace(solver, group, compression="bf16")
    solver.net.forward()
    solver.net.backward()
    wanted = np.array(solver.net.params["ip1"][0].diff)
    solver = make()
    trace(solver, group, compression="bf16")
    found = []
    solver.add_callback(lambda: None, lambda: found.append(np.array(solver.net.params["ip1"][0].diff)))
    solver.step(1)
    assert kinds == [torch.bfloat16]
    assert found[0].dtype == np.float32
    assert 0 < np.abs(found[0] - wanted).max() <= 2**-8 * np.abs(wanted).max()


def test_an_unknown_compression(make):
    with pytest.raises(caffe.errors.InputError, match="must be 'bf16' or none; got 'fp8'"):
        GradientReducer(make(), Echo(), compression="fp8")
