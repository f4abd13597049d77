"""The state machine between host and device.

Where no accelerator is, the device side is played by torch's ``meta`` device, which has shapes and no values: what is
tested there is which side is newest and what moves when, not the copied numbers.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from caffe import runtime
from caffe.errors import StateError
from caffe.memory import Memory

CPU, META = torch.device("cpu"), torch.device("meta")


def accelerator() -> torch.device | None:
    found = runtime.accelerators()
    return torch.device(found[0]) if found else None


def test_zeros_until_written_and_one_storage_for_life():
    memory = Memory((2, 3))
    assert not memory.allocated
    view = memory.array()
    assert view.tolist() == [[0, 0, 0], [0, 0, 0]]
    view[1, 2] = 5
    assert memory.on(CPU)[1, 2] == 5
    memory.write(torch.ones(2, 3))
    assert view[0, 0] == 1


def test_the_host_goes_to_the_device_once_and_stays_newest_where_written():
    memory = Memory((2, 3))
    memory.array()[...] = 7
    first = memory.on(META)
    assert (first.device, tuple(first.shape)) == (META, (2, 3))
    assert memory.on(META) is first  # both sides are the newest: nothing moves
    assert memory.on(CPU)[0, 0] == 7  # and the host has kept its values
    memory.array()[0, 0] = (
        8  # the host is the newest: it goes to a tensor of its own, as a trace may hold the first
    )
    second = memory.on(META)
    assert second.device == META and second is not first
    assert memory.on(META) is second
    assert memory.on(CPU)[0, 0] == 8


def test_binding_on_the_device_makes_it_the_newest():
    memory = Memory((2, 3))
    memory.array()
    on_device = torch.empty(4, 5, device=META)
    memory.bind(on_device)
    assert memory.shape == (4, 5)
    assert memory.on(META) is on_device
    with pytest.raises((NotImplementedError, RuntimeError)):
        memory.on(CPU)  # the host side must be fetched, and meta has no values to give


def test_a_real_accelerator_keeps_values_there_and_back():
    device = accelerator()
    if device is None:
        pytest.skip("needs an accelerator")
    memory = Memory((2, 3))
    memory.array()[...] = np.arange(6).reshape(2, 3)
    memory.mutable_on(device).mul_(2)
    assert memory.array().tolist() == [[0, 2, 4], [6, 8, 10]]


def test_clearing_is_lazy_but_not_under_a_view():
    memory = Memory((3,))
    memory.write(torch.ones(3))
    memory.clear()
    taken = torch.full((3,), 4.0)
    memory.accumulate(taken)
    assert memory.on(CPU).data_ptr() == taken.data_ptr()  # taken over without a copy
    view = memory.array()
    memory.clear()
    assert view.tolist() == [0, 0, 0]
    memory.accumulate(torch.full((3,), 6.0))
    assert view.tolist() == [6, 6, 6]


def test_freed_values_say_why():
    memory = Memory((3,))
    memory.array()
    memory.free("gone since nothing needed it")
    with pytest.raises(StateError, match="gone since"):
        memory.array()
    memory.bind(torch.ones(3))
    assert memory.array()[2] == 1
